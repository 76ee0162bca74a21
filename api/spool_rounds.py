"""Rounds through the spool: hands waiting items to their conversations, in order for each contact."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Final

from cachetools import TTLCache

from activities.storage.quarantine import Quarantine
from activities.storage.spool import Spool, Spooled
from api.middleware import log_unexpected
from contracts.problems import StorageAway, Unavailable, Unreachable
from contracts.quarantine import Unreadable
from contracts.spool import Waiting
from contracts.unexpected import kinds_of

ADAPTER: Final = "spool"
"""The adapter name under which quarantine keeps items that no conversation could take."""
AT_ONCE: Final = 16
"""How many contacts are served at once."""

WARNED: Final = 4096
WARN_SECONDS: Final = 600.0
"""How long a contact is not logged again: rounds are only half a second apart."""

logger = logging.getLogger("gateway.api")


class Came(Enum):
    """The outcome of handing an item over."""

    DONE = auto()
    REFUSED = auto()
    AWAY = auto()


class Rounds:
    """`give` hands an item to its conversation, and raises Unavailable if Temporal does not take it."""

    def __init__(self, spool: Spool, quarantine: Quarantine, give: Callable[[Waiting], Awaitable[None]]) -> None:
        self._spool = spool
        self._quarantine = quarantine
        self._give = give
        self._refused: set[str] = set()
        self._away = False
        self._warned: TTLCache[str, None] = TTLCache(maxsize=WARNED, ttl=WARN_SECONDS)

    async def go(self) -> bool:
        """One round, until a batch has handed something over or everything was tried. Returns whether anything was."""
        position, self._refused, self._away = 0, set(), False
        while not self._away and (batch := await self._spool.oldest(after=position, but=self._refused)):
            position = batch[-1].position
            gone = await self._give_batch(batch)
            if gone:
                await self._spool.forget(gone)
                return True
        return False

    async def _give_batch(self, batch: list[Spooled]) -> list[str]:
        by_contact: defaultdict[str, list[Spooled]] = defaultdict(list)
        for each in batch:
            by_contact[each.contact_key].append(each)
        gone: list[str] = []
        gate = asyncio.Semaphore(AT_ONCE)

        async def in_order(contact_key: str) -> None:
            async with gate:
                for each in by_contact[contact_key]:
                    came = Came.AWAY if self._away else await self._give_one(each)
                    if came is not Came.DONE:  # later items of this contact must not overtake the refused one
                        self._refused.add(contact_key)
                        self._away = self._away or came is Came.AWAY
                        return
                    gone.append(each.id)

        await asyncio.gather(*(in_order(each) for each in by_contact))
        return gone

    async def _give_one(self, spooled: Spooled) -> Came:
        """Hands one item over. If a bug of ours prevents that, the item goes to quarantine for staff to see."""
        if spooled.waiting is None:
            self._warn(spooled.contact_key, "it was written by a newer release")
            return Came.REFUSED
        try:
            await self._give(spooled.waiting)
        except Unreachable:
            return Came.AWAY
        except Unavailable as error:
            self._warn(spooled.contact_key, error.detail)
            return Came.REFUSED
        except Exception as error:  # it must not hold up other contacts
            log_unexpected(error)
            return await self._put_aside(spooled.waiting, kinds_of(error))
        return Came.DONE

    def _warn(self, contact_key: str, why: str) -> None:
        if contact_key not in self._warned:
            self._warned[contact_key] = None
            logger.warning("a waiting message of contact %s cannot be handed over: %s", contact_key, why)

    async def _put_aside(self, waiting: Waiting, kinds: str) -> Came:
        item = Unreadable(waiting.model_dump_json().encode(), f"This could not be given to a conversation: {kinds}")
        try:
            await self._quarantine.keep(waiting.property_id, ADAPTER, [item])
        except StorageAway:
            return Came.REFUSED
        return Came.DONE
