"""The decisions of a task: what may be changed, what is due, what others must learn. Pure: no temporalio, no clock.

Every change is given `now`. Title and description may be a guest's words, so they appear nowhere but in the task.
"""

import math
from datetime import datetime, timedelta

from contracts.base import Model, Timestamp
from contracts.commands import Actor
from contracts.events import Audience, Notification, NotificationKind
from contracts.problems import GatewayError, StaleVersion
from contracts.rules import Priority
from contracts.task_events import TaskChanged, TaskPublication
from contracts.tasks import ChangeTask, Task, TaskPolicy, VersionedTask

CHANGES_REMEMBERED = 32
"""Number of change ids remembered, so that a repeated change is carried out once."""
UNSTORED_VERSIONS = 10
"""Number of versions kept while storage is away. Older ones are dropped unpublished."""

_MORE_URGENT: dict[Priority, Priority] = {"low": "normal", "normal": "high", "high": "urgent", "urgent": "urgent"}


class TaskRecord(Model):
    """Everything a task carries through continue-as-new."""

    task: Task
    version: int
    policy: TaskPolicy
    unstored: list[VersionedTask] = []
    notifications: list[Notification] = []
    """Notifications that storage may not have yet."""
    reminded_for: Timestamp | None = None
    """The due date for which a reminder was sent."""
    overdue_for: Timestamp | None = None
    """The due date that was reported as passed."""
    guest_untold: bool = False
    """The task is done, and its conversation has not been told yet."""
    guest_told: bool = False
    changes: list[str] = []
    changed_by: str | None = None

    @property
    def current(self) -> VersionedTask:
        return VersionedTask(task=self.task, version=self.version)


class TaskStart(Model):
    """The input of a task's workflow. A `version` above 1 reopens a stored task whose workflow has ended."""

    task: Task
    version: int = 1
    policy: TaskPolicy = TaskPolicy()
    by: Actor | None = None
    """Who created it; None if the AI did."""
    carried: TaskRecord | None = None

    @property
    def begun(self) -> VersionedTask:
        """The task as the run starts with it."""
        return self.carried.current if self.carried else VersionedTask(task=self.task, version=self.version)


def begin(start: TaskStart, now: datetime) -> TaskRecord:
    record = TaskRecord(task=start.task, version=start.version, policy=start.policy)
    record.unstored.append(record.current)
    if start.version == 1 and start.by is not None:
        _tell_assignee(record, None, start.by, now)
    _arm(record, start.task.created_at if start.version == 1 else now)
    return record


# --- changes -----------------------------------------------------------------------------------------------------


def refusal(record: TaskRecord, command: ChangeTask) -> GatewayError | None:
    """Why a change is refused, or None."""
    if command.id in record.changes or command.expected_versions is None:
        return None
    if record.version in command.expected_versions:
        return None
    return StaleVersion(
        "It has been changed since you read it; read it again and repeat the change",
        etag=record.current.etag,
        version=record.version,
    )


def change(record: TaskRecord, command: ChangeTask, now: datetime) -> None:
    """Applies a change, once. A change without effect makes no new version."""
    if command.id in record.changes:
        return
    record.changes = [*record.changes, command.id][-CHANGES_REMEMBERED:]
    before, after = record.task, command.changes.applied_to(record.task)
    if after == before:
        return
    _next_version(record, after, now)
    record.changed_by = record.unstored[-1].by = command.by.id
    _tell_assignee(record, before.assigned_to, command.by, now)
    if after.due_at != before.due_at or (is_closed(before) and not is_closed(after)):
        _arm(record, now)
    done = after.status == "done" and before.status != "done"
    owed = record.guest_untold or (done and _is_told_to_guest(record) and not record.guest_told)
    record.guest_untold = owed and after.status == "done"


def _tell_assignee(record: TaskRecord, before: str | None, by: Actor, now: datetime) -> None:
    """Notifies somebody whom somebody else has given the task."""
    task = record.task
    if task.assigned_to in (None, before, by.id) or is_closed(task):
        return
    text = f"{by.name} assigned a task for {_department(task)} to you"
    _add_notification(record, f"assigned-{record.version}", "system", text, now, staff_id=task.assigned_to)


def _is_told_to_guest(record: TaskRecord) -> bool:
    return record.policy.tells_guest and record.task.conversation_id is not None


def cancel(record: TaskRecord, now: datetime) -> None:
    """An operator cancelled the workflow: the task is cancelled, unless it is closed already."""
    if not is_closed(record.task):
        _next_version(record, record.task.model_copy(update={"status": "cancelled"}), now)


def is_closed(task: Task) -> bool:
    return task.status in ("done", "cancelled")


def _next_version(record: TaskRecord, task: Task, now: datetime) -> None:
    """Adds a version to publish. `updated_at` always advances, even if machines' clocks disagree.

    A version with the time of the task's creation would be published as the creation.
    """
    task.updated_at = max(now, record.task.updated_at + timedelta(microseconds=1))
    record.task, record.version = task, record.version + 1
    record.unstored = [*record.unstored, record.current][-UNSTORED_VERSIONS:]


# --- time --------------------------------------------------------------------------------------------------------


def next_deadline(record: TaskRecord) -> datetime | None:
    """When the task next changes by time alone: the reminder, or the moment it becomes overdue."""
    due = record.task.due_at
    if due is None or is_closed(record.task) or record.overdue_for == due:
        return None
    return due if _is_reminded(record) else _reminder_at(record, due)


