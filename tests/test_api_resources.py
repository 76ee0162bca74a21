"""Tasks, guests and notifications over REST, and what two people who edit one thing are told."""

import asyncio
import uuid
from datetime import UTC, datetime
from typing import Any

import pytest
from redis.asyncio import Redis
from sqlalchemy import insert

from activities.storage.database import Database
from activities.storage.log import Log
from activities.storage.tables import ContactRow, ConversationRow, GuestRow, NotificationRow
from api.examples import CONTACT_KEY
from contracts.events import LogEntry, live_stream
from tests.api import Api, Person, pages, problem

TASKS = "/api/v1/tasks"
GUESTS = "/api/v1/guests"
NOTIFICATIONS = "/api/v1/notifications"
NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


@pytest.fixture
async def agent(api: Api, hotel: str) -> Person:
    return await api.person(hotel)


@pytest.fixture
def elsewhere() -> str:
    """Another property than `hotel`."""
    return f"elsewhere-{uuid.uuid4().hex[:12]}"


@pytest.fixture
async def stranger(api: Api, elsewhere: str) -> Person:
    return await api.person(elsewhere, role="admin")


def _new_task(hotel: str, **more: Any) -> dict[str, Any]:
    return {"propertyId": hotel, "department": "housekeeping", "title": "Towels for 204", **more}


async def _add_guest(database: Database, hotel: str, **more: Any) -> str:
    guest = {"id": f"guest-{uuid.uuid4().hex}", "name": "Ana Souza", "created_at": NOW, **more}
    contact = {
        "contact_key": uuid.uuid4().hex,
        "channel_type": "sms",
        "sender_id": "+351900000000",
        "guest_id": guest["id"],
    }
    async with database.begin() as connection:
        await connection.execute(insert(GuestRow).values(property_id=hotel, autonomy="auto", **guest))
        await connection.execute(insert(ContactRow).values(property_id=hotel, created_at=NOW, **contact))
    return str(guest["id"])


async def _add_notification(database: Database, hotel: str, minute: int, **whom: str) -> str:
    notification_id = uuid.uuid4().hex
    async with database.begin() as connection:
        await connection.execute(
            insert(NotificationRow).values(
                id=notification_id,
                property_id=hotel,
                kind="sla",
                text="A guest has waited for 10 minutes",
                at=NOW.replace(minute=minute),
                **whom,
            )
        )
    return notification_id


# --- tasks ---------------------------------------------------------------------------------------------------------


async def test_a_task_is_created_read_and_changed(working: None, api: Api, agent: Person, hotel: str) -> None:
    colleague = await api.hire(hotel)
    created = await agent.http.post(TASKS, json=_new_task(hotel, dueAt="2026-05-01T15:00:00+02:00"))
    task = created.json()
    assert created.status_code == 201
    assert (task["status"], task["priority"], task["description"]) == ("open", "normal", "")
    assert task["dueAt"] == "2026-05-01T13:00:00Z"
    assert created.headers["location"] == f"{TASKS}/{task['id']}"
    read = await agent.http.get(created.headers["location"])
    assert read.json() == task
    assert read.headers["etag"] == created.headers["etag"] == '"1"'

    changes = {"status": "in_progress", "assignedTo": colleague.id, "dueAt": None}
    changed = await agent.http.patch(f"{TASKS}/{task['id']}", json=changes)
    assert changed.status_code == 200
    assert changed.json() == {**task, **changes, "updatedAt": changed.json()["updatedAt"]}
    assert changed.json()["updatedAt"] > task["updatedAt"]
    assert changed.headers["etag"] == '"2"'
    same = await agent.http.patch(f"{TASKS}/{task['id']}", json={"status": "in_progress"})
    assert same.headers["etag"] == '"2"'


async def test_a_change_of_what_was_changed_meanwhile_is_refused(working: None, agent: Person, hotel: str) -> None:
    path = f"{TASKS}/{(await agent.http.post(TASKS, json=_new_task(hotel))).json()['id']}"
    based_on_first = {"If-Match": '"1"'}
    answers = await asyncio.gather(
        *(agent.http.patch(path, json={"title": f"Title {number}"}, headers=based_on_first) for number in range(5))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 412, 412, 412, 412]
    refused = next(answer for answer in answers if answer.status_code == 412)
    assert problem(refused) == (412, "stale")
    assert refused.json()["etag"] == (await agent.http.get(path)).headers["etag"] == '"2"'
    for accepted in ('"2"', '"1", "2"', "*"):
        assert (await agent.http.patch(path, json={}, headers={"If-Match": accepted})).status_code == 200


