"""Automations over REST: what is written is checked, versions are kept apart, and a dry run tells what would fire."""

import uuid
from typing import Any

import pytest

from contracts.automations import AutomationRule, is_own_effect
from contracts.messages import Author, Delivery, DeliveryState, Message
from contracts.property_events import PropertyEvent
from tests.api import Api, Person, problem
from tests.support import Guest, Stack
from tests.task_records import NOW

AUTOMATIONS = "/api/v1/automations"
TASK = {"type": "create_task", "department": "front_desk", "title": "Look in", "dueIn": "PT15M"}


@pytest.fixture
async def manager(api: Api, hotel: str) -> Person:
    return await api.person(hotel, role="manager")


def _rule(**more: Any) -> dict[str, Any]:
    return {"id": "night", "name": "Night", "when": ["conversation.escalated"], "then": [TASK], **more}


async def test_rules_are_written_read_and_deleted(manager: Person, hotel: str) -> None:
    none = await manager.http.get(AUTOMATIONS, params={"property": hotel})
    assert (none.json()["rules"], none.headers["etag"]) == ([], '"0"')
    rules = [_rule(**{"if": {"businessHours": "closed", "channels": ["sms"]}}), _rule(id="other", when=["task.*"])]
    body = {"propertyId": hotel, "rules": rules}
    written = await manager.http.put(AUTOMATIONS, json=body, headers={"If-Match": '"0"'})
    assert written.status_code == 200, written.text
    read = await manager.http.get(AUTOMATIONS, params={"property": hotel})
    assert read.json() == written.json()
    first = read.json()["rules"][0]
    assert (first["if"]["businessHours"], first["then"][0]["dueIn"]) == ("closed", "PT15M")
    assert first["enabled"] is True
    assert (await manager.http.get(f"{AUTOMATIONS}/{hotel}/night")).json() == first
    again = await manager.http.put(AUTOMATIONS, json={"propertyId": hotel, "rules": read.json()["rules"]})
    assert again.json()["rules"] == read.json()["rules"]  # what is read can be written
    assert problem(await manager.http.put(AUTOMATIONS, json=body, headers={"If-Match": '"1"'})) == (412, "stale")
    assert (await manager.http.delete(f"{AUTOMATIONS}/{hotel}/night")).status_code == 204
    left = (await manager.http.get(AUTOMATIONS, params={"property": hotel})).json()["rules"]
    assert [rule["id"] for rule in left] == ["other"]
    assert problem(await manager.http.get(f"{AUTOMATIONS}/{hotel}/night")) == (404, "not_found")
    assert problem(await manager.http.delete(f"{AUTOMATIONS}/{hotel}/night")) == (404, "not_found")


@pytest.mark.parametrize(
    ("rule", "field"),
    [
        (_rule(wehn=["task.*"]), "rules.0.wehn"),
        (_rule(when=["task.done"]), "rules.0.when.0"),
        (_rule(when=[]), "rules.0.when"),
        (_rule(id="Night Call"), "rules.0.id"),
        (_rule(**{"if": {"channel": "sms"}}), "rules.0.if.channel"),
        (_rule(**{"if": {"channels": ["fax"]}}), "rules.0.if.channels.0"),
        (_rule(then=[]), "rules.0.then"),
        (_rule(then=[{"type": "send_fax"}]), "rules.0.then.0"),
        (_rule(then=["create_task"]), "rules.0.then.0"),
        (_rule(then=[{**TASK, "titel": "x"}]), "rules.0.then.0.create_task.titel"),
        (_rule(then=[{**TASK, "dueIn": "PT-5M"}]), "rules.0.then.0.create_task.dueIn"),
        (_rule(then=[{**TASK, "assignedTo": "nobody"}]), "rules.0.then.0.assignedTo"),
        (_rule(then=[{"type": "assign", "staffId": "nobody"}]), "rules.0.then.0.staffId"),
        (_rule(then=[TASK, {"type": "notify_staff", "text": "x", "staffId": "nobody"}]), "rules.0.then.1.staffId"),
        (_rule(then=[{"type": "call_webhook", "endpointId": "nothing"}]), "rules.0.then.0.endpointId"),
        (_rule(then=[{"type": "send_message"}]), "rules.0.then.0.content"),
        (_rule(name="a\0b"), "rules"),
    ],
)
async def test_what_is_wrong_is_named(manager: Person, hotel: str, rule: dict[str, Any], field: str) -> None:
    answer = await manager.http.put(AUTOMATIONS, json={"propertyId": hotel, "rules": [rule]})
    assert problem(answer) == (422, "invalid")
    assert answer.json()["field"] == field


async def test_what_a_conversation_that_has_ended_refuses_is_no_rule_but_stays_where_it_stands(
    api: Api, manager: Person, hotel: str
) -> None:
    thanks = _rule(
        when=["conversation.escalated", "conversation.resolved"], then=[{"type": "send_message", "content": "Bye"}]
    )
    answer = await manager.http.put(AUTOMATIONS, json={"propertyId": hotel, "rules": [_rule(id="first"), thanks]})
    assert (problem(answer), answer.json()["field"]) == ((422, "invalid"), "rules.1.then.0.type")
    assert "the conversation has ended and refuses send_message" in answer.json()["detail"]
    standing = AutomationRule.model_validate(thanks)
    await api.state.automations.put(hotel, [standing], by="ana", allow=lambda _: None)
    with_another = {"propertyId": hotel, "rules": [thanks, _rule(id="another")]}
    assert (await manager.http.put(AUTOMATIONS, json=with_another)).status_code == 200
    changed = {"propertyId": hotel, "rules": [{**thanks, "name": "Thanks"}]}
    assert problem(await manager.http.put(AUTOMATIONS, json=changed)) == (422, "invalid")
    assert (await manager.http.delete(f"{AUTOMATIONS}/{hotel}/another")).status_code == 204


