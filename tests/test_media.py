"""Files of conversations: what is kept, under which type, and who may read it."""

import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

import worker
from activities.channels.port import MediaError
from activities.media.fetching import MediaFetching
from activities.media.store import MediaAway, MediaStore, clean_name
from activities.media.types import MediaRefused, charset_of, content_type_of
from api.byte_ranges import part_of
from contracts.events import SendResult
from contracts.media import media_id_of
from contracts.messages import Attachment, GuestMessage, OutboundMessage, Route
from contracts.names import TaskQueue
from contracts.problems import TooLarge
from settings import Media, Settings
from tests.api import Api, problem, running_api
from tests.fakes.ai import FakeAI
from tests.fakes.bucket import FakeBucket
from tests.fakes.server import serving
from tests.support import Stack, eventually

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0" * 20
PDF = b"%PDF-1.4\n%\xe2\xe3"


@pytest.mark.parametrize(
    ("content", "declared", "kept"),
    [
        (PNG, "image/png", "image/png"),
        (PNG, "application/octet-stream", "image/png"),
        (PNG, "text/html", "image/png"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF\0\x01" + b"\0" * 30, "image/jpg", "image/jpeg"),
        (PDF, "application/x-pdf", "application/pdf"),
        (b"a,b\n", "text/csv; charset=utf-8", "text/csv"),
        (b"hello", "text/x-log", "text/plain"),
        (b"#!AMR\n", "audio/amr", "audio/amr"),
        (b"OggS" + b"\0" * 40, "audio/ogg; codecs=opus", "audio/ogg"),
        (b"BEGIN:VCARD\nEND:VCARD", "text/vcard", "text/vcard"),
        (b"\0\0\0\x1cftypM4A \0\0\0\0M4A mp42isom" + b"\0" * 40, "audio/x-m4a", "audio/mp4"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\0" * 40, "audio/mp4", "audio/mp4"),
        (b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + b"\0" * 40, "video/mp4", "video/mp4"),
    ],
)
def test_a_file_is_what_its_content_says(content: bytes, declared: str, kept: str) -> None:
    assert content_type_of(content, declared, Media().types) == kept


@pytest.mark.parametrize(
    ("content", "declared"),
    [
        (b"MZ\x90\0", "image/png"),
        (b"\x7fELF\2", "application/pdf"),
        (b"#!/bin/sh\n", "text/plain"),
        (b"<!DOCTYPE html><html><script>", "text/plain"),
        (b'<svg xmlns="http://www.w3.org/2000/svg">', "image/png"),
        (b"no picture at all", "image/png"),
        (b"\0\1\2", "text/plain"),
        (b"", "image/png"),
        (b"?", "application/x-unheard-of"),
    ],
)
def test_what_is_dangerous_or_unknown_is_refused(content: bytes, declared: str) -> None:
    with pytest.raises(MediaRefused):
        content_type_of(content, declared, Media().types)


@pytest.mark.parametrize(
    ("content", "declared", "charset"),
    [
        ("Müller".encode(), "text/plain", "utf-8"),
        ("Müller".encode("cp1252"), "text/plain", None),
        ("Müller".encode("cp1252"), 'text/plain; Charset="Windows-1252"', "windows-1252"),
        ("予約".encode("iso-2022-jp"), "text/csv; charset=iso-2022-jp", "iso-2022-jp"),
        ("Müller".encode(), "text/plain; charset=us-ascii", "utf-8"),
        (b"Miller", "text/plain; charset=base64", "utf-8"),
        (b"Miller", "text/plain; charset=x\r\ny", "utf-8"),
        ("é".encode() * 600_000 + b"\xff", "text/plain", "utf-8"),
    ],
)
def test_the_charset_of_a_text_is_its_senders_if_that_can_be(
    content: bytes, declared: str, charset: str | None
) -> None:
    assert charset_of(content, declared) == charset


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\a\\b.pdf", "b.pdf"),
        ("a\r\nb.png", "ab.png"),
        ("", "attachment"),
        ("été", "été"),
    ],
)
def test_names_have_no_folders(name: str, clean: str) -> None:
    assert clean_name(name) == clean


async def test_a_folder_keeps_files(settings: Settings, tmp_path: Path) -> None:
    settings.data_dir = tmp_path / "new"
    store = MediaStore(settings)
    media_id = media_id_of("hotel", "message", "0")
    for _ in range(2):
        await store.put("hotel", PDF, name="a.pdf", content_type="application/pdf", media_id=media_id)
    found = await MediaStore(settings).find(media_id)
    assert found is not None
    assert (found.property_id, found.size, await store.content(found)) == ("hotel", len(PDF), PDF)
    assert await store.find("0" * 32) is None
    settings.media.max_bytes = 5
    with pytest.raises(TooLarge):
        await store.put("hotel", PDF, name="a.pdf", content_type="application/pdf")


