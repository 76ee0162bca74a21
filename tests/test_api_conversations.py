"""Conversations over REST: reading, commanding, and what is left of both while a server is away."""

import uuid
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
from tests.api import Api, Person, answered, pages, problem
from tests.support import Stack

LIST = "/api/v1/conversations"
NOWHERE = f"{LIST}/{'a' * 26}-00000000"


@pytest.fixture
async def agent(api: Api, hotel: str) -> Person:
    return await api.person(hotel)


@pytest.fixture
async def talk(working: None, stack: Stack) -> str:
    return await answered(stack)


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
    (listed,) = (await agent.http.get(LIST)).json()["items"]
    assert Conversation.model_validate(listed) == read
    assert listed.keys() == response.json().keys()
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


async def test_what_moves_to_the_top_while_one_reads_is_told_at_the_end(
    agent: Person, hotel: str, redis: Redis, database: Database
) -> None:
    stored = [await _store(redis, database, hotel, number) for number in range(10)]
    seen, cursor, moved = [], None, False
    while True:
        params = {"limit": 3, **({"cursor": cursor} if cursor else {})}
        page = (await agent.http.get(LIST, params=params)).raise_for_status().json()
        seen += [item["conversationId"] for item in page["items"]]
        cursor = page["nextCursor"]
        if not moved:  # of what was read, and of what was not, some move; and some are new
            for each in (stored[0], stored[4], stored[9]):
                await _move(database, each)
            for number in (100, 101):
                await _store(redis, database, hotel, number)
            moved = True
        if cursor is None:
            break
    unmoved = sorted(stored, key=lambda each: (each.last_message_at, each.conversation_id), reverse=True)
    first, again = [each.conversation_id for each in unmoved], [stored[n].conversation_id for n in (0, 4, 9)]
    rest = [each for each in first[3:] if each not in again]
    assert seen == [*first[:3], *rest, *again]


async def _move(database: Database, conversation: Conversation) -> None:
    async with database.begin() as connection:
        await connection.execute(
            text(
                "UPDATE conversations SET last_activity_at = (SELECT max(last_activity_at) FROM conversations"
                " WHERE property_id = :hotel) + interval '1 hour' WHERE id = :id"
            ),
            {"hotel": conversation.property_id, "id": conversation.conversation_id},
        )


async def test_a_list_of_several_properties_is_one_list(api: Api, hotel: str, redis: Redis, database: Database) -> None:
    hotels = [hotel, f"{hotel}-b", f"{hotel}-c"]
    for number in range(12):
        await _store(redis, database, hotels[number % 3], number)
    agent = await api.person(*hotels)
    listed = [item for page in await pages(agent.http, LIST, limit=5) for item in page]
    places = [(item["lastMessageAt"], item["conversationId"]) for item in listed]
    assert (len(places), places) == (12, sorted(places, reverse=True))
    searched = [item for page in await pages(agent.http, LIST, limit=2, q="umbrella") for item in page]
    assert searched == listed


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
    assert await listed(q="o'neil_50%") == await listed(q="Neil") == await listed(q="łuk") == {by_mail}
    for loose in ("-" * 150, "- " * 70, '-"' * 70, 'umbrella "-"-"-"'):
        await listed(q=loose)
    assert await listed(q=f"umbrella 2 {'-' * 40}") == {escalated}
    assert await listed(q="eil") == await listed(q="%") == await listed(q="'&|!") == set()
    accented = await store(4, guest_name="José Ångström")
    assert await listed(q="jose ang") == await listed(q="JOSÉ") == {accented}
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
