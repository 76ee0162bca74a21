"""What staff tell a conversation over REST, and what comes of it."""

import json
import uuid

import pytest

from contracts.conversations import Conversation
from settings import Settings
from tests.api import Api, Person, answered, problem
from tests.fakes.ai import FakeAI
from tests.support import Stack, workers

LIST = "/api/v1/conversations"
NOWHERE = f"{LIST}/{'a' * 26}-00000000"


@pytest.fixture
async def agent(api: Api, hotel: str) -> Person:
    return await api.person(hotel)


@pytest.fixture
async def talk(working: None, stack: Stack) -> str:
    return await answered(stack)


async def test_staff_take_over_reply_return_and_resolve(talk: str, agent: Person, api: Api, hotel: str) -> None:
    claimed = await agent.http.post(f"{talk}/claim", json={"reason": "I know this guest"})
    assert (claimed.status_code, claimed.json()["state"]) == (200, "escalated")
    assert claimed.json()["assignedTo"] == agent.staff.id
    assert (await agent.http.post(f"{talk}/claim")).status_code == 200
    sent = await agent.http.post(f"{talk}/messages", json={"content": "Good evening"})
    assert sent.status_code == 201
    assert (sent.json()["author"], sent.json()["authorName"]) == ("staff", agent.staff.name)

    colleague = await api.person(hotel)
    refused = await colleague.http.post(f"{talk}/claim")
    assert problem(refused) == (409, "held_by_other")
    assert refused.json()["assignedTo"] == agent.staff.id

    returned = await agent.http.post(f"{talk}/return")
    assert (returned.json()["state"], returned.json()["assignedTo"]) == ("active", None)
    refused = await colleague.http.post(f"{talk}/return")
    assert problem(refused) == (409, "wrong_state")
    assert refused.json()["state"] == "active"

    escalated = await agent.http.post(f"{talk}/escalate", json={"reason": "Refund"})
    assert escalated.json()["escalation"]["reason"] == "Refund"
    resolved = await agent.http.post(f"{talk}/resolve")
    assert resolved.json()["state"] == "resolved"
    assert problem(await colleague.http.post(f"{talk}/claim")) == (409, "resolved")
    assert problem(await colleague.http.post(f"{talk}/messages", json={"content": "too late"})) == (409, "resolved")


async def test_a_body_that_is_left_out_is_not_null(talk: str, agent: Person) -> None:
    headers = {"content-type": "application/json"}
    refused = await agent.http.post(f"{talk}/escalate", content=b" null\n", headers=headers)
    assert problem(refused) == (422, "invalid")
    assert "leave it out" in refused.json()["detail"]
    assert (await agent.http.post(f"{talk}/escalate", headers=headers)).status_code == 200


async def test_a_message_is_sent_once_however_often_it_is_posted(talk: str, agent: Person) -> None:
    client_id = str(uuid.uuid4())
    body = {"content": "One moment, please", "clientMessageId": client_id}
    first, again = [await agent.http.post(f"{talk}/messages", json=body) for _ in range(2)]
    assert first.json()["id"] == again.json()["id"] == client_id
    keyed = {"Idempotency-Key": "key-1"}
    one, two = [
        await agent.http.post(f"{talk}/messages", json={"content": "Here I am"}, headers=keyed) for _ in range(2)
    ]
    assert one.json()["id"] == two.json()["id"] != client_id
    plain, other = [await agent.http.post(f"{talk}/messages", json={"content": "Here I am"}) for _ in range(2)]
    assert plain.json()["id"] != other.json()["id"]


async def test_a_message_cannot_have_the_id_of_a_guests(talk: str, agent: Person) -> None:
    said = (await agent.http.get(f"{talk}/messages")).json()["items"][0]
    body = {"content": "One moment, please", "clientMessageId": said["id"]}
    refused = await agent.http.post(f"{talk}/messages", json=body)
    assert problem(refused) == (422, "invalid")
    assert refused.json()["field"] == "clientMessageId"


async def test_the_same_key_is_the_same_command(talk: str, agent: Person) -> None:
    keyed = {"Idempotency-Key": "first"}
    claimed = await agent.http.post(f"{talk}/claim", headers=keyed)
    await agent.http.post(f"{talk}/return", headers=keyed)
    repeated = await agent.http.post(f"{talk}/claim", headers=keyed)
    assert repeated.status_code == 200
    assert repeated.json() == claimed.json()
    again = await agent.http.post(f"{talk}/claim", headers={"Idempotency-Key": "second"})
    assert again.json()["seq"] > claimed.json()["seq"]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "content"),
        ({"content": ""}, "content"),
        ({"content": " \n"}, "content"),
        ({"content": "x" * 4097}, "content"),
        ({"content": 7}, "content"),
        ({"content": None}, "content"),
        ({"content": ["hello"]}, "content"),
        ({"content": "a\0b"}, "content"),
        ({"content": "\ud800"}, "content"),
        ({"content": "x", "clientMessageId": "a b c d e f"}, "clientMessageId"),
        ({"content": "x", "clientMessageId": "short"}, "clientMessageId"),
        ({"content": "x", "private": "yes"}, "private"),
        ({"content": "x", "private": 1}, "private"),
        ({"content": "x", "attachments": [{"id": "1"}]}, "attachments.0.name"),
        ({"attachments": [{"id": "1", "name": "a", "contentType": "b", "url": "x" * 2049}]}, "attachments.0.url"),
        ({"template": {"name": "welcome", "parameters": ["x" * 1025]}}, "template.parameters.0"),
        ({"template": {"name": "welcome", "named_parameter": {"guest": "Ana"}}}, "template.named_parameter"),
        ({"content": "x", "colour": "red"}, "colour"),
        ([], "body"),
    ],
)
async def test_a_wrong_message_is_told_by_its_field(agent: Person, body: object, field: str) -> None:
    headers = {"Content-Type": "application/json"}
    response = await agent.http.post(f"{NOWHERE}/messages", content=json.dumps(body), headers=headers)
    assert problem(response) == (422, "invalid")
    assert response.json()["field"] == field


