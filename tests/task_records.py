"""Tasks and changes to begin from; no server is needed."""

import uuid
from datetime import UTC, datetime
from typing import Any

from contracts.commands import Actor
from contracts.tasks import ChangeTask, Task, TaskChanges, TaskPolicy
from workflows import task_policy
from workflows.task_policy import TaskRecord, TaskStart

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ANA = Actor(id="ana", name="Ana")


def a_task(task_id: str = "t-1", *, now: datetime = NOW, **more: Any) -> Task:
    fields = {"property_id": "hotel", "department": "housekeeping", "title": "Towels", **more}
    return Task.model_validate({"id": task_id, "created_at": now, "updated_at": now, **fields})


def a_record(*, version: int = 1, policy: TaskPolicy | None = None, now: datetime = NOW, **task: Any) -> TaskRecord:
    start = TaskStart(task=a_task(now=now, **task), version=version, policy=policy or TaskPolicy())
    return task_policy.begin(start, now)


def a_change(
    task_id: str = "t-1", *, expected: list[int] | None = None, change_id: str | None = None, **changes: Any
) -> ChangeTask:
    return ChangeTask(
        id=change_id or uuid.uuid4().hex,
        task_id=task_id,
        by=ANA,
        changes=TaskChanges.model_validate(changes),
        expected_versions=expected,
    )