async def test_every_change_of_a_task_is_told_in_the_log_and_live(
    working: None, agent: Person, hotel: str, database: Database, redis: Redis, elsewhere: str
) -> None:
    path = f"{TASKS}/{(await agent.http.post(TASKS, json=_new_task(hotel))).json()['id']}"
    await agent.http.patch(path, json={"status": "done"})
    await agent.http.patch(path, json={"status": "done"})
    await agent.http.post(TASKS, json=_new_task(elsewhere))
    told = await Log(database).read(hotel, after=0)
    assert [entry.position for entry in told] == [1, 2]
    assert [entry.task.status for entry in told if entry.task] == ["open", "done"]
    assert {entry.contact_key for entry in told} == {None}
    live = [fields or {} for _, fields in await redis.xrange(live_stream(hotel)) or []]
    # When it was stored only storage knows.
    timeless = [entry.model_copy(update={"at": None}) for entry in told]
    assert [LogEntry.model_validate_json(fields["entry"]) for fields in live] == timeless


async def test_many_tasks_at_once_take_every_position_once(agent: Person, hotel: str, database: Database) -> None:
    answers = await asyncio.gather(*(agent.http.post(TASKS, json=_new_task(hotel)) for _ in range(20)))
    assert {answer.status_code for answer in answers} == {201}
    assert [entry.position for entry in await Log(database).read(hotel, after=0)] == list(range(1, 21))


async def test_the_same_key_makes_one_task(working: None, agent: Person, hotel: str, api: Api) -> None:
    keyed = {"Idempotency-Key": str(uuid.uuid4())}
    one, two = [await agent.http.post(TASKS, json=_new_task(hotel), headers=keyed) for _ in range(2)]
    assert one.status_code == two.status_code == 201
    assert (two.json(), two.headers["location"], two.headers["etag"]) == (one.json(), one.headers["location"], '"1"')
    await agent.http.patch(one.headers["location"], json={"status": "done"})
    third = await agent.http.post(TASKS, json=_new_task(hotel), headers=keyed)
    assert (third.json(), third.headers["etag"]) == (one.json(), '"1"')
    other = await (await api.person(hotel)).http.post(TASKS, json=_new_task(hotel), headers=keyed)
    assert other.json()["id"] != one.json()["id"]
    assert len((await agent.http.get(TASKS)).json()["items"]) == 2


async def test_tasks_are_listed_newest_first_and_filtered(working: None, agent: Person, hotel: str) -> None:
    made = [
        (await agent.http.post(TASKS, json=_new_task(hotel, department=department))).json()["id"]
        for department in ("housekeeping", "maintenance", "housekeeping", "concierge", "security")
    ]
    await agent.http.patch(f"{TASKS}/{made[0]}", json={"status": "done"})

    async def listed(**params: Any) -> list[str]:
        return [task["id"] for page in await pages(agent.http, TASKS, limit=2, **params) for task in page]

    assert await listed() == await listed(property=hotel) == made[::-1]
    assert await listed(status="done") == [made[0]]
    assert await listed(department="housekeeping") == [made[2], made[0]]
    assert await listed(assignedTo="me") == []


async def test_tasks_of_another_property_are_out_of_reach(agent: Person, stranger: Person, hotel: str) -> None:
    path = f"{TASKS}/{(await agent.http.post(TASKS, json=_new_task(hotel))).json()['id']}"
    assert problem(await stranger.http.get(path)) == (403, "forbidden")
    assert problem(await stranger.http.patch(path, json={"status": "done"})) == (403, "forbidden")
    assert problem(await stranger.http.post(TASKS, json=_new_task(hotel))) == (403, "forbidden")
    assert problem(await stranger.http.get(TASKS, params={"property": hotel})) == (403, "forbidden")
    assert (await stranger.http.get(TASKS)).json() == {"items": [], "nextCursor": None}
    assert (await agent.http.get(path)).json()["status"] == "open"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"department": "kitchen"}, "department"),
        ({"department": None}, "department"),
        ({"title": " "}, "title"),
        ({"title": "x" * 201}, "title"),
        ({"title": "a\0"}, "title"),
        ({"priority": "now"}, "priority"),
        ({"dueAt": "tomorrow"}, "dueAt"),
        ({"dueAt": "2026-05-01T18:30:00"}, "dueAt"),
        ({"dueAt": "2026-05-01"}, "dueAt"),
        ({"dueAt": 1777653000}, "dueAt"),
        ({"dueAt": "0001-01-01T00:00:00+10:00"}, "dueAt"),
        ({"assignedTo": "nobody"}, "assignedTo"),
        ({"conversationId": f"{CONTACT_KEY}-00000000"}, "conversationId"),
        ({"conversationId": "x"}, "conversationId"),
        ({"guestId": "nobody"}, "guestId"),
        ({"status": "done"}, "status"),
    ],
)
async def test_a_wrong_task_is_told_by_its_field(
    agent: Person, hotel: str, changes: dict[str, Any], field: str
) -> None:
    response = await agent.http.post(TASKS, json=_new_task(hotel, **changes))
    assert problem(response) == (422, "invalid")
    assert response.json()["field"] == field


