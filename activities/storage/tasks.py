"""Tasks for the hotel's departments; every change is told in the property's log."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from pydantic import JsonValue
from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream, append_task
from activities.storage.paging import Slice, TimePosition, older_than
from activities.storage.tables import TaskRow
from contracts.tasks import Department, Task, TaskStatus


@dataclass(frozen=True, slots=True)
class TaskFilter:
    """Which tasks to list; None lets all pass."""

    properties: Sequence[str]
    status: TaskStatus | None = None
    department: Department | None = None
    assigned_to: str | None = None
    conversation_id: str | None = None


@dataclass(frozen=True, slots=True)
class VersionedTask:
    """A task, and how often it was changed; the number that tells one writer of another."""

    task: Task
    version: int


class Tasks:
    """The tasks of all properties. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database, live: LiveStream) -> None:
        self._database = database
        self._live = live

    async def get(self, task_id: str) -> VersionedTask | None:
        statement = select(TaskRow).where(col(TaskRow.id) == task_id)
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return _task(row) if row is not None else None

    async def list(self, wanted: TaskFilter, *, limit: int, after: TimePosition | None) -> Slice[Task, TimePosition]:
        """Tasks, the newest first."""
        at, row_id = col(TaskRow.created_at), col(TaskRow.id)
        statement = select(TaskRow).where(col(TaskRow.property_id).in_(wanted.properties))
        for column, value in (
            (col(TaskRow.status), wanted.status),
            (col(TaskRow.department), wanted.department),
            (col(TaskRow.assigned_to), wanted.assigned_to),
            (col(TaskRow.conversation_id), wanted.conversation_id),
        ):
            if value is not None:
                statement = statement.where(column == value)
        if after is not None:
            statement = statement.where(older_than(at, row_id, after))
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement.order_by(at.desc(), row_id.desc()).limit(limit + 1))).all()
        tasks = [_task(row).task for row in rows[:limit]]
        end = TimePosition(at=tasks[-1].created_at, id=tasks[-1].id) if len(rows) > limit else None
        return Slice(tasks, end)

    async def create(self, task: Task) -> VersionedTask:
        """Adds a task once: the same id again gives what the first made of it."""
        async with self._database.begin() as connection:
            new = insert(TaskRow).values(**task.model_dump(by_alias=False), version=1).on_conflict_do_nothing()
            created = (await connection.execute(new.returning(col(TaskRow.id)))).one_or_none()
            if created is None:
                return _task((await connection.execute(select(TaskRow).where(col(TaskRow.id) == task.id))).one())
            entry = await append_task(connection, task)
        await self._live.add([entry])
        return VersionedTask(task, 1)

    async def update(
        self, task_id: str, changes: dict[str, JsonValue | datetime], allow: Callable[[VersionedTask], None]
    ) -> VersionedTask | None:
        """Changes a task, None if there is no such one. `allow` sees it as it is and raises to forbid the change."""
        mine = col(TaskRow.id) == task_id
        async with self._database.begin() as connection:
            row = (await connection.execute(select(TaskRow).where(mine).with_for_update())).one_or_none()
            if row is None:
                return None
            stored = _task(row)
            allow(stored)
            task = stored.task.model_copy(update=changes)
            if task == stored.task:
                return stored
            task.updated_at = datetime.now(UTC)
            changed = replace(stored, task=task, version=stored.version + 1)
            values = {**changes, "updated_at": task.updated_at, "version": changed.version}
            await connection.execute(update(TaskRow).where(mine).values(**values))
            entry = await append_task(connection, task)
        await self._live.add([entry])
        return changed


def _task(row: Row[TaskRow]) -> VersionedTask:
    return VersionedTask(Task.model_validate(row, from_attributes=True), row.version)
