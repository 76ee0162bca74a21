"""Templates by the API: filled in order or by name, with a file and links, or refused for a reason that is told."""

from typing import Any

import pytest

from tests.api import Api, problem
from tests.fakes.ai import FakeAI
from tests.fakes.graph import FakeGraph
from tests.fakes.smtp import FakeSmtp
from tests.fakes.twilio import FakeTwilio
from tests.support import Stack, eventually
from tests.whatsapp import delivered, number, reply_of
from tests.whatsapp import guest as whatsapp_guest

WELCOME = {"name": "welcome", "language": "pt_PT", "namedParameters": {"guest": "Ana"}, "buttonLinks": {"0": "4711"}}


async def _opened(api: Api, hotel: str, recipient: str, template: dict[str, Any], *kinds: str) -> dict[str, Any]:
    """A conversation that begins with a template, and files of some types."""
    agent = await api.person(hotel)
    files = [await api.state.media.put(hotel, b"OggS" + b"\0" * 40, name="a", content_type=each) for each in kinds]
    opening = {
        "propertyId": hotel,
        "channelType": "sms" if recipient.startswith("+") else "whatsapp",
        "recipientId": recipient,
        "template": template,
        "attachments": [each.attachment.model_dump(mode="json") for each in files],
    }
    opened = await agent.http.post("/api/v1/conversations", json=opening)
    assert opened.status_code == 201, opened.text
    created: dict[str, Any] = opened.json()
    return created


async def test_a_template_may_be_filled_by_name(
    api: Api, stack: Stack, working: None, ai: FakeAI, graph: FakeGraph, hotel: str
) -> None:
    recipient = number()
    await _opened(api, hotel, recipient, WELCOME)

    async def look() -> dict[str, Any] | None:
        return graph.taken[0].payload if graph.taken else None

    sent = await eventually(look, what="the template to be sent")
    assert sent["template"] == {
        "name": "welcome",
        "language": {"code": "pt_PT"},
        "components": [
            {"type": "body", "parameters": [{"type": "text", "parameter_name": "guest", "text": "Ana"}]},
            {"type": "button", "sub_type": "url", "index": "0", "parameters": [{"type": "text", "text": "4711"}]},
        ],
    }
    assert (await reply_of(whatsapp_guest(stack, recipient))).content == "[welcome] · Ana · 4711"


@pytest.mark.parametrize("kinds", [("audio/ogg",), ("video/ogg", "video/ogg")], ids=" and ".join)
async def test_files_that_a_template_cannot_carry_are_not_dropped_in_silence(
    api: Api, stack: Stack, working: None, ai: FakeAI, graph: FakeGraph, hotel: str, kinds: tuple[str, ...]
) -> None:
    recipient = number()
    await _opened(api, hotel, recipient, WELCOME, *kinds)
    row = await delivered(stack, await reply_of(whatsapp_guest(stack, recipient)), "failed")
    assert row["delivery_reason"] == "a template takes one file at most: a picture, a film or a document"
    assert graph.attempts == []


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"parameters": ["Ana"]}, "template"),
        ({"buttonLinks": {"ten": "x"}}, "template"),
        ({"namedParameters": {"": "x"}}, "template"),
        ({"namedParameters": {"a": "x" * 1025}}, "template"),
    ],
)
async def test_what_is_wrong_with_a_template_is_told(
    api: Api, graph: FakeGraph, hotel: str, wrong: dict[str, Any], field: str
) -> None:
    agent = await api.person(hotel)
    opening = {
        "propertyId": hotel,
        "channelType": "whatsapp",
        "recipientId": number(),
        "template": {**WELCOME, **wrong},
    }
    refused = await agent.http.post("/api/v1/conversations", json=opening)
    assert problem(refused) == (422, "invalid")
    assert refused.json()["field"].startswith(field)


@pytest.mark.parametrize("more", [{"buttonLinks": {"0": "x"}}, {}], ids=["links", "files"])
async def test_twilio_s_templates_have_all_in_their_parameters(
    api: Api, stack: Stack, working: None, ai: FakeAI, twilio: FakeTwilio, hotel: str, more: dict[str, Any]
) -> None:
    recipient = f"+{number()}"
    kinds = [] if more else ["video/ogg"]
    await _opened(api, hotel, recipient, {"name": "HX1", "parameters": ["Ana"], **more}, *kinds)
    writer = stack.guest(adapter="twilio", channel_type="sms", sender_id=recipient)
    row = await delivered(stack, await reply_of(writer), "failed")
    assert row["delivery_reason"] == "a Twilio template takes files and links of buttons as parameters"
    assert twilio.attempts == []


async def test_a_channel_without_templates_takes_none_without_content(
    api: Api, working: None, smtp: FakeSmtp, hotel: str
) -> None:
    agent = await api.person(hotel)
    opening = {"propertyId": hotel, "channelType": "email", "recipientId": "ana@example.com", "template": WELCOME}
    refused = await agent.http.post("/api/v1/conversations", json=opening)
    assert (problem(refused), refused.json()["field"]) == ((422, "invalid"), "template")
    opened = await agent.http.post("/api/v1/conversations", json=opening | {"content": "Your room is ready."})
    assert opened.status_code == 201, opened.text
    talk = f"/api/v1/conversations/{opened.json()['conversationId']}/messages"
    unsent = await agent.http.post(talk, json={"template": WELCOME})
    assert (problem(unsent), unsent.json()["field"]) == ((422, "invalid"), "template")
