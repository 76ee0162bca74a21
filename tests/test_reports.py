"""Reports: the figures of known conversations, by the day of the property, its channels and properties."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import insert

from activities.storage.database import Database
from activities.storage.tables import ConversationRow, LogRow, NotificationRow
from contracts.conversations import Resolution
from contracts.messages import Author
from settings import Property, Settings
from tests.api import Api, Person, problem
from tests.fakes.ai import FakeAI
from tests.support import Guest, Stack, command, eventually, reply

PATH = "/api/v1/reports/conversations"
GUEST, AI, STAFF, SYSTEM = Author
NOON = datetime(2026, 5, 10, 12, tzinfo=UTC)
MAY = {"from": "2026-05-01", "to": "2026-05-31"}


@dataclass
class Told:
    """A conversation as storage has it; `takes` is from the guest's first message to its end, in seconds."""

    begins: datetime = NOON
    takes: float | None = 60
    first: float | None = 2
    person: float | None = None
    by: dict[Author, int] | None = None
    channel: str = "sms"
    handed: bool = False
    breached: bool = False
    rating: int | None = None


async def _add(database: Database, hotel: str, told: Told) -> None:
    conversation_id = f"{uuid.uuid4().hex[:26]}-00000000"
    ends = told.begins + timedelta(seconds=told.takes) if told.takes is not None else None
    resolution = Resolution(
        reason="All well",
        first_response_seconds=told.first,
        first_person_seconds=told.person,
        seconds_to_resolve=told.takes,
        messages=told.by if told.by is not None else {GUEST: 1, AI: 1},
    )
    snapshot: dict[str, Any] = {} if told.rating is None else {"rating": told.rating}
    if ends is not None:
        snapshot |= {"resolution": resolution.model_dump(mode="json", exclude_none=True), "resolvedAt": f"{ends}"}
    common = {"property_id": hotel, "contact_key": conversation_id[:26]}
    async with database.begin() as connection:
        values = {"id": conversation_id, "guest_id": "guest", "channel_type": told.channel, "seq": 1}
        times = {"created_at": told.begins, "last_activity_at": told.begins}
        state = {"state": "resolved" if ends else "active", "snapshot": snapshot}
        await connection.execute(
            insert(ConversationRow).values(needs_review=False, **values, **common, **times, **state)
        )
        if told.handed:
            entry = {"position": uuid.uuid4().int % 2**62, "seq": 1, "at": told.begins, "repeats": False}
            payload = {"type": "conversation_update", "payload": {"change": "escalated"}}
            await connection.execute(
                insert(LogRow).values(conversation_id=conversation_id, **common, **entry, **payload)
            )
        if told.breached:
            note = {"id": f"{conversation_id}-2", "kind": "sla", "text": "Too long", "audience": "managers"}
            await connection.execute(
                insert(NotificationRow).values(
                    property_id=hotel, conversation_id=conversation_id, at=told.begins, **note
                )
            )


@pytest.fixture
async def manager(api: Api, hotel: str) -> Person:
    return await api.person(hotel, role="manager")


async def _report(person: Person, **query: Any) -> list[dict[str, Any]]:
    answer = await person.http.get(PATH, params={**MAY, **query})
    assert answer.status_code == 200, answer.text
    return list(answer.json()["items"])


