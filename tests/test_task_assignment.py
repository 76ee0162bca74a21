"""Who is given a task learns of it."""

from typing import Any

import pytest

from contracts.commands import Actor
from tests.api import Api, Person
from tests.support import eventually
from tests.task_records import ANA, NOW, a_change, a_record, a_task
from workflows import task_policy
from workflows.task_policy import TaskStart

BEN = Actor(id="ben", name="Ben")


@pytest.mark.parametrize(
    ("before", "changes", "told"),
    [
        pytest.param(None, {"assigned_to": "ben"}, ["ben"], id="to a colleague"),
        pytest.param("eva", {"assigned_to": "ben"}, ["ben"], id="from one to another"),
        pytest.param("ben", {"assigned_to": "ben", "title": "Soap"}, [], id="whose it is"),
        pytest.param(None, {"assigned_to": "ana"}, [], id="to oneself"),
        pytest.param("ben", {"cleared": ["assigned_to"]}, [], id="to nobody"),
        pytest.param(None, {"assigned_to": "ben", "status": "done"}, [], id="and done"),
    ],
)
def test_who_is_given_a_task_is_told(before: str | None, changes: dict[str, Any], told: list[str]) -> None:
    record = a_record(assigned_to=before, conversation_id="c-1")
    task_policy.change(record, a_change(**changes), NOW)
    assert [each.staff_id for each in record.notifications] == told
    for each in record.notifications:
        assert (each.id, each.kind, each.conversation_id) == ("task-t-1-assigned-2", "system", "c-1")
        assert each.text == "Ana assigned a task for housekeeping to you"


@pytest.mark.parametrize(("by", "version", "told"), [(ANA, 1, ["ben"]), (BEN, 1, []), (ANA, 3, []), (None, 1, [])])
def test_who_is_given_a_new_task_is_told(by: Actor | None, version: int, told: list[str]) -> None:
    record = task_policy.begin(TaskStart(task=a_task(assigned_to="ben"), version=version, by=by), NOW)
    assert [each.staff_id for each in record.notifications] == told


async def test_a_colleague_is_notified_once(working: None, api: Api, hotel: str) -> None:
    agent = await api.person(hotel)
    colleague = await api.signed_in(await api.hire(hotel))
    body = {"propertyId": hotel, "department": "housekeeping", "title": "Towels", "assignedTo": colleague.staff.id}
    task = (await agent.http.post("/api/v1/tasks", json=body)).json()
    assert await _told(colleague, 1) == [colleague.staff.id]
    changed: dict[str, str | None] = {"assignedTo": None}
    assert (await agent.http.patch(f"/api/v1/tasks/{task['id']}", json=changed)).status_code == 200
    changed = {"assignedTo": colleague.staff.id}
    assert (await agent.http.patch(f"/api/v1/tasks/{task['id']}", json=changed)).status_code == 200
    assert await _told(colleague, 2) == [colleague.staff.id] * 2


async def _told(person: Person, count: int) -> list[str]:
    async def look() -> list[str] | None:
        items = (await person.http.get("/api/v1/notifications")).json()["items"]
        found = [each["staffId"] for each in items if "assigned a task" in each["text"]]
        return found if len(found) >= count else None

    return await eventually(look, what="a notification")
