"""The live side of one api process: the properties it follows and the sockets it holds."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from activities.storage.database import Database
from activities.storage.log import Log
from activities.storage.redis_client import open_redis
from api.live.tail import BLOCK, Tail
from api.live.telling import Audience
from contracts.metrics import WS_CONNECTIONS
from contracts.problems import TooManyRequests
from settings import Settings


class LiveHub:
    """Follows each property that somebody is connected to, by one tail, for as long as somebody is."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self.log = Log(database)
        # A read of a stream waits for entries, so its connection must allow for more than that.
        patient = settings.redis.model_copy(update={"timeout": settings.redis.timeout + BLOCK})
        self._redis = open_redis(patient)
        self._most = settings.websocket.max_connections
        self._connections = 0
        self._tails: dict[str, Tail] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._users: defaultdict[str, int] = defaultdict(int)

    @contextmanager
    def admit(self, audience: Audience) -> Iterator[None]:
        """Counts a socket for as long as the block runs. Raises TooManyRequests where there is no room for it."""
        if self._connections >= self._most:
            raise TooManyRequests("There are too many connections to this server; try again shortly")
        self._connections += 1
        try:
            with WS_CONNECTIONS.labels(audience).track_inprogress():
                yield
        finally:
            self._connections -= 1

    async def open(self, property_id: str) -> Tail:
        """The tail of a property, for one who gives it back with `close`."""
        self._users[property_id] += 1
        if property_id not in self._tails:
            self._tails[property_id] = tail = Tail(property_id, self.log, self._redis)
            self._tasks[property_id] = asyncio.create_task(tail.run(), name=f"tail of {property_id}")
        tail = self._tails[property_id]
        try:
            await tail.ready.wait()
        except asyncio.CancelledError:
            self.close(tail)
            raise
        return tail

    def close(self, tail: Tail) -> None:
        property_id = tail.property_id
        self._users[property_id] -= 1
        if not self._users[property_id]:
            del self._users[property_id], self._tails[property_id]
            self._tasks.pop(property_id).cancel()

    async def stop(self) -> None:
        """Follows nothing any more."""
        for task in self._tasks.values():
            task.cancel()
        for task in self._tasks.values():
            with suppress(asyncio.CancelledError):
                await task
        await self._redis.aclose()
