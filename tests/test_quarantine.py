"""What nobody could read: kept as it came, told to staff, listed, and tried again after a mend."""

import json
import uuid
from typing import Any

import pytest

from activities.channels import whatsapp_content
from activities.channels.whatsapp_content import Said
from settings import Settings
from tests.api import Api, pages, problem
from tests.fakes.ai import FakeAI
from tests.fakes.graph import FakeGraph
from tests.fakes.twilio import FakeTwilio
from tests.sms import post as post_sms
from tests.sms import sms
from tests.support import Stack, workers
from tests.whatsapp import change, guest, message, notification, number, post

QUARANTINE = "/api/v1/quarantine"


async def _listed(api: Api, hotel: str, **query: Any) -> list[dict[str, Any]]:
    agent = await api.person(hotel)
    answer = await agent.http.get(QUARANTINE, params=query)
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b"[]", "it has no list `entry`"),
        (b'{"entry": [7]}', "an entry has no list `changes`"),
        (b'{"entry": [{"changes": [7]}]}', "a change has no object `value`"),
        (b'{"entry": [{"changes": [{"field": "pigeons", "value": {}}]}]}', "a change is not of `messages`"),
        (json.dumps(notification(change())).encode(), "a change needs lists"),
        (json.dumps(notification(change(messages={}))).encode(), "a change needs lists"),
        (json.dumps(notification(change(messages=["x"]))).encode(), "item"),
        (json.dumps(notification(change(messages=[message(None, text={"body": "x"})]))).encode(), "it has no sender"),
        (json.dumps(notification(change(messages=[message("1", text={"body": 7.5})]))).encode(), ""),
        (json.dumps(notification(change(messages=[message("1", kind="hologram")]))).encode(), "messages of type"),
        (json.dumps(notification(change(messages=[message("1", timestamp="soon")]))).encode(), "timestamp"),
        (json.dumps(notification(change(messages=[message("1", timestamp="9" * 30)]))).encode(), "timestamp"),
        (json.dumps(notification(change(statuses=[{"id": "1"}]))).encode(), "status"),
        (json.dumps(notification(change(errors=[{"code": 131000}]))).encode(), "WhatsApp reports an error"),
    ],
)
async def test_what_is_signed_and_not_understood_is_kept_and_acknowledged(
    api: Api, graph: FakeGraph, hotel: str, body: bytes, reason: str
) -> None:
    for _ in range(2):
        assert (await post(api, hotel, body)).status_code == 200
    items = await _listed(api, hotel)
    if reason:
        assert [each["reason"].startswith(reason) for each in items] == [True], items
        assert (items[0]["adapter"], items[0]["propertyId"], items[0]["handledAt"]) == ("whatsapp", hotel, None)


async def test_staff_are_told_once_and_for_a_while(api: Api, graph: FakeGraph, hotel: str) -> None:
    for kind in ("hologram", "scent"):
        body = notification(change(messages=[message(number(), kind=kind)]))
        assert (await post(api, hotel, body)).status_code == 200
    agent = await api.person(hotel)
    told = (await agent.http.get("/api/v1/notifications")).json()["items"]
    assert [each["kind"] for each in told] == ["system"]
    assert "quarantine" in told[0]["text"]


async def test_changes_about_the_account_are_no_ones_message(api: Api, graph: FakeGraph, hotel: str) -> None:
    about = {"field": "message_template_status_update", "value": {"event": "APPROVED", "message_template_id": 1}}
    assert (await post(api, hotel, notification(about))).status_code == 200
    assert await _listed(api, hotel) == []


async def test_a_retry_after_a_mend_handles_it_once(
    api: Api,
    stack: Stack,
    ai: FakeAI,
    graph: FakeGraph,
    hotel: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sender = number()
    item = message(sender, kind="hologram", hologram={"body": "Help"})
    assert (await post(api, hotel, notification(change(messages=[item])))).status_code == 200
    (kept,) = await _listed(api, hotel, handled="false")
    agent, retry = await api.person(hotel), f"{QUARANTINE}/{kept['id']}/retry"
    still = (await agent.http.post(retry)).json()
    assert still["handledAt"] is None
    assert still["retriedAt"] is not None
    assert "hologram" in still["reason"]
    monkeypatch.setitem(whatsapp_content._READERS, "hologram", lambda each: Said(str(each["hologram"]["body"])))
    async with workers(stack.settings, stack.client):
        for _ in range(2):
            handled = await agent.http.post(retry)
            assert (handled.status_code, handled.json()["handledAt"] is not None) == (200, True)
        assert (await guest(stack, sender).outcome(item["id"])).outcome == "answered"
        assert [each.content for each in await guest(stack, sender).messages()] == ["Help", "Answer to Help"]
    assert await _listed(api, hotel, handled="false") == []
    assert len(await _listed(api, hotel, handled="true")) == 1


async def test_a_number_that_is_set_later_is_found_by_a_retry(
    api: Api, stack: Stack, settings: Settings, graph: FakeGraph, hotel: str
) -> None:
    sender = number()
    item = message(sender, text={"body": "Hello"})
    body = notification(change(messages=[item], phone_number_id="777"))
    assert (await post(api, hotel, body)).status_code == 200
    (kept,) = await _listed(api, hotel)
    settings.properties[hotel].channels.whatsapp.phone_number_id = "777"
    agent = await api.person(hotel)
    assert (await agent.http.post(f"{QUARANTINE}/{kept['id']}/retry")).json()["handledAt"] is not None
    await guest(stack, sender).handle.describe()


async def test_a_form_is_read_again_too(api: Api, settings: Settings, twilio: FakeTwilio, hotel: str) -> None:
    account = "AC" + "7" * 32
    form = {**sms(f"+351{number()[3:]}", "Hello"), "AccountSid": account}
    assert (await post_sms(api, f"/webhooks/twilio/{hotel}", form)).status_code == 200
    (kept,) = await _listed(api, hotel, adapter="twilio")
    assert f"MessageSid={form['MessageSid']}" in kept["payload"]
    settings.properties[hotel].channels.twilio.account_sid = account
    agent = await api.person(hotel)
    assert (await agent.http.post(f"{QUARANTINE}/{kept['id']}/retry")).json()["handledAt"] is not None


async def test_it_is_listed_page_by_page_and_by_property(api: Api, graph: FakeGraph, hotel: str) -> None:
    for _ in range(3):
        body = notification(change(messages=[message(number(), kind="hologram")]))
        assert (await post(api, hotel, body)).status_code == 200
    agent, stranger = await api.person(hotel), await api.person("another", role="admin")
    assert len(await pages(agent.http, QUARANTINE, limit=1)) == 3
    assert (await stranger.http.get(QUARANTINE)).json()["items"] == []
    assert problem(await stranger.http.get(QUARANTINE, params={"property": hotel})) == (403, "forbidden")
    item_id = (await _listed(api, hotel, property=hotel))[0]["id"]
    assert problem(await stranger.http.post(f"{QUARANTINE}/{item_id}/retry")) == (403, "forbidden")
    assert problem(await agent.http.post(f"{QUARANTINE}/{uuid.uuid4().hex}/retry")) == (404, "not_found")
    assert problem(await agent.http.get(QUARANTINE, params={"cursor": "x"})) == (422, "invalid")
    assert problem(await api.http.get(QUARANTINE)) == (401, "unauthenticated")
