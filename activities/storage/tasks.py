"""Tasks for the hotel's departments, as their workflows publish them. The property's log gets every version."""

import logging
from collections.abc import Sequence

from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream, append, notification_entry
from activities.storage.notifications import reaching_somebody, store_notifications
from activities.storage.paging import Slice, TimePosition, newest_first
from activities.storage.tables import TaskRow
from contracts.events import LogEntry
from contracts.problems import StorageAway
from contracts.task_events import TaskPublication, TaskPublished
from contracts.tasks import Task, TaskFilter, VersionedTask
from settings import Settings

logger = logging.getLogger(__name__)


class Tasks:
    """The tasks of all properties. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database, live: LiveStream, settings: Settings) -> None:
        self._database = database
        self._live = live
        self._settings = settings

    async def get(self, task_id: str) -> VersionedTask | None:
        statement = select(TaskRow).where(col(TaskRow.id) == task_id)
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return _task(row) if row is not None else None

    async def list(self, wanted: TaskFilter, *, limit: int, after: TimePosition | None) -> Slice[Task, TimePosition]:
        """Tasks, newest first."""
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
        rows, end = await newest_first(self._database, statement, at, row_id, limit=limit, after=after)
        return Slice([_task(row).task for row in rows], end)

    async def publish(self, publication: TaskPublication) -> TaskPublished:
        """Stores and publishes a task's new versions and notifications, each once however often this is called.

        Versions older than the stored one are skipped. Raises StorageAway.
        """
        try:
            stored, entries = await self._write(publication)
        except DBAPIError as error:
            # Read-only or full is as good as away: the caller retries. The error's text may quote a guest.
            logger.warning("a task could not be stored: %s", getattr(error.orig, "sqlstate", None))
            raise StorageAway("PostgreSQL cannot store anything right now; try again shortly") from error
        await self._live.add(entries)
        newest = max((each.version for each in publication.versions), default=0)
        return TaskPublished(newer=stored if stored is not None and stored.version > newest > 0 else None)

    async def _write(self, publication: TaskPublication) -> tuple[VersionedTask | None, Sequence[LogEntry]]:
        """Returns the task as it was stored before, and the new entries of the log."""
        async with self._database.begin() as connection:
            stored = await _store(connection, publication.versions)
            known = stored.version if stored is not None else 0
            entries = [_version_entry(each) for each in publication.versions if each.version > known]
            notes = await reaching_somebody(connection, publication.property_id, publication.notifications)
            fresh = await store_notifications(connection, self._settings, publication.property_id, notes)
            entries += [notification_entry(publication.property_id, each) for each in fresh]
            await append(connection, publication.property_id, entries)
        return stored, entries


async def _store(connection: AsyncConnection, versions: Sequence[VersionedTask]) -> VersionedTask | None:
    """Writes the newest version unless it is stored already. Returns what was stored before, and locks its row."""
    if not versions:
        return None
    newest = versions[-1]
    values = newest.task.model_dump(by_alias=False) | {"version": newest.version}
    new = insert(TaskRow).values(**values).on_conflict_do_nothing().returning(col(TaskRow.id))
    if (await connection.execute(new)).one_or_none() is not None:
        return None
    mine = col(TaskRow.id) == newest.task.id
    stored = _task((await connection.execute(select(TaskRow).where(mine).with_for_update())).one())
    if newest.version > stored.version:
        await connection.execute(update(TaskRow).where(mine).values(**values))
    return stored


def _version_entry(version: VersionedTask) -> LogEntry:
    task = version.task
    return LogEntry(
        property_id=task.property_id,
        type="task_update",
        conversation_id=task.conversation_id,
        by=version.by,
        task=task,
    )


def _task(row: Row[TaskRow]) -> VersionedTask:
    return VersionedTask(task=Task.model_validate(row, from_attributes=True), version=row.version)
