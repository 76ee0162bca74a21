"""Sharing between processes who is viewing a conversation.

Entries are renewed, so Redis may lose them, and they expire, so a dead process leaves none behind.
"""

import time
from collections.abc import Sequence
from typing import Final

from pydantic import ValidationError
from redis.asyncio import Redis

from activities.storage.log_writer import LiveStream
from activities.storage.redis_client import REDIS_AWAY, Fuse
from contracts.events import LogEntry, Viewer, viewers_key
from contracts.names import contact_key_of

REFRESH: Final = 20.0
"""Seconds between renewals."""
LASTS: Final = 50.0
"""Seconds after which a viewer expires unless their process renews them."""


class Presence:
    """The viewers connected to this process."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._stream = LiveStream(redis)
        self._fuse = Fuse()
        self._own: dict[str, set[Viewer]] = {}

    async def begin(self, property_id: str, viewer: Viewer) -> LogEntry | None:
        """Announces a viewer. While Redis is away, returns the entry, for the sockets of this process only."""
        self._own.setdefault(property_id, set()).add(viewer)
        return await self._say(property_id, viewer, looking=True)

    async def end(self, property_id: str, viewer: Viewer) -> LogEntry | None:
        own = self._own.get(property_id, set())
        own.discard(viewer)
        if not own:
            self._own.pop(property_id, None)
        return await self._say(property_id, viewer, looking=False)

    async def all(self, property_id: str) -> list[Viewer] | None:
        """All viewers in all processes, after renewing this one's; None while Redis is away."""
        key, now = viewers_key(property_id), time.time()
        own = {viewer.model_dump_json(): now + LASTS for viewer in self._own.get(property_id, ())}
        try:
            with self._fuse:
                pipeline = self._redis.pipeline(transaction=False)
                if own:
                    pipeline.zadd(key, own)
                    pipeline.expire(key, int(2 * LASTS))
                pipeline.zremrangebyscore(key, "-inf", now)
                pipeline.zrange(key, 0, -1)
                *_, members = await pipeline.execute()
        except REDIS_AWAY:
            return None
        return _viewers(members)

    async def _say(self, property_id: str, viewer: Viewer, *, looking: bool) -> LogEntry | None:
        key, member = viewers_key(property_id), viewer.model_dump_json()
        entry = LogEntry(
            property_id=property_id,
            type="presence",
            contact_key=contact_key_of(viewer.conversation_id),
            conversation_id=viewer.conversation_id,
            viewer=viewer,
            looking=looking,
        )
        try:
            with self._fuse:
                pipeline = self._redis.pipeline(transaction=False)
                if looking:
                    pipeline.zadd(key, {member: time.time() + LASTS})
                    pipeline.expire(key, int(2 * LASTS))
                else:
                    pipeline.zrem(key, member)
                await pipeline.execute()
        except REDIS_AWAY:
            return entry
        return None if await self._stream.add([entry]) else entry


def _viewers(members: Sequence[str]) -> list[Viewer]:
    viewers: list[Viewer] = []
    for member in members:
        try:
            viewers.append(Viewer.model_validate_json(member))
        except ValidationError:
            continue  # of a newer release
    return viewers
