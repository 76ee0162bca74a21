"""Writing to a property's log: its next positions, and the live stream that tells of them at once."""

from collections.abc import Sequence

from redis.asyncio import Redis
from sqlalchemy import insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.storage.redis_client import REDIS_AWAY, Fuse
from activities.storage.tables import LogRow
from contracts.events import LogEntry, live_stream
from contracts.tasks import Task

LIVE_LENGTH = 1000
"""About how many entries a live stream keeps; who is further behind reads storage."""

_ADVANCE = text(
    "INSERT INTO log_heads (property_id, head) VALUES (:property_id, :count)"
    " ON CONFLICT (property_id) DO UPDATE SET head = log_heads.head + :count RETURNING head"
)


async def next_positions(connection: AsyncConnection, property_id: str, count: int) -> int:
    """Takes `count` positions of the property's log and gives the first.

    The property's head stays locked until the transaction ends, so that positions become visible in their order:
    take them last, and write the entries right after.
    """
    head: int = (await connection.execute(_ADVANCE, {"property_id": property_id, "count": count})).scalar_one()
    return head - count + 1


async def append_task(connection: AsyncConnection, task: Task) -> LogEntry:
    """Adds a task as it now is to its property's log; the last thing that a transaction does.

    The entry stands under no contact, so that no guest's reader comes across it.
    """
    entry = LogEntry(
        property_id=task.property_id,
        type="task_update",
        position=await next_positions(connection, task.property_id, 1),
        conversation_id=task.conversation_id,
        task=task,
    )
    await connection.execute(
        insert(LogRow).values(
            property_id=entry.property_id,
            position=entry.position,
            conversation_id=entry.conversation_id,
            type=entry.type,
            payload=task.model_dump(mode="json"),
            repeats=False,
            at=task.updated_at,
        )
    )
    return entry


class LiveStream:
    """The live streams of all properties. They only make things faster; storage is what readers rely on."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._fuse = Fuse()

    async def add(self, entries: Sequence[LogEntry]) -> bool:
        """Tells the entries to who listens, in order; False while Redis is away."""
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
