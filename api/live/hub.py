"""The live part of one api process: the properties it follows and the sockets it holds."""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from activities.media.links import MediaLinks
from activities.storage.database import Database
from activities.storage.log import Log
from activities.storage.redis_client import open_redis
from api.live.connection import Ended
from api.live.presence import Presence
from api.live.rendering import Audience
from api.live.standing import StandingWatch
from api.live.tail import BLOCK, Tail
from contracts.frames import CloseCode
from contracts.metrics import WS_CONNECTIONS
from contracts.unexpected import kinds_of
from settings import Settings

logger = logging.getLogger("gateway.live")


@dataclass
class _Followed:
    tail: Tail
    task: asyncio.Task[None]
    users: int = 0


class LiveHub:
    """Keeps one tail for each property that has connected sockets."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.log = Log(database)
        self._links = MediaLinks(settings)
        # Stream reads block until entries come, so the connection's timeout must be longer than that.
        patient = settings.redis.model_copy(update={"timeout": settings.redis.timeout + BLOCK})
        self._redis = open_redis(patient)
        self.presence = Presence(self._redis)
        self.standing = StandingWatch(database)
        self._most = settings.websocket.max_connections
        self._connections = 0
        self._followed: dict[str, _Followed] = {}

    def admit(self, audience: Audience) -> Callable[[], None]:
        """Counts a socket until the returned function is called. Raises Ended if there is no room for it."""
        if self._connections >= self._most:
            raise Ended(CloseCode.FULL, "too many connections; try again shortly")
        self._connections += 1
        WS_CONNECTIONS.labels(audience).inc()
        return lambda: self._dismiss(audience)

    def _dismiss(self, audience: Audience) -> None:
        self._connections -= 1
        WS_CONNECTIONS.labels(audience).dec()

    def open(self, property_id: str) -> Tail:
        """The tail of a property, to be given back with `close`. Await its `ready` before using it."""
        followed = self._followed.get(property_id)
        if followed is None:
            tail = Tail(property_id, self.log, self._redis, self._links, self.presence)
            task = asyncio.create_task(tail.run(), name=f"tail of {property_id}")
            followed = self._followed[property_id] = _Followed(tail, task)
            task.add_done_callback(lambda ended: self._check(tail, ended))
        followed.users += 1
        return followed.tail

    def close(self, tail: Tail) -> None:
        followed = self._followed.get(tail.property_id)
        if followed is None or followed.tail is not tail:
            return
        followed.users -= 1
        if not followed.users:
            del self._followed[tail.property_id]
            followed.task.cancel()

    async def stop(self) -> None:
        """Stops following all properties."""
        self.standing.stop()
        tasks = [followed.task for followed in self._followed.values()]
        self._followed.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._redis.aclose()

    def _check(self, tail: Tail, ended: asyncio.Task[None]) -> None:
        """Closes the sockets of a tail that failed: they would look alive. Reconnecting gets them a new one."""
        error = None if ended.cancelled() else ended.exception()
        if error is not None:
            del self._followed[tail.property_id]
            tail.abandon()
            logger.error("following the log of %s failed: %s", tail.property_id, kinds_of(error))
