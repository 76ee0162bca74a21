"""What the web chat has besides words: signed guests, files, marks, origins, and the name of who takes over."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import jwt
import pytest
from pydantic import SecretStr

from contracts.frames import CloseCode
from settings import Property, Settings, WebchatChannel
from tests.api import Api, problem, running_api
from tests.live import Client, Frame, guest, is_message, of_type, opened
from tests.support import Stack, eventually

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + b"\0" * 20
SECRET = "the secret of the hotel's own page"


def _identity(**changes: Any) -> str:
    claims = {"sub": "4711", "name": "Ana Souza", "exp": datetime.now(UTC) + timedelta(minutes=5), **changes}
    return jwt.encode({key: value for key, value in claims.items() if value is not None}, SECRET, algorithm="HS256")


def _session(client: Client) -> Frame:
    return next(frame for frame in client.frames if frame["type"] == "session")


async def _upload(api: Api, hotel: str, token: str, content: bytes = PNG, **more: Any) -> httpx.Response:
    return await api.http.post(
        f"/chat/{hotel}/media", data={"token": token}, files={"file": ("room.png", content)}, **more
    )


# --- who it is -------------------------------------------------------------------------------------------------------


async def test_a_guest_whom_the_hotel_s_page_vouches_for_is_the_same_everywhere(
    settings: Settings, api: Api, working: None, stack: Stack, hotel: str
) -> None:
    settings.properties[hotel].channels.webchat = WebchatChannel(identity_secret=SecretStr(SECRET))
    async with running_api(settings) as own:
        for device in range(2):
            async with opened(own.url, f"/chat/{hotel}") as client:
                await client.send("auth", {"identity": _identity()})
                session = await client.until(of_type("session"))
                assert session["payload"]["visitorId"] == "user:4711"
                await client.ask("send_message", {"content": f"From device {device}"})
                await client.message(f"Answer to From device {device}")
    ana = stack.guest(sender_id="user:4711")
    assert (await ana.conversation()).guest_name == "Ana Souza"
    assert len(await ana.outcomes()) == 2


async def test_coming_back_by_the_token_makes_an_identity_last_no_longer(settings: Settings, hotel: str) -> None:
    settings.channels.webchat.identity_secret = SecretStr(SECRET)
    until = datetime.now(UTC).replace(microsecond=0) + timedelta(minutes=5)
    async with running_api(settings) as own, opened(own.url, f"/chat/{hotel}") as client:
        await client.send("auth", {"identity": _identity(exp=until)})
        payload = (await client.until(of_type("session")))["payload"]
        for _ in range(2):
            ends_at = jwt.decode(payload["token"], options={"verify_signature": False})["exp"]
            assert datetime.fromtimestamp(ends_at, UTC) == until
            async with guest(own.url, hotel, payload["token"]) as again:
                payload = _session(again)["payload"]
            assert payload["visitorId"] == "user:4711"


async def test_an_identity_may_come_from_a_clock_that_is_a_little_ahead(settings: Settings, hotel: str) -> None:
    settings.channels.webchat.identity_secret = SecretStr(SECRET)
    ahead = datetime.now(UTC) + timedelta(seconds=20)
    async with running_api(settings) as own, opened(own.url, f"/chat/{hotel}") as client:
        await client.send("auth", {"identity": _identity(iat=ahead, nbf=ahead)})
        assert (await client.until(of_type("session")))["payload"]["visitorId"] == "user:4711"


WRONG = (
    "nonsense",
    jwt.encode({"sub": "4711"}, SECRET),
    jwt.encode({"sub": "4711", "exp": 4_000_000_000}, "another secret of a hotel"),
    _identity(exp=datetime.now(UTC) - timedelta(minutes=1)),
    _identity(sub=None),
    _identity(sub=""),
)


@pytest.mark.parametrize("identity", WRONG)
async def test_an_identity_that_is_not_right_is_refused(settings: Settings, hotel: str, identity: str) -> None:
    settings.channels.webchat.identity_secret = SecretStr(SECRET)
    async with running_api(settings) as own, opened(own.url, f"/chat/{hotel}") as client:
        await client.send("auth", {"identity": identity})
        assert await client.closed() == CloseCode.SESSION_ENDED


async def test_without_a_secret_nobody_is_vouched_for(api: Api, hotel: str) -> None:
    async with opened(api.url, f"/chat/{hotel}") as client:
        await client.send("auth", {"identity": _identity()})
        assert await client.closed() == CloseCode.FORBIDDEN


async def test_a_property_s_own_pages_may_open_its_chat(settings: Settings, hotel: str) -> None:
    settings.properties[hotel].channels.webchat = WebchatChannel(allowed_origins=["https://hotel.test"])
    settings.properties["other"] = Property(name="Other")
    async with running_api(settings) as api:
        async with opened(api.url, f"/chat/{hotel}", origin="https://hotel.test") as client:
            await client.send("auth", {})
            await client.until(of_type("session"))
        async with opened(api.url, "/chat/other", origin="https://hotel.test") as client:
            assert await client.closed() == CloseCode.FORBIDDEN


# --- files -----------------------------------------------------------------------------------------------------------


async def test_a_guest_sends_a_file_and_reads_what_staff_send(
    api: Api, working: None, stack: Stack, hotel: str
) -> None:
    person = await api.person(hotel)
    async with guest(api.url, hotel) as client:
        token = _session(client)["payload"]["token"]
        uploaded = await _upload(api, hotel, token)
        assert uploaded.status_code == 201
        file = uploaded.json()
        assert (await api.http.get(file["url"])).content == PNG
        await client.ask("send_message", {"attachments": [file["id"]]})
        own = await client.until(is_message)
        assert own["payload"]["message"]["attachments"][0]["url"].startswith(f"/media/{file['id']}?expires=")
        visitor = stack.guest(sender_id=_session(client)["payload"]["visitorId"])
        [stored] = (await visitor.messages())[0].attachments
        assert stored.url == f"/api/v1/media/{file['id']}"
        assert (await person.http.get(stored.url)).content == PNG


async def test_a_file_that_nobody_uploaded_here_is_refused(api: Api, hotel: str) -> None:
    elsewhere = await api.state.media.put("elsewhere", PNG, name="a.png", content_type="image/png")
    async with guest(api.url, hotel) as client:
        for media_id in ("x", "0" * 32, elsewhere.id):
            await client.send("send_message", {"content": "Look", "attachments": [media_id]}, str(uuid.uuid4()))
            error = await client.until(of_type("error"))
            assert (error["payload"]["code"], error["payload"]["field"]) == ("invalid", "attachments")


async def test_no_guest_is_given_a_link_to_a_file_of_another_property(
    api: Api, working: None, stack: Stack, hotel: str
) -> None:
    person = await api.person(hotel)
    elsewhere = await api.state.media.put("elsewhere", PNG, name="a.png", content_type="image/png")
    asking = stack.guest()
    await asking.ask("May I have a map?")
    talk = f"/api/v1/conversations/{(await asking.conversation()).conversation_id}/messages"
    opening = {"propertyId": hotel, "channelType": "sms", "recipientId": "+351910000009"}
    for media_id in (elsewhere.id, "0" * 32):
        attachments = [{**elsewhere.attachment.model_dump(mode="json"), "url": f"/api/v1/media/{media_id}"}]
        for path, body in ((talk, {}), ("/api/v1/conversations", opening)):
            refused = await person.http.post(path, json={**body, "attachments": attachments})
            assert (refused.status_code, refused.json()["field"]) == (422, "attachments.0.url")


async def test_only_guests_of_the_chat_upload(settings: Settings, api: Api, hotel: str) -> None:
    async with guest(api.url, hotel) as client:
        token = _session(client)["payload"]["token"]
    assert problem(await _upload(api, hotel, "nonsense")) == (401, "unauthenticated")
    assert problem(await _upload(api, "no-hotel", token)) == (404, "not_found")
    assert problem(await _upload(api, hotel, token, b"MZ\x90\0")) == (415, "media_refused")
    assert problem(await _upload(api, hotel, token, b"")) == (422, "invalid")
    evil = {"Origin": "https://evil.test"}
    assert problem(await _upload(api, hotel, token, headers=evil)) == (403, "forbidden")
    settings.websocket.allowed_origins = ["https://hotel.test"]
    settings.rate_limit.max_requests = 1
    async with running_api(settings) as strict:
        own = {"Origin": "https://hotel.test"}
        wrong = await _upload(strict, hotel, "nonsense", headers=own)
        assert problem(wrong) == (401, "unauthenticated")
        assert wrong.headers["access-control-allow-origin"] == "https://hotel.test"  # or the page cannot read why
        allowed = await _upload(strict, hotel, token, headers=own)
        assert allowed.headers["access-control-allow-origin"] == "https://hotel.test"
        refused = await _upload(strict, hotel, token)
        assert problem(refused) == (429, "too_many_requests")
        assert [answer.headers["ratelimit-remaining"] for answer in (allowed, refused)] == ["0", "0"]
        assert 0 < int(refused.headers["retry-after"]) <= 60


# --- marks and names -------------------------------------------------------------------------------------------------


async def test_staff_see_what_the_guest_has_read(api: Api, working: None, stack: Stack, hotel: str) -> None:
    async with guest(api.url, hotel) as client:
        await client.ask("send_message", {"content": "Hello"})
        answer = (await client.message("Answer to Hello"))["payload"]["message"]

        async def stored() -> bool:
            found = await stack.rows("SELECT 1 FROM messages WHERE id = :id", id=answer["id"])
            return bool(found)

        await eventually(stored, what="the answer to be stored")
        for mark in ("read", "delivered", "read"):
            await client.ask(mark, {"messageId": answer["id"]})
        told = [frame["payload"]["message"] for frame in client.frames if is_message(frame)]
        assert [each["delivery"]["state"] for each in told if each["id"] == answer["id"]] == ["sent", "read"]
        own = next(frame["payload"]["message"] for frame in client.frames if is_message(frame))
        await client.ask("read", {"messageId": own["id"]})
        rows = await stack.rows(
            "SELECT author, delivery_state FROM messages WHERE conversation_id = :id ORDER BY seq",
            id=answer["conversationId"],
        )
        assert [tuple(row.values()) for row in rows] == [("guest", "delivered"), ("ai", "read")]


async def test_a_mark_names_a_message(api: Api, hotel: str) -> None:
    async with guest(api.url, hotel) as client:
        await client.send("read", {}, "1")
        error = await client.until(of_type("error"))
        assert (error["payload"]["code"], error["payload"]["field"]) == ("invalid", "messageId")


async def test_a_guest_learns_the_name_of_who_takes_over(api: Api, working: None, hotel: str) -> None:
    marta = await api.signed_in(await api.hire(hotel))
    async with guest(api.url, hotel) as client:
        await client.ask("send_message", {"content": "Hello"})
        answer = await client.message("Answer to Hello")
        conversation = answer["payload"]["message"]["conversationId"]
        (await marta.http.post(f"/api/v1/conversations/{conversation}/claim")).raise_for_status()
        met = await client.until(of_type("presence"))
        assert (met["payload"]["author"], met["payload"]["authorName"]) == ("staff", "Marta Reis")
        token = _session(client)["payload"]["token"]
    async with guest(api.url, hotel, token) as again:
        assert (await again.until(of_type("presence")))["payload"]["authorName"] == "Marta Reis"


async def test_a_guest_who_comes_back_after_the_end_reads_how_it_ended(
    api: Api, working: None, stack: Stack, hotel: str
) -> None:
    marta = await api.signed_in(await api.hire(hotel))
    async with guest(api.url, hotel) as client:
        await client.ask("send_message", {"content": "Hello"})
        answer = await client.message("Answer to Hello")
        token, cursor = _session(client)["payload"]["token"], client.cursor
    talk = f"/api/v1/conversations/{answer['payload']['message']['conversationId']}"
    reply = (await marta.http.post(f"{talk}/messages", json={"content": "The key is at the desk"})).json()
    (await marta.http.post(f"{talk}/resolve")).raise_for_status()

    async def state() -> str:
        rows = await stack.rows("SELECT delivery_state FROM messages WHERE id = :id", id=reply["id"])
        return str(rows[0]["delivery_state"]) if rows else "not stored"

    async def resolved() -> bool:
        return bool((await marta.http.get(talk)).json()["state"] == "resolved" and await state() == "sent")

    await eventually(resolved, what="the end to be stored")
    for after, mark in ((None, "delivered"), (cursor, "read")):
        async with guest(api.url, hotel, token, after) as again:
            await again.message("The key is at the desk")
            await again.until(of_type("conversation_update"))
            assert _session(again)["payload"]["conversation"]["state"] == "resolved"
            await again.ask(mark, {"messageId": reply["id"]})
            assert await state() == mark
            assert not any(map(of_type("presence"), again.frames))  # nobody is with them any more