async def test_a_bucket_keeps_files(settings: Settings) -> None:
    bucket = FakeBucket("key-id")
    async with serving(bucket.app) as url:
        settings.media = Media(
            url="s3://files/hotel",
            endpoint=url,
            region="eu-west-1",
            access_key_id=SecretStr("key-id"),
            secret_access_key=SecretStr("secret"),
        )
        store = MediaStore(settings)
        kept = await store.put("hotel", PNG, name="a.png", content_type="image/png")
        assert f"files/hotel/{kept.id}/content" in bucket.objects
        assert await store.find(kept.id) == kept
        assert await store.find("0" * 32) is None
        bucket.status = 403
        with pytest.raises(MediaAway):
            await store.find(kept.id)


async def _upload(http: httpx.AsyncClient, hotel: str, content: bytes = PNG, **more: Any) -> httpx.Response:
    return await http.post("/api/v1/media", data={"propertyId": hotel}, files={"file": ("map.png", content)}, **more)


async def test_staff_upload_a_file_and_staff_of_the_property_read_it(api: Api, hotel: str) -> None:
    person, stranger = await api.person(hotel), await api.person("elsewhere")
    uploaded = await _upload(person.http, hotel)
    assert uploaded.status_code == 201
    attachment = uploaded.json()
    assert (attachment["name"], attachment["contentType"], attachment["size"]) == ("map.png", "image/png", len(PNG))
    read = await person.http.get(attachment["url"])
    assert (read.content, read.headers["content-type"]) == (PNG, "image/png")
    assert read.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in read.headers["content-security-policy"]
    assert problem(await stranger.http.get(attachment["url"])) == (403, "forbidden")
    assert problem(await _upload(stranger.http, hotel)) == (403, "forbidden")
    assert problem(await api.http.get(attachment["url"])) == (401, "unauthenticated")
    assert problem(await _upload(api.http, hotel)) == (401, "unauthenticated")
    assert problem(await person.http.get("/api/v1/media/../x")) in ((404, "not_found"), (405, "method_not_allowed"))
    assert problem(await person.http.get(f"/api/v1/media/{'0' * 32}")) == (404, "not_found")


async def test_what_is_not_accepted_is_told(api: Api, hotel: str) -> None:
    person = await api.person(hotel)
    assert problem(await _upload(person.http, hotel, b"MZ\x90\0")) == (415, "media_refused")
    assert problem(await _upload(person.http, hotel, b"")) == (422, "invalid")
    assert problem(await person.http.post("/api/v1/media", data={"propertyId": hotel})) == (422, "invalid")
    api.state.settings.media.max_bytes = 10
    assert problem(await _upload(person.http, hotel)) == (413, "too_large")


async def test_a_file_of_many_bytes_comes_through(api: Api, hotel: str) -> None:
    person = await api.person(hotel)
    assert (await _upload(person.http, hotel, PNG + b"\0" * 3_000_000)).status_code == 201


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("bytes=0-0", range(1)),
        ("bytes=2-5", range(2, 6)),
        ("bytes=4-", range(4, 10)),
        ("bytes=-3", range(7, 10)),
        ("bytes=-30", range(10)),
        ("bytes=8-99999999999999999", range(8, 10)),
        ("bytes=10-", None),
        ("bytes=-0", None),
        ("bytes=5-2", None),
        ("bytes=-", None),
        ("bytes=0-1,3-4", None),
        ("lines=0-1", None),
        ("bytes=a-b", None),
        (f"bytes=0-{'9' * 1000}", None),
    ],
)
def test_a_part_of_a_file(wanted: str, part: range | None) -> None:
    assert part_of(wanted, 10) == part


async def test_a_player_gets_the_part_of_a_film_that_it_asks_for(api: Api, hotel: str) -> None:
    marta = await api.person(hotel)
    kept = (await _upload(marta.http, hotel)).json()
    whole = await marta.http.get(kept["url"])
    assert (whole.status_code, whole.headers["accept-ranges"]) == (200, "bytes")
    part = await marta.http.get(kept["url"], headers={"Range": "bytes=1-3"})
    assert (part.status_code, part.content) == (206, PNG[1:4])
    assert part.headers["content-range"] == f"bytes 1-3/{len(PNG)}"
    assert part.headers["content-type"] == whole.headers["content-type"]
    behind = await marta.http.get(kept["url"], headers={"Range": f"bytes={len(PNG)}-"})
    assert (behind.status_code, behind.content) == (200, PNG)


