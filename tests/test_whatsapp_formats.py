"""Every format that WhatsApp sends: from the signed webhook into Temporal, and what guest and staff see of it."""

import asyncio
import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from activities.channels.whatsapp import parse
from activities.channels.whatsapp_content import KINDS
from contracts.media import MEDIA_PATH
from tests.api import Api, problem
from tests.fakes.ai import FakeAI, confident
from tests.fakes.graph import VERIFY_TOKEN, FakeGraph
from tests.support import Stack, workers
from tests.whatsapp import change, contact, guest, message, notification, number, post, reply_of, settled, text, write

MEDIA = {"id": "1908647269898587", "mime_type": "image/jpeg", "sha256": "s/Z="}
CONTEXT = {"from": "351210000000", "id": "wamid.EARLIER"}


@dataclass
class Row:
    """`says` is what staff and the AI read; `files` how they are named."""

    name: str
    parts: dict[str, Any]
    says: str
    kind: str = ""
    files: list[str] = field(default_factory=list)
    suppressed: bool = False

    @property
    def type(self) -> str:
        return self.kind or self.name


ROWS = [
    Row("text", {"text": {"body": "Is there a pool? 🏊"}}, "Is there a pool? 🏊"),
    Row("image", {"image": {**MEDIA, "caption": "My room"}}, "My room", files=["image.jpg"]),
    Row("image without words", {"image": MEDIA}, "[Photo]", kind="image", files=["image.jpg"]),
    Row("audio", {"audio": {**MEDIA, "mime_type": "audio/mpeg"}}, "[Audio]", files=["audio.mp3"]),
    Row(
        "voice message",
        {"audio": {**MEDIA, "mime_type": "audio/ogg; codecs=opus", "voice": True}},
        "[Voice message]",
        kind="audio",
        files=["audio.ogg"],
    ),
    Row("voice", {"voice": {**MEDIA, "mime_type": "audio/ogg"}}, "[Voice message]", files=["voice.ogg"]),
    Row("video", {"video": {**MEDIA, "mime_type": "video/mp4"}}, "[Video]", files=["video.mp4"]),
    Row(
        "document",
        {"document": {**MEDIA, "mime_type": "application/pdf", "filename": "invoice.pdf"}},
        "[Document: invoice.pdf]",
        files=["invoice.pdf"],
    ),
    Row(
        "sticker",
        {"sticker": {**MEDIA, "mime_type": "image/webp", "animated": False}},
        "[Sticker]",
        files=["sticker.webp"],
    ),
    Row(
        "location",
        {"location": {"latitude": 38.71, "longitude": -9.14, "name": "Rossio", "address": "Lisbon"}},
        "[Location: Rossio, Lisbon, 38.71, -9.14]",
    ),
    Row(
        "contacts",
        {
            "contacts": [
                {
                    "name": {"formatted_name": "Rui Lima", "first_name": "Rui"},
                    "phones": [{"phone": "+351 910 000 000", "wa_id": "351910000000", "type": "CELL"}],
                    "emails": [{"email": "rui@guest.test", "type": "HOME"}],
                }
            ]
        },
        "[Contact: Rui Lima, +351 910 000 000, rui@guest.test]",
    ),
    Row(
        "reaction",
        {"reaction": {"message_id": "wamid.EARLIER", "emoji": "👍"}},
        "[Reacted 👍 to a message]",
        suppressed=True,
    ),
    Row(
        "reaction taken back",
        {"reaction": {"message_id": "wamid.EARLIER", "emoji": ""}},
        "[Took a reaction back]",
        kind="reaction",
        suppressed=True,
    ),
    Row("button", {"context": CONTEXT, "button": {"payload": "yes", "text": "Yes, please"}}, "Yes, please"),
    Row(
        "interactive button",
        {"context": CONTEXT, "interactive": {"type": "button_reply", "button_reply": {"id": "1", "title": "Book"}}},
        "Book",
        kind="interactive",
    ),
    Row(
        "interactive list",
        {
            "context": CONTEXT,
            "interactive": {
                "type": "list_reply",
                "list_reply": {"id": "2", "title": "Late check-out", "description": "until 2 pm"},
            },
        },
        "Late check-out (until 2 pm)",
        kind="interactive",
    ),
    Row(
        "interactive permission",
        {
            "interactive": {
                "type": "call_permission_reply",
                "call_permission_reply": {
                    "response": "accept",
                    "is_permanent": False,
                    "response_source": "user_action",
                },
            }
        },
        "[Allows calls]",
        kind="interactive",
        suppressed=True,
    ),
    Row(
        "interactive form",
        {
            "interactive": {
                "type": "nfm_reply",
                "nfm_reply": {"name": "flow", "body": "Sent", "response_json": '{"guests":2}'},
            }
        },
        '[Form: Sent {"guests":2}]',
        kind="interactive",
    ),
    Row(
        "order",
        {
            "order": {
                "catalog_id": "1",
                "text": "Tonight",
                "product_items": [{"product_retailer_id": "wine", "quantity": 2}],
            }
        },
        "Tonight\n[Order: 2 x wine]",
    ),
    Row(
        "edit",
        {
            "edit": {
                "original_message_id": "wamid.EARLIER",
                "message": {"type": "text", "text": {"body": "Three towels"}},
            }
        },
        "[Edited an earlier message] Three towels",
    ),
    Row(
        "revoke", {"revoke": {"original_message_id": "wamid.EARLIER"}}, "[Deleted an earlier message]", suppressed=True
    ),
    Row(
        "unsupported",
        {"errors": [{"code": 131051, "title": "Message type unknown", "message": "Message type unknown"}]},
        "[A message that WhatsApp does not pass on: Message type unknown]",
    ),
    Row("unknown", {"errors": []}, "[A message that WhatsApp does not pass on]"),
    Row(
        "system",
        {"system": {"body": "Ana changed from 1 to 2", "type": "user_changed_number", "wa_id": "2"}},
        "[Ana changed from 1 to 2]",
        suppressed=True,
    ),
    Row("request_welcome", {}, "[Opened the chat]"),
    Row(
        "referral",
        {
            "text": {"body": "Do you have rooms?"},
            "referral": {"source_type": "ad", "source_url": "https://fb.me/1", "headline": "Summer by the sea"},
        },
        "Do you have rooms?\n[Came from an advert: Summer by the sea, https://fb.me/1]",
        kind="text",
    ),
    Row(
        "quoted",
        {"text": {"body": "Yes, that one"}, "context": CONTEXT},
        "[In reply to an earlier message]\nYes, that one",
        kind="text",
    ),
    Row("quoted by a figure", {"text": {"body": "5"}, "context": CONTEXT}, "5", kind="text"),
    Row(
        "forwarded",
        {"text": {"body": "See you at eight"}, "context": {"forwarded": True}},
        "[Forwarded]\nSee you at eight",
        kind="text",
    ),
]


