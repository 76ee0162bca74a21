"""What time alone does to a task, on the time-skipping server: nobody waits for it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest
from temporalio.testing import WorkflowEnvironment

from contracts.events import Notification
from contracts.tasks import Task
from tests.api import Api
from tests.desk import Desk
from tests.support import Stack, eventually

HOUR = timedelta(hours=1)
Clock = tuple[Desk, WorkflowEnvironment]


@pytest.fixture
async def clock(skipping: tuple[Stack, WorkflowEnvironment]) -> Clock:
    stack, environment = skipping
    return Desk(stack, stack.client), environment


async def _told(desk: Desk, task: Task, *whats: str) -> Sequence[Notification]:
    """Waits for exactly these notifications."""

    async def look() -> Sequence[Notification] | None:
        found = await desk.notifications(task)
        return found if len(found) >= len(whats) else None

    found = await eventually(look, what=f"{whats} to be told") if whats else await desk.notifications(task)
    assert [each.id.split("-")[-2] for each in found] == list(whats)
    return found


async def test_a_task_is_called_to_mind_once_and_becomes_overdue_once(clock: Clock, api: Api) -> None:
    desk, environment = clock
    ana = (await api.hire(desk.stack.hotel)).id
    task = await desk.create(due_in=2 * HOUR, assigned_to=ana, conversation_id="c-1")
    await environment.sleep(85 * HOUR / 60)
    assert await _told(desk, task) == []
    await environment.sleep(10 * HOUR / 60)
    (reminder,) = await _told(desk, task, "reminder")
    assert (reminder.kind, reminder.staff_id, reminder.audience) == ("sla", ana, "everyone")
    assert reminder.text == f"Task {task.id} for housekeeping is due in 30 minutes"
    await environment.sleep(HOUR)
    _, overdue = await _told(desk, task, "reminder", "overdue")
    assert (overdue.kind, overdue.staff_id, overdue.audience) == ("sla", None, "managers")
    assert [each.priority for each in await desk.versions(task)] == ["normal", "high"]
    await environment.sleep(timedelta(days=10))
    await _told(desk, task, "reminder", "overdue")
    rows = await desk.stack.rows(
        "SELECT id, kind, conversation_id, audience, staff_id FROM notifications WHERE property_id = :id ORDER BY at",
        id=desk.stack.hotel,
    )
    same = {"kind": "sla", "conversation_id": "c-1"}
    assert rows == [
        {"id": reminder.id, **same, "audience": "everyone", "staff_id": ana},
        {"id": overdue.id, **same, "audience": "managers", "staff_id": None},
    ]
    history = await desk.handle(task).fetch_history()
    timers = [event for event in history.events if event.HasField("timer_started_event_attributes")]
    assert len(timers) == 2  # to the reminder, and on to the due date


async def test_a_due_date_that_moves_takes_the_timer_along(clock: Clock) -> None:
    desk, environment = clock
    task = await desk.create(due_in=2 * HOUR)
    assert task.due_at is not None
    await desk.change(task, due_at=task.due_at + 3 * HOUR)
    await environment.sleep(4 * HOUR)
    assert await _told(desk, task) == []
    await environment.sleep(35 * HOUR / 60)
    await _told(desk, task, "reminder")
    await desk.change(task, due_at=task.due_at + 8 * HOUR)
    await environment.sleep(HOUR)
    await _told(desk, task, "reminder")
    await desk.change(task, due_at=task.due_at + 4 * HOUR)  # 24 minutes from now
    await _told(desk, task, "reminder", "reminder")
    await environment.sleep(HOUR)
    await _told(desk, task, "reminder", "reminder", "overdue")


async def test_a_task_that_is_done_in_time_is_left_alone(clock: Clock) -> None:
    desk, environment = clock
    task, another = await desk.create(due_in=2 * HOUR), await desk.create(due_in=2 * HOUR)
    await desk.change(task, status="done")
    await desk.change(another, cleared=["due_at"])
    await desk.handle(task).result()
    await environment.sleep(timedelta(days=1))
    assert await _told(desk, task) == await _told(desk, another) == []
    assert [each.status for each in await desk.versions(task)] == ["open", "done"]
    assert (await desk.running.get(another.id)).version == 2


async def test_a_due_date_of_another_century_can_be_slept_to(clock: Clock) -> None:
    desk, environment = clock
    task = await desk.create(due_in=timedelta(days=365 * 7000))
    await environment.sleep(timedelta(days=800))
    assert (await desk.running.get(task.id)).version == 1
    history = await desk.handle(task).fetch_history()
    assert not [event for event in history.events if event.HasField("workflow_task_failed_event_attributes")]
