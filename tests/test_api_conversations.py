"""Conversations over REST: reading, commanding, and what is left of both while a server is away."""

import json
import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream
from activities.storage.publications import Publications
from contracts.conversations import Conversation, ConversationState
from contracts.events import Event, Publication
from contracts.messages import Author, Delivery, DeliveryState, Message, Route
from settings import Settings
from tests.api import Api, Person, pages, problem, running_api
from tests.fakes.ai import FakeAI
from tests.support import Stack, eventually, workers

LIST = "/api/v1/conversations"
NOWHERE = f"{LIST}/{'a' * 26}-00000000"


@pytest.fixture
async def working(stack: Stack, ai: FakeAI) -> AsyncIterator[None]:
    async with workers(stack.settings, stack.client):
        yield


@pytest.fixture
async def agent(api: Api, hotel: str) -> Person:
    return await api.person(hotel)


@pytest.fixture
async def talk(working: None, stack: Stack) -> str:
    """The path of a conversation in which the AI has answered once, and that storage knows."""
    guest = stack.guest()
    await guest.ask("When is breakfast?")
    conversation = await guest.conversation()
    await stack.stored(conversation)
    return f"{LIST}/{conversation.conversation_id}"


@pytest.fixture
def away(settings: Settings) -> Settings:
    """Settings of an api that cannot reach PostgreSQL."""
    blind = settings.model_copy(deep=True)
    blind.database.url = "postgresql://nobody@127.0.0.1:1/nothing"
    blind.rate_limit.max_requests = 1_000_000
    return blind


async def _store(redis: Redis, database: Database, hotel: str, number: int, **changes: Any) -> Conversation:
    """A conversation as storage has it after its first message, without a workflow."""
    key = uuid.uuid4().hex[:26].translate(str.maketrans("0189", "abcd"))
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=number // 3)
    conversation = Conversation(
        conversation_id=f"{key}-{number:08x}",
        guest_id=f"guest-{key}",
        property_id=hotel,
        state=ConversationState.ACTIVE,
        created_at=at,
        last_message_at=at,
        channel_type="sms",
        guest_name=f"Guest {number}",
        seq=1,
        workflow_id=f"conversation-{key}",
    ).model_copy(update=changes)
    message = Message(
        id=f"m{number}",
        conversation_id=conversation.conversation_id,
        seq=1,
        author=Author.GUEST,
        content=f"I have lost umbrella number {number}",
        created_at=at,
        delivery=Delivery(state=DeliveryState.DELIVERED),
    )
    await Publications(database, LiveStream(redis)).publish(
        Publication(
            conversation=conversation,
            contact_key=key,
            route=Route(adapter="messages", channel_id="c", sender_id="s"),
            events=[Event(seq=1, at=at, message=message)],
        )
    )
    return conversation


# --- reading -------------------------------------------------------------------------------------------------------


async def test_a_conversation_is_read_as_its_workflow_has_it(talk: str, agent: Person, stack: Stack) -> None:
    response = await agent.http.get(talk)
    read = Conversation.model_validate(response.json())
    assert "gateway-degraded" not in response.headers
    running = await stack.conversations.get(read.conversation_id)
    assert read.model_dump(exclude={"last_message"}) == running.model_dump(exclude={"last_message"})
    messages = (await agent.http.get(f"{talk}/messages")).json()
    assert [message["content"] for message in messages["items"]] == [
        "When is breakfast?",
        "Answer to When is breakfast?",
    ]
    assert messages["nextCursor"] is None
    assert read.last_message == Message.model_validate(messages["items"][1])
    outcomes = (await agent.http.get(f"{talk}/outcomes")).json()["items"]
    assert [(each["messageId"], each["replyId"]) for each in outcomes] == [
        (messages["items"][0]["id"], messages["items"][1]["id"])
    ]


async def test_events_tell_everything_once_in_order(talk: str, agent: Person, stack: Stack) -> None:
    claimed = Conversation.model_validate((await agent.http.post(f"{talk}/claim")).json())
    await stack.stored(claimed)
    events = [event for page in await pages(agent.http, f"{talk}/events", limit=2) for event in page]
    assert [event["seq"] for event in events] == list(range(1, claimed.seq + 1))
    assert [event["by"] for event in events if event["change"] == "claimed"] == [agent.staff.id]
    later = (await agent.http.get(f"{talk}/events", params={"after": 2})).json()["items"]
    assert later == events[2:]