@pytest.mark.parametrize("field", ["title", "department", "description", "priority", "status"])
async def test_what_cannot_be_empty_is_not_emptied(agent: Person, hotel: str, field: str) -> None:
    path = f"{TASKS}/{(await agent.http.post(TASKS, json=_new_task(hotel))).json()['id']}"
    response = await agent.http.patch(path, json={field: None})
    assert problem(response) == (422, "invalid")
    assert response.json()["field"] == field


async def test_a_task_belongs_to_a_guest_and_a_conversation_of_its_property(
    agent: Person, hotel: str, database: Database, api: Api, elsewhere: str
) -> None:
    guest_id = await _add_guest(database, hotel)
    conversation_id = f"{uuid.uuid4().hex[:26].translate(str.maketrans('0189', 'abcd'))}-00000001"
    snapshot = {
        "conversationId": conversation_id,
        "guestId": guest_id,
        "propertyId": hotel,
        "state": "resolved",
        "channelType": "sms",
        "createdAt": NOW.isoformat(),
        "workflowId": "w",
    }
    async with database.begin() as connection:
        await connection.execute(
            insert(ConversationRow).values(
                id=conversation_id,
                contact_key=conversation_id[:26],
                property_id=hotel,
                guest_id=guest_id,
                channel_type="sms",
                state="resolved",
                needs_review=False,
                seq=1,
                snapshot=snapshot,
                created_at=NOW,
                last_activity_at=NOW,
            )
        )
    references = {"conversationId": conversation_id, "guestId": guest_id}
    created = await agent.http.post(TASKS, json=_new_task(hotel, **references))
    assert created.status_code == 201
    found = (await agent.http.get(TASKS, params={"conversationId": conversation_id})).json()["items"]
    assert found == [created.json()]
    both = await api.person(hotel, elsewhere)
    for field, value in references.items():
        refused = await both.http.post(TASKS, json=_new_task(elsewhere, **{field: value}))
        assert problem(refused) == (422, "invalid")
        assert refused.json()["field"] == field


# --- guests --------------------------------------------------------------------------------------------------------


async def test_a_guest_is_read_with_contacts_and_changed(agent: Person, hotel: str, database: Database) -> None:
    guest_id = await _add_guest(database, hotel, language="pt")
    read = await agent.http.get(f"{GUESTS}/{guest_id}")
    guest = read.json()
    assert (guest["name"], guest["language"], guest["autonomy"]) == ("Ana Souza", "pt", "auto")
    assert guest["contacts"] == [{"propertyId": hotel, "channelType": "sms", "senderId": "+351900000000"}]
    changes = {"name": "Ana S.", "language": None, "preferences": {"pillow": "soft"}, "autonomy": "draft"}
    changed = await agent.http.patch(f"{GUESTS}/{guest_id}", json=changes, headers={"If-Match": read.headers["etag"]})
    assert changed.json() == {**guest, **changes}
    stale = await agent.http.patch(f"{GUESTS}/{guest_id}", json=changes, headers={"If-Match": read.headers["etag"]})
    assert problem(stale) == (412, "stale")
    again = await agent.http.get(f"{GUESTS}/{guest_id}")
    assert (again.json(), again.headers["etag"]) == (changed.json(), changed.headers["etag"])
    kept = await agent.http.patch(f"{GUESTS}/{guest_id}", json={})
    assert kept.json() == changed.json()


async def test_guests_are_listed_and_found_by_name(
    agent: Person, hotel: str, database: Database, elsewhere: str
) -> None:
    ana, joao = await _add_guest(database, hotel), await _add_guest(database, hotel, name="João Reis", language=None)
    await _add_guest(database, elsewhere)
    everyone = [guest["id"] for page in await pages(agent.http, GUESTS, limit=1) for guest in page]
    assert sorted(everyone) == sorted([ana, joao])
    found = (await agent.http.get(GUESTS, params={"q": "joão"})).json()["items"]
    assert [guest["id"] for guest in found] == [joao]