async def test_a_message_may_be_as_long_as_the_limit_or_only_a_file(talk: str, agent: Person) -> None:
    assert (await agent.http.post(f"{talk}/messages", json={"content": "ü" * 4096})).status_code == 201
    attachment = {"id": "1", "name": "map.pdf", "contentType": "application/pdf", "url": "https://hotel.test/map.pdf"}
    sent = await agent.http.post(f"{talk}/messages", json={"attachments": [attachment]})
    assert sent.status_code == 201
    assert sent.json()["attachments"] == [{**attachment, "size": 0}]


async def test_a_note_changes_nothing_and_may_come_after_the_end(talk: str, agent: Person, stack: Stack) -> None:
    note = {"content": "Likes a quiet room", "private": True, "clientMessageId": str(uuid.uuid4())}
    kept = await agent.http.post(f"{talk}/messages", json=note)
    assert kept.status_code == 201
    assert kept.json()["private"] is True
    assert (await agent.http.get(talk)).json()["state"] == "active"
    resolved = Conversation.model_validate((await agent.http.post(f"{talk}/resolve")).json())
    await stack.client.get_workflow_handle(resolved.workflow_id).result()
    await stack.stored(resolved)

    late = {**note, "content": "Left an umbrella", "clientMessageId": str(uuid.uuid4())}
    first, again = [await agent.http.post(f"{talk}/messages", json=late) for _ in range(2)]
    assert first.status_code == again.status_code == 201
    assert first.json() == again.json()
    assert first.json()["seq"] == resolved.seq + 1
    messages = (await agent.http.get(f"{talk}/messages")).json()["items"]
    assert messages[-1] == first.json()
    events = (await agent.http.get(f"{talk}/events", params={"after": resolved.seq})).json()["items"]
    assert [event["message"]["id"] for event in events] == [late["clientMessageId"]]


async def test_a_note_after_the_end_tells_whom_it_names_once(
    talk: str, agent: Person, api: Api, hotel: str, stack: Stack
) -> None:
    colleague = await api.signed_in(await api.hire(hotel))
    resolved = Conversation.model_validate((await agent.http.post(f"{talk}/resolve")).json())
    await stack.client.get_workflow_handle(resolved.workflow_id).result()
    await stack.stored(resolved)
    note = {"content": "@marta reis, they left a scarf", "private": True, "clientMessageId": str(uuid.uuid4())}
    for _ in range(2):
        assert (await agent.http.post(f"{talk}/messages", json=note)).status_code == 201
    items = (await colleague.http.get("/api/v1/notifications")).json()["items"]
    (told,) = [each for each in items if each["kind"] == "mention"]
    assert (told["text"], told["staffId"]) == ("Rui Lima mentioned you", colleague.staff.id)
    assert told["conversationId"] == resolved.conversation_id


async def test_without_a_worker_the_outcome_is_unknown_and_a_repeat_is_safe(
    stack: Stack, ai: FakeAI, agent: Person
) -> None:
    guest = stack.guest()
    async with workers(stack.settings, stack.client):
        await guest.ask("Hello?")
        conversation = await guest.conversation()
        await stack.stored(conversation)
    path = f"{LIST}/{conversation.conversation_id}/messages"
    unknown = await agent.http.post(path, json={"content": "I am here"})
    assert problem(unknown) == (503, "outcome_unknown")
    assert "retry-after" in unknown.headers
    async with workers(stack.settings, stack.client):
        body = {"content": "I am here", "clientMessageId": unknown.json()["clientMessageId"]}
        sent = await agent.http.post(path, json=body)
        assert (sent.status_code, sent.json()["id"]) == (201, body["clientMessageId"])
        assert [each.content for each in await guest.messages()].count("I am here") == 1


async def test_a_note_on_a_resolved_conversation_that_may_reopen_is_the_workflow_s(
    settings: Settings, stack: Stack, ai: FakeAI, api: Api, hotel: str
) -> None:
    settings.conversation.resolved_window = 3_600_000
    agent = await api.person(hotel)
    async with workers(stack.settings, stack.client):
        guest = stack.guest()
        await guest.ask("Hello?")
        conversation = await guest.conversation()
        path = f"{LIST}/{conversation.conversation_id}"
        await agent.http.post(f"{path}/resolve")
        note = await agent.http.post(f"{path}/messages", json={"content": "Left happy", "private": True})
        assert note.status_code == 201
        await guest.ask("One more thing")
        conversation = await guest.conversation()
        assert conversation.conversation_id == path.removeprefix(f"{LIST}/")
        await stack.stored(conversation)
        stored = (await agent.http.get(f"{path}/messages")).json()["items"]
        assert [(each["seq"], each["content"]) for each in stored] == [
            (each.seq, each.content) for each in await guest.messages()
        ]
        assert note.json()["id"] in [each["id"] for each in stored]


@pytest.mark.parametrize("far", ["P999999999D", "-P1D", 86399999999999, "P4000Y"])
async def test_a_service_level_beyond_all_measure_is_refused(talk: str, agent: Person, far: object) -> None:
    level = {"firstResponse": far, "nextResponse": "PT2H"}
    refused = await agent.http.post(f"{talk}/policy", json={"serviceLevels": {"normal": level}})
    assert (problem(refused), refused.json()["field"]) == ((422, "invalid"), "serviceLevels.normal.firstResponse")
