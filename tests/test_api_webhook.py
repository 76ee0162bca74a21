"""The generic channel's webhook: what is signed right becomes a conversation, all else leaves nothing."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import REGISTRY

from activities.channels.body_signature import sign
from activities.channels.messages import parse, verify
from contracts.messages import Author
from contracts.problems import BadSignature, Invalid
from settings import Property, Settings
from tests.api import Api, problem, running_api
from tests.fakes.ai import FakeAI
from tests.fakes.callback import SECRET, FakeCallback
from tests.support import Stack, workers

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def _inbound(**changes: Any) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    message = {"channelId": "app", "channelType": "webchat", "senderId": "guest-1", "content": "Is there a pool?"}
    return {**message, "metadata": {}, "timestamp": now, **changes}


async def _post(api: Api, hotel: str, body: bytes, signature: str | None = None, **options: Any) -> httpx.Response:
    headers = {"X-Gateway-Signature": signature or sign(body, SECRET), "Content-Type": "application/json"}
    return await api.http.post(f"/webhooks/messages/{hotel}", content=body, headers=headers, **options)


def _count(hotel: str, channel: str, outcome: str) -> float:
    labels = {"channel": channel, "property": hotel, "outcome": outcome}
    return REGISTRY.get_sample_value("gateway_messages_inbound_total", labels) or 0


async def test_a_signed_message_is_answered_to_the_callback(
    api: Api, stack: Stack, ai: FakeAI, callback: FakeCallback, hotel: str
) -> None:
    inbound = _inbound(metadata={"messageId": "m-1", "guestName": "Ana", "room": 204})
    async with workers(stack.settings, stack.client):
        answers = [await _post(api, hotel, json.dumps(inbound).encode()) for _ in range(3)]
        assert [(each.status_code, each.json()) for each in answers] == [(202, {"messageId": "m-1"})] * 3
        guest = stack.guest(adapter="messages", sender_id="guest-1")
        assert (await guest.outcome("m-1")).outcome == "answered"
        messages = await guest.messages()
        assert [each.author for each in messages] == [Author.GUEST, Author.AI]
        assert (await guest.conversation()).guest_name == "Ana"
    assert _count(hotel, "webchat", "accepted") == 3


async def test_without_an_id_the_body_is_what_repeats_are_known_by(api: Api, hotel: str, settings: Settings) -> None:
    body = json.dumps(_inbound()).encode()
    answer = await _post(api, hotel, body)
    assert (answer.status_code, answer.json()) == (202, {"messageId": hashlib.sha256(body).hexdigest()})


@pytest.mark.parametrize("signature", ["", "sha256=", "sha256=00", "nonsense", "sha256=" + "0" * 64, "ä"])
async def test_a_wrong_signature_is_refused_and_leaves_nothing(
    api: Api, stack: Stack, hotel: str, signature: str
) -> None:
    body = json.dumps(_inbound()).encode()
    headers = [(b"X-Gateway-Signature", signature.encode())] if signature else []
    refused = await api.http.post(f"/webhooks/messages/{hotel}", content=body, headers=headers)
    assert problem(refused) == (401, "bad_signature")
    assert _count(hotel, "unknown", "refused") == 1
    key = stack.conversations.contact_key(hotel, "webchat", "guest-1")
    found = [each async for each in stack.client.list_workflows(f"WorkflowId = 'conversation-{key}'")]
    assert found == []


async def test_a_signature_is_of_the_whole_body_by_the_property_s_secret(
    api: Api, hotel: str, settings: Settings
) -> None:
    body = json.dumps(_inbound()).encode()
    assert problem(await _post(api, hotel, body + b" ", sign(body, SECRET))) == (401, "bad_signature")
    own = Property.model_validate({"name": "Own", "channels": {"messages": {"secret": "its own"}}})
    settings.properties[hotel] = own
    async with running_api(settings) as strict:
        assert problem(await _post(strict, hotel, body)) == (401, "bad_signature")
        assert (await _post(strict, hotel, body, sign(body, "its own"))).status_code == 202


async def test_an_unknown_property_or_one_without_a_secret_is_not_found(settings: Settings, hotel: str) -> None:
    body = json.dumps(_inbound()).encode()
    async with running_api(settings) as api:
        assert problem(await _post(api, "no-hotel", body)) == (404, "not_found")
    settings.channels.messages.secret = None
    async with running_api(settings) as api:
        assert problem(await _post(api, hotel, body)) == (404, "not_found")


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"channelId": ""}, "channelId"),
        ({"channelId": None}, "channelId"),
        ({"channelType": "pigeon"}, "channelType"),
        ({"senderId": "x" * 257}, "senderId"),
        ({"senderId": "\0"}, "senderId"),
        ({"content": 7}, "content"),
        ({"content": " "}, "content"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2026-05-01T18:30:00"}, "timestamp"),
        ({"timestamp": 1777653000}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp"),
        ({"metadata": []}, "metadata"),
        ({"metadata": {"messageId": 7}}, "metadata.messageId"),
        ({"metadata": {"messageId": "a b"}}, "metadata.messageId"),
        ({"metadata": {"messageId": "x" * 129}}, "metadata.messageId"),
        ({"metadata": {"guestName": ["x"]}}, "metadata.guestName"),
        ({"metadata": {"attachments": "x"}}, "metadata.attachments"),
        (
            {"metadata": {"attachments": [{"id": "1", "name": "x", "contentType": "y", "url": "javascript:x"}]}},
            "metadata.attachments.0.url",
        ),
    ],
)
async def test_a_program_is_told_which_field_is_wrong(
    api: Api, hotel: str, changes: dict[str, Any], field: str
) -> None:
    refused = await _post(api, hotel, json.dumps(_inbound(**changes)).encode())
    assert problem(refused) == (422, "invalid")
    assert refused.json()["field"] == field
    assert _count(hotel, "unknown", "refused") == 1


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"', b"\xff\xfe", b"[" * 100_000, b"NaN"])
async def test_what_is_no_json_object_is_told(api: Api, hotel: str, body: bytes) -> None:
    refused = await _post(api, hotel, body)
    assert problem(refused) == (422, "invalid")
    assert refused.json()["field"] == "body"


async def test_a_body_over_the_limit_is_refused_announced_or_not(api: Api, hotel: str) -> None:
    body = json.dumps(_inbound(content="x" * 1_000_001)).encode()
    assert problem(await _post(api, hotel, body)) == (413, "too_large")

    async def chunks() -> Any:
        for start in range(0, len(body), 65536):
            yield body[start : start + 65536]

    headers = {"X-Gateway-Signature": sign(body, SECRET)}
    unannounced = await api.http.post(f"/webhooks/messages/{hotel}", content=chunks(), headers=headers)
    assert problem(unannounced) == (413, "too_large")
    just_fits = json.dumps(_inbound(content="x" * 4000)).encode()
    assert (await _post(api, hotel, just_fits)).status_code == 202


async def test_while_temporal_and_storage_are_away_a_message_is_not_acknowledged(
    settings: Settings, hotel: str
) -> None:
    settings.temporal.address, settings.database.url = "127.0.0.1:1", "postgresql://nobody@127.0.0.1:1/nothing"
    async with running_api(settings) as api:
        refused = await _post(api, hotel, json.dumps(_inbound()).encode())
        assert problem(refused) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) > 0
    assert _count(hotel, "webchat", "accepted") == 0


async def test_while_storage_and_redis_are_away_messages_are_accepted(settings: Settings, hotel: str) -> None:
    settings.database.url, settings.redis.url = "postgresql://nobody@127.0.0.1:1/nothing", "redis://127.0.0.1:1"
    async with running_api(settings) as api:
        assert (await _post(api, hotel, json.dumps(_inbound()).encode())).status_code == 202


def test_what_is_no_text_is_left_out_and_all_else_kept() -> None:
    inbound = _inbound(content="a\0b 🏨\ud83c c", senderId="s\0", metadata={"guestName": " \ud800Ana "})
    channel, message = parse(json.dumps(inbound).encode(), NOW)
    assert (channel, message.content, message.route.sender_id, message.guest_name) == ("webchat", "ab 🏨 c", "s", "Ana")
    assert message.received_at == NOW


def test_a_file_needs_no_words() -> None:
    attachment = {"id": "1", "name": "map.pdf", "contentType": "application/pdf", "url": "https://hotel.test/map.pdf"}
    _, message = parse(json.dumps(_inbound(content="", metadata={"attachments": [attachment]})).encode(), NOW)
    assert [each.url for each in message.attachments] == ["https://hotel.test/map.pdf"]


@given(body=st.binary(), secret=st.text(st.characters(codec="utf-8")), other=st.binary())
def test_only_the_signature_of_a_body_verifies_it(body: bytes, secret: str, other: bytes) -> None:
    verify(body, secret, sign(body, secret))
    if other != body:
        with pytest.raises(BadSignature):
            verify(other, secret, sign(body, secret))


def _nested(each: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.lists(each) | st.dictionaries(st.text(), each)


ANY_JSON = st.recursive(st.none() | st.booleans() | st.floats() | st.text(), _nested)


@given(body=st.binary() | ANY_JSON.map(lambda each: json.dumps(each).encode()))
def test_what_is_no_message_is_told_by_its_field(body: bytes) -> None:
    with pytest.raises(Invalid) as told:
        parse(body, NOW)
    assert told.value.field


@given(parts=st.fixed_dictionaries({}, optional=dict.fromkeys(_inbound(), ANY_JSON)))
def test_a_message_with_any_part_is_parsed_or_told_by_its_field(parts: dict[str, Any]) -> None:
    told = _told(json.dumps(_inbound(**parts)).encode())
    assert told is None or told.split(".")[0] in _inbound()


def _told(body: bytes) -> str | None:
    """The field that is told to be wrong, None if none is."""
    try:
        parse(body, NOW)
    except Invalid as problem:
        return problem.field or "none"
    return None
