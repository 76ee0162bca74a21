"""Makes incoming messages durable: in their conversation, or in the spool while Temporal is away.

The spool goes first: as long as anything waits in it, everything that comes in is queued behind it. So a guest's
messages keep their order, and only the first requests wait for a Temporal that does not answer.
"""

import asyncio
import logging
import time
from contextlib import suppress
from enum import Enum, auto
from typing import Final

from activities.storage.quarantine import Quarantine
from activities.storage.redis_client import heed_cancellation
from activities.storage.spool import Spool, Watch
from api.middleware import log_unexpected
from api.spool_rounds import Rounds
from contracts.commands import DeliveryFailure
from contracts.messages import ChannelType, GuestMessage
from contracts.metrics import SPOOLED
from contracts.problems import StorageAway, Unavailable, Unreachable
from contracts.spool import Waiting, WaitingFailure, WaitingMessage
from workflows.client import Conversations
from workflows.media_client import MediaOrders

FETCHED: Final = frozenset({"whatsapp", "twilio", "email"})
"""Adapters whose files, or some of them, stay with the provider until we download them."""
FIRST_TRY_SECONDS: Final = 4.0
"""How long a webhook waits for Temporal before it goes to the spool. Networks wait 10 to 15 s; Twilio tries once."""
HAND_OVER_SECONDS: Final = 15.0
"""The same for an item of the spool: connecting to a Temporal that never answers has no time limit of its own."""
PUT_SECONDS: Final = 2.0
"""How long a guest's message waits for PostgreSQL before it counts as away."""
HEARD_SECONDS: Final = 0.03
"""Time for every process to hear of an item that one of them has added; it takes a few milliseconds."""
PAUSE_SECONDS: Final = 0.5
"""Pause between attempts while items wait that cannot be handed over."""
FIRST_LOOK_SECONDS: Final = 0.5
"""How long a starting process waits to learn whether the spool is empty before it serves."""
LOOK_SECONDS: Final = 5.0
"""Pause between checks while the spool is empty."""
TURN_SECONDS: Final = 30.0
"""How long a process waits for its turn to hand over; a turn takes a second or two."""

logger = logging.getLogger("gateway.api")


class Spooling(Enum):
    """What a process knows about the spool."""

    UNKNOWN = auto()
    EMPTY = auto()
    WAITING = auto()