def test_the_table_has_every_format() -> None:
    assert {row.type for row in ROWS} == KINDS
    asked_for = ["button", "interactive list", "edit", "revoke", "unsupported", "referral", "quoted", "reaction"]
    assert set(asked_for) < {row.name for row in ROWS}


READ = "I have read what you sent"
"""An answer without figures, which would have to stand in an article."""


async def test_every_format_is_read_by_staff_and_answered_once(
    api: Api, stack: Stack, ai: FakeAI, graph: FakeGraph, hotel: str
) -> None:
    ai.respond = lambda request: confident(request).model_copy(update={"response": READ})

    async def check(row: Row) -> None:
        sender = number()
        item = message(sender, kind=row.type, **row.parts)
        body = notification(change(messages=[item], contacts=[contact(sender)]))
        assert (await post(api, hotel, body)).status_code == 200, row.name
        assert (await post(api, hotel, body)).status_code == 200, row.name
        writer = guest(stack, sender)
        outcome = await writer.outcome(item["id"])
        assert outcome.outcome == ("suppressed" if row.suppressed else "answered"), row.name
        seen, *answers = await writer.messages()
        assert (seen.content, [each.name for each in seen.attachments]) == (row.says, row.files), row.name
        assert all(each.url.startswith(MEDIA_PATH) for each in seen.attachments), row.name
        assert (await writer.conversation()).guest_name == "Ana Souza"
        if not row.suppressed:
            await settled(writer, await reply_of(writer))
        sent = [each.text for each in graph.taken if each.payload["to"] == sender]
        assert sent == ([] if row.suppressed else [READ]), row.name
        assert [each.content for each in answers] == sent

    async with workers(stack.settings, stack.client):
        await asyncio.gather(*(check(row) for row in ROWS))


@pytest.mark.parametrize("unit", [1, 1000])
async def test_seconds_and_milliseconds_are_told_apart(
    api: Api, stack: Stack, ai: FakeAI, graph: FakeGraph, hotel: str, unit: int
) -> None:
    sender = number()
    item = text(sender, "Hello")
    item["timestamp"] = str(int(item["timestamp"]) * unit)
    async with workers(stack.settings, stack.client):
        await write(api, hotel, item)
        assert (await guest(stack, sender).outcome(item["id"])).outcome == "answered"


