"""Writes to a property's log and its live stream."""

from collections.abc import Sequence

from redis.asyncio import Redis
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.storage.redis_client import REDIS_AWAY, Fuse
from activities.storage.tables import LogRow
from contracts.events import LogEntry, Notification, live_stream

LIVE_LENGTH = 1000
"""About how many entries a live stream keeps. Readers further behind read storage."""

_ADVANCE = text(
    "INSERT INTO log_heads (property_id, head) VALUES (:property_id, :count)"
    " ON CONFLICT (property_id) DO UPDATE SET head = log_heads.head + :count RETURNING head"
)


async def next_positions(connection: AsyncConnection, property_id: str, count: int) -> int:
    """Allocates `count` positions of the property's log and returns the first.

    The log's head stays locked until the transaction ends, so that positions become visible in order. Allocate them
    last, and write the entries right after.
    """
    head: int = (await connection.execute(_ADVANCE, {"property_id": property_id, "count": count})).scalar_one()
    return head - count + 1


async def append(connection: AsyncConnection, property_id: str, entries: Sequence[LogEntry]) -> None:
    """Adds tasks and notifications to a property's log, in order. Must be the last step of a transaction.

    Each entry gets its position. They have no contact, so that guests' readers never see them.
    """
    if not entries:
        return
    first = await next_positions(connection, property_id, len(entries))
    for position, entry in enumerate(entries, first):
        entry.position = position
    await connection.execute(insert(LogRow), [_row(entry) for entry in entries])


def notification_entry(property_id: str, notification: Notification) -> LogEntry:
    return LogEntry(
        property_id=property_id,
        type="notification",
        conversation_id=notification.conversation_id,
        notification=notification,
    )


def _row(entry: LogEntry) -> dict[str, object]:
    told = entry.task or entry.notification
    payload = told.model_dump(mode="json") if told else None
    at = entry.task.updated_at if entry.task else entry.notification.at if entry.notification else None
    return {
        "property_id": entry.property_id,
        "position": entry.position,
        "conversation_id": entry.conversation_id,
        "type": entry.type,
        "payload": {**payload, "by": entry.by} if payload is not None and entry.task is not None else payload,
        "repeats": False,
        "at": at,
    }


class LiveStream:
    """The live streams of all properties. They are only an acceleration; readers rely on storage."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._fuse = Fuse()

    async def add(self, entries: Sequence[LogEntry]) -> bool:
        """Adds entries to the stream, in order. Returns False while Redis is away."""
        if not entries:
            return True
        try:
            with self._fuse:
                pipeline = self._redis.pipeline(transaction=False)
                for entry in entries:
                    key = live_stream(entry.property_id)
                    pipeline.xadd(key, {"entry": entry.model_dump_json(exclude_none=True)}, maxlen=LIVE_LENGTH)
                await pipeline.execute()
        except REDIS_AWAY:
            return False
        return True