class Reception:
    """Takes in guest messages and failure reports. Raises Unavailable while both Temporal and the spool are away.

    `run` empties the spool and keeps track of whether it is empty; unless it runs, everything goes through the spool.
    """

    def __init__(
        self, conversations: Conversations, media_orders: MediaOrders, spool: Spool, quarantine: Quarantine
    ) -> None:
        self._conversations = conversations
        self._media_orders = media_orders
        self._spool = spool
        self._rounds = Rounds(spool, quarantine, self.hand_over)
        self._known = Spooling.UNKNOWN
        self._added = 0
        """Counts additions, to recognise a count of the spool that is already outdated."""
        self._news = asyncio.Event()
        self._looked = asyncio.Event()
        self._no_storage_until = 0.0
        self._no_turn_since: float | None = None
        self._has_waited = False

    async def receive(
        self, property_id: str, channel_type: ChannelType, message: GuestMessage, contact_key: str | None = None
    ) -> bool:
        """Makes a guest message durable. Returns whether its conversation has it already.

        With `contact_key` it goes to that contact's conversation, whoever sent it.
        """
        key = contact_key or self._conversations.contact_key(property_id, channel_type, message.route.sender_id)
        return await self._take(
            WaitingMessage(property_id=property_id, channel_type=channel_type, contact_key=key, message=message)
        )

    async def delivery_failed(self, property_id: str, failure: DeliveryFailure) -> None:
        """Makes a failure report on one of our messages durable."""
        await self._take(WaitingFailure(property_id=property_id, failure=failure))

    async def hand_over(self, waiting: Waiting, *, within: float = HAND_OVER_SECONDS) -> None:
        """Hands an item to its conversation, which is started if need be. Raises Unavailable while Temporal is away.

        If Temporal does not answer `within` these seconds it may have the item all the same; repeats are dropped.
        """
        try:
            async with asyncio.timeout(within):
                await self._give(waiting)
        except TimeoutError:
            raise Unreachable("Temporal does not answer; try again shortly") from None

    async def _give(self, waiting: Waiting) -> None:
        if isinstance(waiting, WaitingFailure):
            await self._conversations.delivery_failed(waiting.failure)
            return
        message = waiting.message
        if message.route.adapter in FETCHED:
            message = await self._media_orders.take_over(waiting.property_id, message)
        await self._conversations.receive(
            waiting.property_id, waiting.channel_type, message, contact_key=waiting.contact_key
        )

    async def _take(self, waiting: Waiting) -> bool:
        if self._known is not Spooling.EMPTY and await self._is_put(waiting):
            return False
        if self._known is Spooling.WAITING:
            raise Unavailable("Earlier messages are waiting in storage, which is away; try again shortly")
        try:
            await self.hand_over(waiting, within=FIRST_TRY_SECONDS)
        except Unavailable:
            if not await self._is_put(waiting):
                raise
            return False
        return True

    async def _is_put(self, waiting: Waiting) -> bool:
        """Puts an item in the spool; False if that failed. Storage that was away a moment ago is not tried."""
        if time.monotonic() < self._no_storage_until:
            return False
        try:
            async with asyncio.timeout(PUT_SECONDS):
                await self._spool.add(waiting)
        except (StorageAway, TimeoutError):
            self._no_storage_until = time.monotonic() + PUT_SECONDS
            return False
        self._note_added()
        # The guest's next message may reach any process, but not before this one is acknowledged.
        await asyncio.sleep(HEARD_SECONDS)
        return True

    # --- the spool -------------------------------------------------------------------------------------------------

    async def first_look(self) -> None:
        """Waits, but not for long, until it is known whether the spool is empty, or that this cannot be known."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                await self._looked.wait()

    async def run(self) -> None:
        """Hands over waiting items, oldest first, until cancelled."""
        while True:
            try:
                async with self._spool.watch(added=self._note_added, lost=self._note_lost) as watch:
                    while not watch.over:
                        await self._look(watch)
            except StorageAway:
                pass
            except Exception as error:  # otherwise nothing would ever be handed over again
                log_unexpected(error)
            heed_cancellation()
            self._note_lost()
            self._looked.set()
            await asyncio.sleep(PAUSE_SECONDS)

    def _note_added(self) -> None:
        self._added += 1
        self._known = Spooling.WAITING
        self._news.set()

    def _note_lost(self) -> None:
        if self._known is Spooling.EMPTY:
            self._known = Spooling.UNKNOWN
        self._news.set()

    async def _look(self, watch: Watch) -> None:
        added = self._added
        self._news.clear()
        self._tell(await self._spool.count())  # before a round, which may hang as long as Temporal does not answer
        self._no_storage_until = 0.0  # it has just answered
        moved = await self._hand_over_all(watch)
        left = await self._spool.count()
        self._tell(left)
        if self._added == added and not watch.over:
            self._known = Spooling.WAITING if left else Spooling.EMPTY
        self._looked.set()
        if left and moved:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(PAUSE_SECONDS if left else LOOK_SECONDS):
                await self._news.wait()

    def _tell(self, left: int) -> None:
        """Updates the metric, and logs when items begin to wait and when none are left."""
        SPOOLED.set(left)
        if bool(left) != self._has_waited:
            self._has_waited = bool(left)
            if left:
                logger.warning("incoming messages are waiting in the spool: %s", left)
            else:
                logger.warning("the spool is empty again")

    async def _hand_over_all(self, watch: Watch) -> bool:
        """One round, unless another process is doing one. Returns whether anything was handed over."""
        mine = await watch.take_turn()
        try:
            if not (mine or self._waits_too_long()):
                return False
            self._no_turn_since = None
            return await self._rounds.go()
        finally:
            if mine and not watch.over:
                await watch.end_turn()

    def _waits_too_long(self) -> bool:
        """Whether to stop waiting for a process that hangs in its turn. Two rounds at once do not break the order."""
        self._no_turn_since = self._no_turn_since or time.monotonic()
        return time.monotonic() - self._no_turn_since > TURN_SECONDS