async def test_a_guest_who_has_only_a_user_id_is_answered_by_it(
    api: Api, stack: Stack, ai: FakeAI, graph: FakeGraph, hotel: str
) -> None:
    user_id = f"PT.{number()}"
    named = {"profile": {"name": "Ana", "username": "@ana"}, "user_id": user_id}
    item = {**message(None, text={"body": "Hello"}), "from_user_id": user_id}
    async with workers(stack.settings, stack.client):
        body = notification(change(messages=[item], contacts=[named]))
        assert (await post(api, hotel, body)).status_code == 200
        assert (await guest(stack, user_id).outcome(item["id"])).outcome == "answered"
        await settled(guest(stack, user_id), await reply_of(guest(stack, user_id)))
    assert graph.taken[0].payload["recipient"] == user_id
    assert "to" not in graph.taken[0].payload
    # Without `from_user_id` either, the only contact of the notification is who wrote.
    alone = notification(change(messages=[message(None, text={"body": "Again"})], contacts=[named]))
    assert (await post(api, hotel, alone)).status_code == 200
    assert await stack.rows("SELECT id FROM quarantine WHERE property_id = :hotel", hotel=hotel) == []


def test_the_window_and_the_newest_message_travel_with_the_route() -> None:
    item = text("351900000000", "Hello")
    now = datetime.now(UTC)
    received = parse(json.dumps(notification(change(messages=[item]))).encode(), now).received[0].message
    assert received.route.free_text_until == received.sent_at + timedelta(hours=24)
    assert received.route.context == {"messageId": item["id"]}


@pytest.mark.parametrize(
    ("kind", "parts"),
    [
        ("text", {"text": {"body": "Hello"}, "context": None, "referral": None}),
        ("text", {"text": {"body": "Hello"}, "context": {"id": None, "forwarded": None}}),
        ("image", {"image": {**MEDIA, "caption": None}}),
        ("audio", {"audio": {**MEDIA, "mime_type": "audio/ogg", "voice": None}}),
        ("reaction", {"reaction": {"message_id": "wamid.EARLIER", "emoji": None}}),
        ("contacts", {"contacts": [{"name": {"formatted_name": "Rui"}, "phones": None, "emails": None}]}),
        ("order", {"order": {"product_items": [{"product_retailer_id": "wine", "quantity": None}], "text": None}}),
        ("system", {"system": {"body": None, "type": "user_changed_number"}}),
        ("unsupported", {"errors": None}),
    ],
)
def test_null_says_nothing(kind: str, parts: dict[str, Any]) -> None:
    item = message("351900000000", kind=kind, **parts)
    named = {"profile": None, "wa_id": "351900000000"}
    batch = parse(json.dumps(notification(change(messages=[item], contacts=[named]))).encode(), datetime.now(UTC))
    assert ([each.message.id for each in batch.received], batch.unreadable) == ([item["id"]], [])


async def test_meta_is_answered_its_challenge_and_nobody_else(api: Api, graph: FakeGraph, hotel: str) -> None:
    path = f"/webhooks/whatsapp/{hotel}"
    asked = {"hub.mode": "subscribe", "hub.verify_token": VERIFY_TOKEN, "hub.challenge": "1158201444"}
    answer = await api.http.get(path, params=asked)
    assert (answer.status_code, answer.text) == (200, "1158201444")
    for wrong in ({"hub.verify_token": "other"}, {"hub.mode": "unsubscribe"}, {"hub.verify_token": "ä"}):
        assert problem(await api.http.get(path, params={**asked, **wrong})) == (403, "forbidden")
    assert problem(await api.http.get(path)) == (403, "forbidden")
    assert problem(await api.http.get("/webhooks/whatsapp/no-hotel", params=asked)) == (404, "not_found")


@pytest.mark.parametrize("signature", ["sha256=00", "sha1=00", "nonsense", "sha256=" + "0" * 64])
async def test_a_wrong_signature_is_refused_and_leaves_nothing(
    api: Api, stack: Stack, graph: FakeGraph, hotel: str, signature: str
) -> None:
    sender = number()
    body = notification(change(messages=[text(sender, "Hello"), {"id": 1}]))
    assert problem(await post(api, hotel, body, signature)) == (401, "bad_signature")
    found = [each async for each in stack.client.list_workflows(f"WorkflowId = '{guest(stack, sender).handle.id}'")]
    assert found == []
    assert await stack.rows("SELECT id FROM quarantine WHERE property_id = :hotel", hotel=hotel) == []