async def test_figures_of_known_conversations(manager: Person, hotel: str, database: Database) -> None:
    for told in (
        Told(takes=60, first=1),
        Told(takes=120, first=3),
        Told(takes=300, first=5, person=100, by={GUEST: 2, AI: 1, STAFF: 2, SYSTEM: 1}, handed=True),
        Told(takes=900, first=700, person=700, by={GUEST: 1, STAFF: 1}, handed=True, breached=True),
        Told(takes=60, first=None, by={GUEST: 1, SYSTEM: 1}),  # nobody answered: no share of anybody's
        Told(takes=60, first=2, handed=True),  # the AI answered, and a person was asked for
        Told(takes=None),  # goes on
    ):
        await _add(database, hotel, told)
    (row,) = await _report(manager)
    assert (row["started"], row["resolved"]) == (7, 6)
    assert row["messages"] == {"guest": 7, "ai": 4, "staff": 3, "system": 2}
    assert row["firstResponse"] == {"count": 5, "average": 142.2, "median": 3.0, "p90": pytest.approx(422)}
    assert row["firstPerson"] == {"count": 2, "average": 400.0, "median": 400.0, "p90": pytest.approx(640)}
    assert row["resolution"] == {"count": 6, "average": 250.0, "median": 90.0, "p90": pytest.approx(600)}
    assert (row["resolvedByAi"], row["aiShare"]) == (2, 2 / 5)
    assert (row["handed"], row["breached"], row["slaKept"]) == (3, 1, pytest.approx(2 / 3))


async def test_nothing_is_told_of_nothing(manager: Person) -> None:
    (row,) = await _report(manager)
    assert (row["started"], row["aiShare"], row["slaKept"], row["firstResponse"]["average"]) == (0, None, None, None)
    assert await _report(manager, by="day") == []


async def test_days_are_the_property_s(api: Api, settings: Settings, database: Database) -> None:
    east, west = f"east-{uuid.uuid4().hex[:8]}", f"west-{uuid.uuid4().hex[:8]}"
    for hotel, zone in ((east, "Pacific/Auckland"), (west, "America/Los_Angeles")):
        settings.properties[hotel] = Property(name=hotel, time_zone=zone)
        await _add(database, hotel, Told(begins=datetime(2026, 5, 10, 23, 30, tzinfo=UTC)))
    person = await api.person(east, west, role="admin")
    api.state.settings.properties.update(settings.properties)
    days = {row["propertyId"]: row["day"] for row in await _report(person, by=["day", "property"])}
    assert days == {east: "2026-05-11", west: "2026-05-10"}
    assert [row["propertyId"] for row in await _report(person, by="property", to="2026-05-10")] == [west]
    assert [row["propertyId"] for row in await _report(person, by="property", **{"from": "2026-05-11"})] == [east]
    assert [row["started"] for row in await _report(person, property=east)] == [1]


async def test_a_conversation_counts_on_the_day_it_began_and_on_the_day_it_was_resolved(
    manager: Person, hotel: str, database: Database
) -> None:
    await _add(database, hotel, Told(begins=datetime(2026, 5, 30, 12, tzinfo=UTC), takes=3 * 24 * 3600))
    await _add(database, hotel, Told())
    rows = await _report(manager, by="day", to="2026-06-30")
    assert [(row["day"], row["started"], row["resolved"]) for row in rows] == [
        ("2026-05-10", 1, 1),
        ("2026-05-30", 1, 0),
        ("2026-06-02", 0, 1),
    ]
    assert [row["resolved"] for row in await _report(manager)] == [1]


async def test_channels_are_told_apart(manager: Person, hotel: str, database: Database) -> None:
    for channel in ("sms", "sms", "email"):
        await _add(database, hotel, Told(channel=channel))
    rows = await _report(manager, by="channel")
    assert [(row["channelType"], row["started"], row["propertyId"], row["day"]) for row in rows] == [
        ("email", 1, None, None),
        ("sms", 2, None, None),
    ]
    assert [row["started"] for row in await _report(manager, channel="email")] == [1]


