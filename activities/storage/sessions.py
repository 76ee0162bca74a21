"""Staff sessions: Redis has how long each still lasts, PostgreSQL remembers those that were ended early."""

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from cachetools import TLRUCache
from redis.asyncio import Redis

import settings as configuration
from activities.storage.database import Database
from activities.storage.redis_client import REDIS_AWAY, Fuse, heed_cancellation
from activities.storage.revocations import Ending, all_revoked, is_revoked, revoke, revoke_all_of
from contracts.problems import StorageAway
from contracts.unexpected import describe

OPEN: Final = "open"
ENDED: Final = "ended"
ENDINGS: Final = "gateway:sessions:ended"
"""The channel on which processes announce the ids of ended sessions."""
SINCE: Final = "gateway:sessions:since"
"""Redis knows every session started after this time, in seconds. Older ones may be missing, if it lost its data."""
RECONNECT_SECONDS: Final = 1.0
LISTEN_SECONDS: Final = 5.0
KNOWN: Final = 4096

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Lease:
    """How long a session lasts unless it is used again. `recorded`: Redis knows it."""

    expires_at: datetime
    renewed: bool = False
    recorded: bool = True


class Sessions:
    """Opens, checks and ends sessions. Only `end_all` fails while Redis or PostgreSQL is away."""

    def __init__(self, database: Database, redis: Redis, settings: configuration.Session) -> None:
        self._database = database
        self._redis = redis
        self._ttl = timedelta(seconds=settings.ttl)
        self._renewal_threshold = timedelta(seconds=settings.renewal_threshold)
        self._fuse = Fuse()
        self._unsaid: dict[str, datetime] = {}
        self._known: TLRUCache[str, datetime] = TLRUCache(maxsize=KNOWN, ttu=self._until_renewal)
        """The expiry of sessions that need no renewal yet, which makes checking them cheaper."""
        self._watched: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)

    async def open(self, session_id: str, ends_at: datetime) -> Lease:
        """Starts a session. It lasts until its ttl after the last renewal, but not beyond `ends_at`."""
        lasts = self._lasts(ends_at)
        try:
            with self._fuse:
                pipeline = self._redis.pipeline(transaction=False)
                pipeline.set(SINCE, int(time.time()), nx=True)
                # `nx`, so that a session ended at this very moment stays ended.
                pipeline.set(_key(session_id), OPEN, px=lasts, nx=True)
                await pipeline.execute()
        except REDIS_AWAY:
            return Lease(ends_at, recorded=False)
        return Lease(datetime.now(UTC) + lasts)

    async def check(self, session_id: str, *, started_at: datetime, ends_at: datetime, recorded: bool) -> Lease | None:
        """How long the session still lasts, after renewing it if little time is left. None if it has ended.

        While Redis is away, a session lasts until `ends_at` unless PostgreSQL knows that it was ended.
        """
        if session_id in self._unsaid:
            return None
        try:
            with self._fuse:
                known = self._known.get(session_id)
                if known is not None and await self._redis.get(_key(session_id)) == OPEN:
                    return Lease(known)  # or longer, if another process has renewed it
                pipeline = self._redis.pipeline(transaction=False)
                pipeline.get(_key(session_id))
                pipeline.pttl(_key(session_id))
                state, left_ms = await pipeline.execute()
                if state == OPEN and left_ms > 0:
                    return await self._renewed(session_id, timedelta(milliseconds=left_ms), ends_at)
                if state is None and not (recorded and await self._remembers(started_at)):
                    return await self._recovered(session_id, ends_at)
        except REDIS_AWAY:
            return None if await self._revoked(session_id) else Lease(ends_at, recorded=False)
        return None

    async def renew(self, session_id: str, ends_at: datetime) -> Lease:
        """Gives an open session its full ttl again."""
        lasts = self._lasts(ends_at)
        try:
            # Sets only the time, so that a session ended at this very moment stays ended.
            await self._redis.pexpire(_key(session_id), lasts)
        except REDIS_AWAY:
            return Lease(ends_at, recorded=False)
        return Lease(datetime.now(UTC) + lasts, renewed=True)

    async def end(self, session_id: str, ends_at: datetime) -> None:
        """Ends a session at once, in every process."""
        ending = Ending(session_id, ends_at)
        await self.announce([ending])
        with suppress(StorageAway):
            async with self._database.begin() as connection:
                await revoke(connection, [ending])

    async def end_all(self, staff_id: str, *, but: str | None = None) -> None:
        """Ends every session of one member of staff, or all but one. Raises StorageAway while PostgreSQL is away."""
        async with self._database.begin() as connection:
            endings = await revoke_all_of(connection, staff_id, but=but)
        await self.announce(endings)

    async def announce(self, endings: Sequence[Ending]) -> None:
        """Puts endings into effect in every process at once. Storing them in PostgreSQL is up to the caller."""
        for ending in endings:
            self._tell(ending.session_id)
            self._unsaid[ending.session_id] = ending.ends_at
        await self._say_endings()

    async def was_ended(self, session_id: str) -> bool:
        """Whether a session was ended, as far as is known without PostgreSQL."""
        if session_id in self._unsaid:
            return True
        try:
            with self._fuse:
                return bool(await self._redis.get(_key(session_id)) == ENDED)
        except REDIS_AWAY:
            return False

    def watch(self, session_id: str, ended: Callable[[], None]) -> Callable[[], None]:
        """Calls `ended` when the session is ended early, in any process. Returns a function that ends the watch."""
        self._watched[session_id].append(ended)
        return lambda: self._forget(session_id, ended)

    def _forget(self, session_id: str, ended: Callable[[], None]) -> None:
        self._watched[session_id].remove(ended)
        if not self._watched[session_id]:
            del self._watched[session_id]

    async def listen(self) -> None:
        """Listens for endings in other processes until cancelled. Catches up after Redis was away."""
        while True:
            try:
                await self._hear()
            except REDIS_AWAY:
                pass
            except Exception as error:  # otherwise this process would never hear of endings again
                logger.error("ending sessions: postponed, unexpected %s", describe(error))  # noqa: TRY400 - may quote a name
            heed_cancellation()
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _hear(self) -> None:
        async with self._redis.pubsub(ignore_subscribe_messages=True) as endings:
            await endings.subscribe(ENDINGS)
            await self._say_endings()
            await self._say_revoked()
            await self._catch_up()
            while True:
                message = await endings.get_message(timeout=LISTEN_SECONDS)
                heed_cancellation()
                if message is not None:
                    self._tell(str(message["data"]))

    async def _say_endings(self) -> None:
        """Sends Redis the endings of this process that it does not have yet."""
        with suppress(*REDIS_AWAY):
            for session_id, ends_at in list(self._unsaid.items()):
                left = max(ends_at - datetime.now(UTC), timedelta(milliseconds=1))
                async with self._redis.pipeline(transaction=False) as pipeline:
                    pipeline.set(_key(session_id), ENDED, px=left)
                    pipeline.publish(ENDINGS, session_id)
                    await pipeline.execute()
                self._unsaid.pop(session_id, None)  # a concurrent call may have removed it

    async def _say_revoked(self) -> None:
        """Sends Redis endings that only PostgreSQL has, e.g. because their process died or Redis lost its data."""
        try:
            async with self._database.begin() as connection:
                endings = await all_revoked(connection)
        except StorageAway:
            return
        for ending in endings:
            left = max(ending.ends_at - datetime.now(UTC), timedelta(milliseconds=1))
            if await self._redis.set(_key(ending.session_id), ENDED, px=left, get=True) == OPEN:
                await self._redis.publish(ENDINGS, ending.session_id)

    async def _catch_up(self) -> None:
        watched = list(self._watched)
        if watched:
            states = await self._redis.mget([_key(session_id) for session_id in watched])
            for session_id, state in zip(watched, states, strict=True):
                if state == ENDED:
                    self._tell(session_id)

    def _tell(self, session_id: str) -> None:
        for ended in tuple(self._watched.get(session_id, ())):
            ended()

    async def _renewed(self, session_id: str, left: timedelta, ends_at: datetime) -> Lease:
        if left < self._renewal_threshold and self._lasts(ends_at) > left:
            return await self.renew(session_id, ends_at)
        lease = Lease(datetime.now(UTC) + left)
        self._known[session_id] = lease.expires_at
        return lease

    def _until_renewal(self, _session_id: str, expires_at: datetime, now: float) -> float:
        return now + (expires_at - datetime.now(UTC) - self._renewal_threshold).total_seconds()

    async def _remembers(self, started_at: datetime) -> bool:
        """Whether Redis would still know a session started then. If not, one missing there need not have ended."""
        async with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.set(SINCE, int(time.time()), nx=True)
            pipeline.get(SINCE)
            _, since = await pipeline.execute()
        return since is not None and started_at.timestamp() >= float(since)

    async def _recovered(self, session_id: str, ends_at: datetime) -> Lease | None:
        """Restores a session that Redis has forgotten or never knew. None if it was ended."""
        if await self._revoked(session_id):
            return None
        lasts = self._lasts(ends_at)
        await self._redis.set(_key(session_id), OPEN, px=lasts, nx=True)
        return Lease(datetime.now(UTC) + lasts, renewed=True)

    async def _revoked(self, session_id: str) -> bool:
        """Whether PostgreSQL knows that the session was ended. While it is away, it counts as not ended."""
        try:
            async with self._database.begin() as connection:
                return await is_revoked(connection, session_id)
        except StorageAway:
            return False

    def _lasts(self, ends_at: datetime) -> timedelta:
        """How long the session lasts from now on: its ttl, but not beyond its absolute end."""
        return max(min(self._ttl, ends_at - datetime.now(UTC)), timedelta(milliseconds=1))


def _key(session_id: str) -> str:
    return f"gateway:session:{session_id}"