def time_passes(record: TaskRecord, now: datetime) -> None:
    """Does what is due, each once per due date. With both due, the reminder is skipped as too late."""
    deadline, due = next_deadline(record), record.task.due_at
    if deadline is None or due is None or now < deadline:
        return
    record.reminded_for = due
    if now < due:
        minutes = math.ceil((due - now) / timedelta(minutes=1))
        text = f"{_name(record)} is due in {minutes} minute{'s' if minutes > 1 else ''}"
        _notify(record, "reminder", text, now, staff_id=record.task.assigned_to)
        return
    record.overdue_for = due
    priority = _MORE_URGENT[record.task.priority] if record.policy.raise_overdue else record.task.priority
    if priority != record.task.priority:
        _next_version(record, record.task.model_copy(update={"priority": priority}), now)
    _notify(record, "overdue", f"{_name(record)} is overdue; its priority is {priority}", now, audience="managers")


def _arm(record: TaskRecord, now: datetime) -> None:
    """Marks a due date that had already passed when it was set as reported: whoever set it knows."""
    due = record.task.due_at
    if due is not None and due <= now:
        record.reminded_for = record.overdue_for = due


def _is_reminded(record: TaskRecord) -> bool:
    return record.reminded_for == record.task.due_at or not record.policy.reminder_lead


def _reminder_at(record: TaskRecord, due: datetime) -> datetime:
    return due - record.policy.reminder_lead


def _notify(
    record: TaskRecord,
    what: str,
    text: str,
    now: datetime,
    *,
    audience: Audience = "everyone",
    staff_id: str | None = None,
) -> None:
    about = f"{what}-{record.task.due_at:%Y%m%dT%H%M%S.%fZ}"
    _add_notification(record, about, "sla", text, now, audience=audience, staff_id=staff_id)


def _add_notification(
    record: TaskRecord,
    about: str,
    kind: NotificationKind,
    text: str,
    now: datetime,
    *,
    audience: Audience = "everyone",
    staff_id: str | None = None,
) -> None:
    record.notifications.append(
        Notification(
            id=f"task-{record.task.id}-{about}",
            kind=kind,
            text=text,
            conversation_id=record.task.conversation_id,
            audience=audience,
            staff_id=staff_id,
            at=now,
        )
    )


def _name(record: TaskRecord) -> str:
    return f"Task {record.task.id} for {_department(record.task)}"


# --- what others learn -------------------------------------------------------------------------------------------


def publication(record: TaskRecord) -> TaskPublication:
    """Everything that storage may not have yet."""
    return TaskPublication(
        task_id=record.task.id,
        property_id=record.task.property_id,
        versions=list(record.unstored),
        notifications=list(record.notifications),
    )


def changed(record: TaskRecord) -> TaskChanged:
    return TaskChanged(current=record.current, publication=publication(record))


def stored(record: TaskRecord, told: TaskPublication, newer: VersionedTask | None, now: datetime) -> None:
    """Removes what storage has. If storage knows a newer version of the task, that one counts."""
    newest = max((each.version for each in told.versions), default=0)
    known = {each.id for each in told.notifications}
    record.unstored = [each for each in record.unstored if each.version > newest]
    record.notifications = [each for each in record.notifications if each.id not in known]
    if newer is not None and newer.version > record.version:
        record.task, record.version, record.unstored = newer.task, newer.version, []
        record.guest_untold = False
        _arm(record, now)


def all_stored(record: TaskRecord) -> bool:
    return not (record.unstored or record.notifications)


def is_over(record: TaskRecord) -> bool:
    """Done or cancelled, and nothing owed to anybody."""
    return is_closed(record.task) and all_stored(record) and not record.guest_untold


def summary(task: Task) -> str:
    return f"{task.property_id} · {_department(task)}"


def details(record: TaskRecord) -> str:
    """What an operator sees at a glance, in Markdown."""
    task = record.task
    lines = [
        f"**{task.status.replace('_', ' ').upper()}** · {task.property_id} · {_department(task)}",
        f"- Task: `{task.id}`, version {record.version}",
        f"- Priority: {task.priority}",
        f"- Assigned to: {task.assigned_to or 'nobody yet'}",
    ]
    if task.conversation_id is not None:
        lines.append(f"- Conversation: `{task.conversation_id}`")
    if record.changed_by is not None:
        lines.append(f"- Changed by: {record.changed_by}")
    lines += [f"- {wait}" for wait in _waits_for(record)]
    return "\n".join(lines)


def _waits_for(record: TaskRecord) -> list[str]:
    waits = []
    due, deadline = record.task.due_at, next_deadline(record)
    if not is_closed(record.task):
        until = f", due {due:%Y-%m-%d %H:%M} UTC" if due is not None else ""
        waits.append(f"Waiting for: {_department(record.task)} to do it{until}")
    if deadline is not None and deadline != due:
        waits.append(f"Reminder: {deadline:%Y-%m-%d %H:%M} UTC")
    if record.guest_untold:
        waits.append("Waiting for: the conversation to be told that it is done")
    if not all_stored(record):
        waits.append(f"Waiting for: storage to accept {len(record.unstored) + len(record.notifications)} item(s)")
    return waits


def _department(task: Task) -> str:
    return task.department.replace("_", " ")