async def test_satisfaction_by_property_channel_and_day(api: Api, settings: Settings, database: Database) -> None:
    one, two = (f"hotel-{uuid.uuid4().hex[:8]}" for _ in range(2))
    for hotel in (one, two):
        settings.properties[hotel] = Property(name=hotel)
    for hotel, channel, day, takes, rating in (
        (one, "sms", 10, 60, 5),
        (one, "sms", 10, 60, 4),
        (one, "sms", 11, 60, 1),
        (one, "email", 10, 60, 3),
        (one, "email", 10, 60, None),
        (one, "email", 10, None, 2),  # it was opened again and goes on
        (two, "sms", 10, 60, 2),
        (two, "webchat", 12, 60, None),
    ):
        told = Told(begins=NOON.replace(day=day), takes=takes, channel=channel, rating=rating)
        await _add(database, hotel, told)
    person = await api.person(one, two, role="manager")
    api.state.settings.properties.update(settings.properties)

    async def satisfaction(by: str, name: str) -> dict[str, tuple[int, float | None, float | None]]:
        rows = {row[name]: row["satisfaction"] for row in await _report(person, by=by)}
        return {key: (each["ratings"], each["average"], each["satisfied"]) for key, each in rows.items()}

    assert await satisfaction("property", "propertyId") == {one: (4, 13 / 4, 2 / 4), two: (1, 2.0, 0.0)}
    assert await satisfaction("channel", "channelType") == {
        "sms": (4, 3.0, 2 / 4),
        "email": (1, 3.0, 0.0),
        "webchat": (0, None, None),
    }
    assert await satisfaction("day", "day") == {
        "2026-05-10": (4, 14 / 4, 2 / 4),
        "2026-05-11": (1, 1.0, 0.0),
        "2026-05-12": (0, None, None),
    }


async def test_reports_are_for_managers_of_the_property(api: Api, manager: Person, hotel: str) -> None:
    assert problem(await (await api.person(hotel)).http.get(PATH)) == (403, "forbidden")
    assert problem(await manager.http.get(PATH, params={"property": "elsewhere"})) == (403, "forbidden")
    assert problem(await api.http.get(PATH)) == (401, "unauthenticated")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"from": "yesterday"}, "from"),
        ({"to": "2026-02-30"}, "to"),
        ({"from": "2026-05-02", "to": "2026-05-01"}, "from"),
        ({"from": "2024-01-01", "to": "2026-05-01"}, "from"),
        ({"from": "1999-12-31", "to": "2000-01-02"}, "from"),
        ({"by": "week"}, "by.0"),
        ({"channel": "fax"}, "channel"),
        ({"until": "2026-05-01"}, "until"),
    ],
)
async def test_a_query_that_is_wrong_is_told_where(manager: Person, query: dict[str, str], field: str) -> None:
    answer = await manager.http.get(PATH, params=query)
    assert problem(answer) == (422, "invalid")
    assert answer.json()["field"] == field


async def test_without_days_it_is_the_last_thirty(manager: Person) -> None:
    report = (await manager.http.get(PATH)).json()
    first, last = (datetime.fromisoformat(report[each]) for each in ("fromDay", "toDay"))
    assert last - first == timedelta(days=29)


async def test_real_conversations_are_counted(
    working: None, ai: FakeAI, stack: Stack, manager: Person, guest: Guest
) -> None:
    other = stack.guest()
    for each in (guest, other):
        await each.ask("When is breakfast?")
    conversation = await other.conversation()
    await stack.conversations.escalate(command(conversation))
    await stack.conversations.reply(reply(conversation, "At seven"))
    for each in (guest, other):
        await stack.conversations.resolve(command(await each.conversation()))
        await each.handle.result()
    query = {"property": stack.hotel}

    async def counted() -> dict[str, Any] | None:
        (row,) = (await manager.http.get(PATH, params=query)).json()["items"]
        return dict(row) if row["resolved"] == 2 else None

    row = await eventually(counted, what="both to be counted")
    assert (row["started"], row["resolvedByAi"], row["aiShare"], row["handed"], row["slaKept"]) == (2, 1, 0.5, 1, 1.0)
    assert row["messages"] == {"guest": 2, "ai": 2, "staff": 1, "system": row["messages"]["system"]}
    assert row["firstResponse"]["count"] == 2