async def test_lists_are_paged_without_gap_or_repeat_while_rows_are_added(
    api: Api, agent: Person, hotel: str, redis: Redis, database: Database
) -> None:
    stored = [await _store(redis, database, hotel, number) for number in range(10)]
    first = (await agent.http.get(LIST, params={"limit": 4})).json()
    await _store(redis, database, hotel, 100)
    rest = []
    cursor = first["nextCursor"]
    while cursor:
        page = (await agent.http.get(LIST, params={"limit": 4, "cursor": cursor})).json()
        rest += page["items"]
        cursor = page["nextCursor"]
    expected = sorted(stored, key=lambda each: (each.last_message_at, each.conversation_id), reverse=True)
    assert [item["conversationId"] for item in first["items"] + rest] == [each.conversation_id for each in expected]


async def test_lists_are_filtered(agent: Person, hotel: str, redis: Redis, database: Database) -> None:
    async def store(number: int, **changes: Any) -> str:
        return (await _store(redis, database, hotel, number, **changes)).conversation_id

    plain = await store(1)
    escalated = await store(2, state=ConversationState.ESCALATED, assigned_to=agent.staff.id, needs_review=True)
    by_mail = await store(3, channel_type="email", guest_name="Łukasz O'Neil_50%")

    async def listed(**params: Any) -> set[str]:
        items = (await agent.http.get(LIST, params=params)).raise_for_status().json()["items"]
        return {item["conversationId"] for item in items}

    assert await listed() == await listed(property=hotel) == {plain, escalated, by_mail}
    assert await listed(state="escalated") == {escalated}
    assert await listed(channel="email") == {by_mail}
    assert await listed(assignedTo="me") == await listed(assignedTo=agent.staff.id) == {escalated}
    assert await listed(assignedTo="somebody") == set()
    assert await listed(needsReview=True) == {escalated}
    assert await listed(needsReview=False) == {plain, by_mail}
    assert await listed(q="UMBRELLA 2") == {escalated}
    assert await listed(q='"umbrella number" -1 -2') == {by_mail}
    assert await listed(q="o'neil_50%") == {by_mail}
    assert await listed(q="o%neil") == set()
    assert await listed(state="escalated", channel="email") == set()


@pytest.mark.parametrize(
    ("params", "field"),
    [
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"limit": "many"}, "limit"),
        ({"state": "asleep"}, "state"),
        ({"channel": "pigeon"}, "channel"),
        ({"needsReview": "perhaps"}, "needsReview"),
        ({"cursor": "!"}, "cursor"),
        ({"cursor": "e30"}, "cursor"),
        ({"cursor": "eyJhdCI6IjIwMjYtMDEtMDFUMDA6MDA6MDBaIiwiaWQiOiJcdTAwMDAifQ"}, "cursor"),
        ({"q": "\0"}, "q"),
        ({"wrong": "1"}, "wrong"),
    ],
)
async def test_a_wrong_query_is_told_by_its_name(agent: Person, params: dict[str, Any], field: str) -> None:
    response = await agent.http.get(LIST, params=params)
    assert problem(response) == (422, "invalid")
    assert response.json()["field"] == field


async def test_no_list_and_no_command_reaches_another_property(api: Api, talk: str, hotel: str) -> None:
    stranger = await api.person("another-hotel", role="admin")
    assert (await stranger.http.get(LIST)).json()["items"] == []
    assert problem(await stranger.http.get(LIST, params={"property": hotel})) == (403, "forbidden")
    for method, path, body in (
        ("GET", talk, None),
        ("GET", f"{talk}/messages", None),
        ("GET", f"{talk}/events", None),
        ("GET", f"{talk}/outcomes", None),
        ("POST", f"{talk}/messages", {"content": "hello"}),
        ("POST", f"{talk}/claim", None),
        ("POST", f"{talk}/escalate", None),
        ("POST", f"{talk}/return", None),
        ("POST", f"{talk}/resolve", None),
    ):
        assert problem(await stranger.http.request(method, path, json=body)) == (403, "forbidden"), path
    nobody = await api.person()
    assert problem(await nobody.http.get(talk)) == (403, "forbidden")


