"""Reads a property's log as named events."""

import re
from typing import Final

from sqlalchemy import select
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.log import Log
from activities.storage.tables import TaskRow
from contracts.events import LogEntry
from contracts.property_events import PropertyEvent, event_of
from contracts.tasks import Task

_OVERDUE: Final = re.compile(r"task-(?P<id>.+)-overdue-[0-9T.]+Z")
"""The id of a task's overdue notification."""


class PropertyEvents:
    """The events of all properties. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._log = Log(database)

    async def head(self, property_id: str) -> int:
        """The newest position. No more events will ever appear at or below it."""
        return await self._log.head(property_id)

    async def read(self, property_id: str, *, after: int, limit: int) -> tuple[list[PropertyEvent], int]:
        """The events among the next `limit` entries above `after`, in order, and the position they reach up to."""
        head = await self._log.head(property_id)
        entries = await self._log.read(property_id, after=after, up_to=head, limit=limit)
        read_to = entries[-1].position if len(entries) == limit else head
        return await self._events(entries), read_to or head

    async def of_conversation(self, property_id: str, conversation_id: str, *, limit: int) -> list[PropertyEvent]:
        """The events of a conversation and its tasks among their first `limit` entries, in order."""
        return await self._events(await self._log.of_conversation(property_id, conversation_id, limit=limit))

    async def _events(self, entries: list[LogEntry]) -> list[PropertyEvent]:
        overdue = await self._overdue(entries)
        events = (event_of(entry, overdue.get(_overdue_task(entry) or "")) for entry in entries)
        return [event for event in events if event is not None]

    async def _overdue(self, entries: list[LogEntry]) -> dict[str, Task]:
        ids = [task_id for entry in entries if (task_id := _overdue_task(entry)) is not None]
        if not ids:
            return {}
        async with self._database.begin() as connection:
            rows = await connection.execute(select(TaskRow).where(col(TaskRow.id).in_(ids)))
            return {row.id: Task.model_validate(row, from_attributes=True) for row in rows}


def _overdue_task(entry: LogEntry) -> str | None:
    found = _OVERDUE.fullmatch(entry.notification.id) if entry.notification is not None else None
    return found["id"] if found is not None else None
