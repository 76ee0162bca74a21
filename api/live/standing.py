"""Checks every two seconds, for all sockets at once, that people may still do what their tokens say."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from activities.storage.database import Database
from activities.storage.standing import standings
from api.middleware import log_unexpected
from contracts.problems import StorageAway
from contracts.staff import Staff

LOOK: Final = 2.0
"""Seconds between checks. An ended session is announced at once; this finds changes that nobody could announce."""
BATCH: Final = 500


@dataclass(eq=False, slots=True)
class _Watched:
    staff: Staff
    changed: Callable[[], None]


class StandingWatch:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._watched: defaultdict[str, set[_Watched]] = defaultdict(set)
        self._looking: asyncio.Task[None] | None = None

    async def stands(self, staff: Staff) -> bool:
        """Whether somebody may still do what their token says; assumed so while storage is away."""
        with suppress(StorageAway):
            standing = (await standings(self._database, [staff.id])).get(staff.id)
            return standing is None or standing.allows(staff)
        return True

    def watch(self, staff: Staff, changed: Callable[[], None]) -> Callable[[], None]:
        """Calls `changed` once somebody's permissions change. Calling the returned function ends the watch."""
        watched = _Watched(staff, changed)
        self._watched[staff.id].add(watched)
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_on(), name="standing of staff")
        return lambda: self._forget(watched)

    def stop(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            self._looking = None

    def _forget(self, watched: _Watched) -> None:
        self._watched[watched.staff.id].discard(watched)
        if not self._watched[watched.staff.id]:
            del self._watched[watched.staff.id]
        if not self._watched:
            self.stop()

    async def _look_on(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self._look()
            except StorageAway:
                pass
            except Exception as error:  # otherwise nobody would ever be checked again
                log_unexpected(error)

    async def _look(self) -> None:
        everybody = list(self._watched)
        for first in range(0, len(everybody), BATCH):
            for staff_id, standing in (await standings(self._database, everybody[first : first + BATCH])).items():
                for watched in tuple(self._watched.get(staff_id, ())):
                    if not standing.allows(watched.staff):
                        watched.changed()