@pytest.mark.parametrize(
    ("when", "action", "taken"),
    [
        ("conversation.resolved", {"type": "set_priority", "priority": "low"}, False),
        ("conversation.rated", {"type": "send_message", "content": "Thank you"}, False),
        ("conversation.resolved", TASK, True),
        ("conversation.*", {"type": "set_priority", "priority": "low"}, True),
        ("task.created", {"type": "set_priority", "priority": "low"}, True),
    ],
)
async def test_what_has_ended_takes_no_commands(
    manager: Person, hotel: str, when: str, action: dict[str, Any], taken: bool
) -> None:
    body = {"propertyId": hotel, "rules": [_rule(when=[when], then=[action])]}
    assert (await manager.http.put(AUTOMATIONS, json=body)).status_code == (200 if taken else 422)


async def test_two_rules_of_one_id_are_refused(manager: Person, hotel: str) -> None:
    answer = await manager.http.put(AUTOMATIONS, json={"propertyId": hotel, "rules": [_rule(), _rule()]})
    assert (problem(answer), answer.json()["field"]) == ((422, "invalid"), "rules.1.id")


async def test_rules_are_written_by_managers_of_the_property(api: Api, manager: Person, hotel: str) -> None:
    body = {"propertyId": hotel, "rules": [_rule()]}
    assert (await manager.http.put(AUTOMATIONS, json=body)).status_code == 200
    agent, stranger = await api.person(hotel), await api.person("elsewhere", role="admin")
    assert (await agent.http.get(f"{AUTOMATIONS}/{hotel}/night")).status_code == 200
    assert problem(await agent.http.put(AUTOMATIONS, json=body)) == (403, "forbidden")
    assert problem(await agent.http.delete(f"{AUTOMATIONS}/{hotel}/night")) == (403, "forbidden")
    assert problem(await stranger.http.put(AUTOMATIONS, json=body)) == (403, "forbidden")
    assert problem(await stranger.http.get(AUTOMATIONS, params={"property": hotel})) == (403, "forbidden")


async def test_a_dry_run_tells_what_would_fire_and_does_nothing(
    manager: Person, guest: Guest, stack: Stack, working: None, hotel: str
) -> None:
    await guest.ask("I want to talk to a person")
    conversation = await guest.conversation()
    await stack.stored(conversation)
    rules = [
        _rule(),
        _rule(id="sms-only", **{"if": {"channels": ["sms"]}}),
        _rule(id="words", when=["message.received"]),
        _rule(id="off", enabled=False),
    ]
    await manager.http.put(AUTOMATIONS, json={"propertyId": hotel, "rules": rules})
    body: dict[str, Any] = {"conversationId": conversation.conversation_id}
    items = (await manager.http.post(f"{AUTOMATIONS}/dry-run", json=body)).json()["items"]
    assert [(each["type"], each["rules"]) for each in items] == [
        ("message.received", ["words"]),
        ("conversation.escalated", ["night"]),
    ]
    only = {**body, "eventTypes": ["conversation.*"], "rules": [_rule(id="tried")]}
    items = (await manager.http.post(f"{AUTOMATIONS}/dry-run", json=only)).json()["items"]
    assert [each["rules"] for each in items] == [["tried"]]
    assert await stack.rows("SELECT id FROM tasks WHERE property_id = :id", id=hotel) == []
    unknown = {"conversationId": f"{'a' * 26}-{uuid.uuid4().hex[:8]}"}
    assert problem(await manager.http.post(f"{AUTOMATIONS}/dry-run", json=unknown)) == (404, "not_found")


async def test_a_dry_run_tells_of_the_tasks_of_a_conversation(
    manager: Person, guest: Guest, stack: Stack, working: None, hotel: str
) -> None:
    await guest.ask("I want to talk to a person")
    conversation = await guest.conversation()
    await stack.stored(conversation)
    task = {"propertyId": hotel, "department": "front_desk", "title": "Call back"}
    for conversation_id in (conversation.conversation_id, None):
        sent = {**task, "conversationId": conversation_id} if conversation_id else task
        assert (await manager.http.post("/api/v1/tasks", json=sent)).status_code == 201
    rules = [_rule(id="tasks", when=["task.created"]), _rule()]
    body = {"conversationId": conversation.conversation_id, "rules": rules}
    items = (await manager.http.post(f"{AUTOMATIONS}/dry-run", json=body)).json()["items"]
    assert [(each["type"], each["rules"]) for each in items] == [
        ("conversation.escalated", ["night"]),
        ("task.created", ["tasks"]),
    ]


@pytest.mark.parametrize(("author", "own"), [(Author.SYSTEM, True), (Author.GUEST, False), (Author.STAFF, False)])
def test_what_others_bring_is_no_automations_own_whatever_its_id(author: Author, own: bool) -> None:
    sent = Message(
        id="auto-1",
        conversation_id="c",
        seq=1,
        author=author,
        content="",
        created_at=NOW,
        delivery=Delivery(state=DeliveryState.SENT),
    )
    event = PropertyEvent(type="message.sent", property_id="hotel", position=1, at=NOW, message=sent)
    assert is_own_effect(event) is own