async def test_an_unknown_conversation_is_not_found(working: None, agent: Person) -> None:
    for path in (
        NOWHERE,
        f"{LIST}/x",
        f"{LIST}/%00",
        f"{NOWHERE}/messages",
        f"{NOWHERE}/events",
        f"{NOWHERE}/outcomes",
    ):
        assert problem(await agent.http.get(path)) == (404, "not_found"), path
    for command in ("claim", "escalate", "return", "resolve"):
        assert problem(await agent.http.post(f"{NOWHERE}/{command}")) == (404, "not_found")
    assert problem(await agent.http.post(f"{NOWHERE}/messages", json={"content": "hello"})) == (404, "not_found")


# --- commanding ----------------------------------------------------------------------------------------------------


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
        ({"content": "x", "private": "perhaps"}, "private"),
        ({"content": "x", "attachments": [{"id": "1"}]}, "attachments.0.name"),
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


# --- degraded ------------------------------------------------------------------------------------------------------


async def test_without_storage_reads_come_from_temporal_and_commands_work(
    talk: str, away: Settings, hotel: str, stack: Stack
) -> None:
    async with running_api(away) as api:
        agent = await api.person(hotel)
        one = await agent.http.get(talk)
        assert (one.status_code, one.headers["gateway-degraded"]) == (200, "storage")
        messages = await agent.http.get(f"{talk}/messages", params={"limit": 1})
        assert messages.headers["gateway-degraded"] == "storage"
        assert [each["content"] for each in messages.json()["items"]] == ["When is breakfast?"]
        assert len(await pages(agent.http, f"{talk}/messages", limit=1)) == 2
        outcomes = await agent.http.get(f"{talk}/outcomes")
        assert outcomes.headers["gateway-degraded"] == "storage"
        assert [each["outcome"] for each in outcomes.json()["items"]] == ["answered"]
        claimed = await agent.http.post(f"{talk}/claim")
        assert (claimed.status_code, claimed.json()["assignedTo"]) == (200, agent.staff.id)
        assert (await agent.http.post(f"{talk}/messages", json={"content": "I am here"})).status_code == 201
        assert problem(await agent.http.get(f"{talk}/events")) == (503, "storage_away")
        stranger = await api.person("another-hotel")
        assert problem(await stranger.http.get(talk)) == (403, "forbidden")
        assert problem(await agent.http.get(NOWHERE)) == (404, "not_found")


async def test_without_storage_the_list_holds_the_open_conversations(
    talk: str, away: Settings, hotel: str, stack: Stack
) -> None:
    async with running_api(away) as api:
        agent, stranger = await api.person(hotel), await api.person("another-hotel")

        async def listed() -> bool:
            response = await agent.http.get(LIST, params={"state": "active"})
            assert response.headers["gateway-degraded"] == "storage"
            return [item["conversationId"] for item in response.json()["items"]] == [talk.removeprefix(f"{LIST}/")]

        await eventually(listed, what="the conversation to be visible")
        assert (await stranger.http.get(LIST)).json()["items"] == []
        assert (await agent.http.get(LIST, params={"state": "escalated"})).json()["items"] == []


async def test_without_temporal_reads_go_on_and_commands_are_told(
    talk: str, settings: Settings, hotel: str, stack: Stack
) -> None:
    settings.temporal.address = "127.0.0.1:1"
    async with running_api(settings) as api:
        agent = await api.person(hotel)
        assert (await agent.http.get(talk)).status_code == 200
        assert (await agent.http.get(LIST)).status_code == 200
        refused = await agent.http.post(f"{talk}/claim")
        assert problem(refused) == (503, "unavailable")
        unsent = await agent.http.post(f"{talk}/messages", json={"content": "hello"})
        assert problem(unsent) == (503, "unavailable")
        assert unsent.json()["clientMessageId"]


async def test_a_conversation_that_storage_does_not_know_yet_is_found(
    working: None, stack: Stack, agent: Person, database: Database
) -> None:
    guest = stack.guest()
    await guest.ask("Hello?")
    conversation = await guest.conversation()
    await stack.stored(conversation)
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM conversations WHERE id = :id"), {"id": conversation.conversation_id})
    found = await agent.http.get(f"{LIST}/{conversation.conversation_id}")
    assert found.json()["conversationId"] == conversation.conversation_id
    assert "gateway-degraded" not in found.headers


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