async def test_a_signed_link_works_for_a_while(settings: Settings, api: Api, hotel: str) -> None:
    kept = await api.state.media.put(hotel, PNG, name="a.png", content_type="image/png")
    [link] = api.state.links.signed([kept.attachment])
    assert (await api.http.get(link.url)).content == PNG
    assert problem(await api.http.get(link.url + "0")) == (403, "forbidden")
    assert problem(await api.http.get(link.url.replace("expires=", "expires=9"))) == (403, "forbidden")
    settings.media.link_lifetime, settings.server.public_url = 0, "https://chat.hotel.test/"
    async with running_api(settings) as later:
        [over] = later.state.links.signed([kept.attachment])
        assert over.url.startswith("https://chat.hotel.test/media/")
        path = over.url.removeprefix("https://chat.hotel.test").replace("expires=", "expires=-")
        assert problem(await later.http.get(path)) == (403, "forbidden")


# --- what stays with a provider until it is fetched ------------------------------------------------------------------


class Source:
    """A channel whose provider has files, now or later or never."""

    def __init__(self) -> None:
        self.answers: list[bytes | MediaError] = []
        self.asked = 0

    async def send(self, property_id: str, message: OutboundMessage) -> SendResult:
        raise AssertionError("nothing is sent here")

    async def close(self) -> None: ...

    async def fetch_media(self, property_id: str, attachment: Attachment) -> AsyncIterator[bytes]:
        self.asked += 1
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, MediaError):
            raise answer
        for start in range(0, len(answer), 10):
            yield answer[start : start + 10]


@pytest.fixture
async def source(stack: Stack, ai: FakeAI) -> AsyncIterator[Source]:
    source = Source()
    async with worker.dependencies(stack.settings, stack.client) as activities, AsyncExitStack() as running:
        fetching = MediaFetching({"provider": source}, MediaStore(stack.settings))
        for queue in TaskQueue:
            each = worker.build_worker(stack.client, queue, replace(activities, media=fetching))
            await running.enter_async_context(each)
        await worker.make_current(stack.client)
        yield source


def _brought(adapter: str = "provider") -> GuestMessage:
    now = datetime.now(UTC)
    return GuestMessage(
        id=uuid.uuid4().hex,
        route=Route(adapter=adapter, channel_id="x", sender_id="ana"),
        content="Look",
        attachments=[Attachment(id="p-1", name="room.png", content_type="image/png", url="https://provider.test/p-1")],
        sent_at=now,
        received_at=now,
    )


async def _fetched(api: Api, hotel: str, message: GuestMessage) -> httpx.Response:
    """Orders the file of a message twice, and waits for what becomes of it."""
    [ours] = (await api.state.media_orders.take_over(hotel, message)).attachments
    assert (await api.state.media_orders.take_over(hotel, message)).attachments == [ours]
    person = await api.person(hotel)

    async def look() -> httpx.Response | None:
        answer = await person.http.get(ours.url)
        return answer if answer.status_code != 404 else None

    return await eventually(look, what="the file")


async def test_a_file_is_fetched_again_until_it_is_there(api: Api, source: Source, hotel: str) -> None:
    source.answers = [MediaError("busy", retryable=True), PNG]
    message = _brought()
    assert (await _fetched(api, hotel, message)).content == PNG
    asked = source.asked
    await _fetched(api, hotel, message)
    assert (asked, source.asked) == (2, 2)


@pytest.mark.parametrize(
    ("answer", "adapter", "detail"),
    [
        (b"MZ\x90\0", "provider", "this file is not accepted"),
        (b"x" * 2000, "provider", "too large"),
        (MediaError("gone", retryable=False), "provider", "the provider does not have the file"),
        (PNG, "webchat", "the provider does not have the file"),
    ],
)
async def test_what_will_not_come_is_told(
    api: Api, settings: Settings, source: Source, hotel: str, answer: bytes | MediaError, adapter: str, detail: str
) -> None:
    settings.media.max_bytes = 1000
    source.answers = [answer]
    gone = await _fetched(api, hotel, _brought(adapter))
    assert problem(gone) == (410, "media_gone")
    assert gone.json()["detail"] == f"The guest's file is not available: {detail}"