async def test_guests_of_another_property_are_out_of_reach(
    agent: Person, stranger: Person, hotel: str, database: Database
) -> None:
    path = f"{GUESTS}/{await _add_guest(database, hotel)}"
    assert problem(await stranger.http.get(path)) == (403, "forbidden")
    assert problem(await stranger.http.patch(path, json={"name": "Eve"})) == (403, "forbidden")
    assert problem(await stranger.http.get(GUESTS, params={"property": hotel})) == (403, "forbidden")
    assert (await agent.http.get(path)).json()["name"] == "Ana Souza"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"autonomy": "always"}, "autonomy"),
        ({"autonomy": None}, "autonomy"),
        ({"language": "português"}, "language"),
        ({"preferences": {"pillow": 3}}, "preferences.pillow"),
        ({"preferences": {"pil\0low": "x"}}, "preferences"),
        ({"id": "other"}, "id"),
    ],
)
async def test_a_wrong_change_of_a_guest_is_told_by_its_field(
    agent: Person, hotel: str, database: Database, changes: dict[str, Any], field: str
) -> None:
    path = f"{GUESTS}/{await _add_guest(database, hotel)}"
    response = await agent.http.patch(path, json=changes)
    assert problem(response) == (422, "invalid")
    assert response.json()["field"] == field


# --- notifications -------------------------------------------------------------------------------------------------


async def test_each_member_of_staff_reads_for_themselves(
    api: Api, agent: Person, hotel: str, database: Database, elsewhere: str
) -> None:
    first, second = await _add_notification(database, hotel, 1), await _add_notification(database, hotel, 2)
    await _add_notification(database, elsewhere, 3)

    async def listed(person: Person, **params: Any) -> list[str]:
        return [each["id"] for page in await pages(person.http, NOTIFICATIONS, limit=1, **params) for each in page]

    assert await listed(agent) == [second, first]
    read, again = [await agent.http.post(f"{NOTIFICATIONS}/{first}/read") for _ in range(2)]
    assert read.status_code == 200
    assert read.json()["readAt"] is not None
    assert again.json() == read.json()
    assert await listed(agent, unread=True) == [second]
    assert await listed(agent, unread=False) == [first]
    assert await listed(await api.person(hotel), unread=True) == [second, first]


async def test_notifications_of_another_property_are_out_of_reach(
    stranger: Person, hotel: str, database: Database
) -> None:
    path = f"{NOTIFICATIONS}/{await _add_notification(database, hotel, 1)}/read"
    assert problem(await stranger.http.post(path)) == (403, "forbidden")
    assert (await stranger.http.get(NOTIFICATIONS)).json()["items"] == []


async def test_what_is_for_managers_or_for_another_person_is_not_there_for_others(
    api: Api, agent: Person, hotel: str, database: Database
) -> None:
    manager = await api.person(hotel, role="manager")
    for whom in ({"audience": "managers"}, {"staff_id": manager.staff.id}):
        path = f"{NOTIFICATIONS}/{await _add_notification(database, hotel, 1, **whom)}/read"
        assert problem(await agent.http.post(path)) == (404, "not_found")
        assert (await manager.http.post(path)).status_code == 200


async def test_a_task_is_given_to_who_works_at_its_property(agent: Person, stranger: Person, hotel: str) -> None:
    refused = await agent.http.post(TASKS, json=_new_task(hotel, assignedTo=stranger.staff.id))
    assert (*problem(refused), refused.json()["field"]) == (422, "invalid", "assignedTo")


# --- all -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row_id", ["nothing", "%00", "%20", "a%0Ab", "ä", "x" * 300])
async def test_what_is_not_there_is_not_found(agent: Person, row_id: str) -> None:
    for method, path in (
        ("GET", f"{TASKS}/{row_id}"),
        ("PATCH", f"{TASKS}/{row_id}"),
        ("GET", f"{GUESTS}/{row_id}"),
        ("PATCH", f"{GUESTS}/{row_id}"),
        ("POST", f"{NOTIFICATIONS}/{row_id}/read"),
    ):
        body = b"{}" if method == "PATCH" else b""
        headers = {"Content-Type": "application/json"}
        assert problem(await agent.http.request(method, path, content=body, headers=headers)) == (404, "not_found"), (
            path
        )
