"""Where what channels bring becomes durable: in its conversation, or in the spool while Temporal is away.

What waits goes first: as long as anything does, all that comes is put behind it, so that a guest's messages keep their
order, and nobody waits for a Temporal that does not answer but the first who find that out.
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

FETCHED: Final = frozenset({"whatsapp", "twilio"})
"""Adapters whose files stay with the provider until we fetch them."""
FIRST_TRY_SECONDS: Final = 4.0
"""After which Temporal is away for who waits to be acknowledged: networks wait 10 to 15 s, and Twilio comes once."""
HAND_OVER_SECONDS: Final = 15.0
"""The same for what waits in the spool; to connect to a Temporal that says nothing has no limit of its own."""
PUT_SECONDS: Final = 2.0
"""After which PostgreSQL is away, where a guest's message waits for it."""
HEARD_SECONDS: Final = 0.03
"""Within which every process has heard of what one of them put there; it is a few milliseconds."""
PAUSE_SECONDS: Final = 0.5
"""Between tries while something waits and cannot be handed over."""
FIRST_LOOK_SECONDS: Final = 0.5
"""How long a process that starts does not serve yet."""
LOOK_SECONDS: Final = 5.0
"""Between looks while nothing waits."""
TURN_SECONDS: Final = 30.0
"""How long a process waits for its turn to hand over; one takes a second or two."""

logger = logging.getLogger("gateway.api")


class Spooling(Enum):
    """What a process knows of the spool."""

    UNKNOWN = auto()
    EMPTY = auto()
    WAITING = auto()


class Reception:
    """Takes guests' messages and reports of failure. Raises Unavailable while Temporal and the spool are away.

    `run` hands over what waits, and knows whether anything does; without it all goes by way of the spool.
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
        """How often something was: what is found meanwhile may be older."""
        self._news = asyncio.Event()
        self._looked = asyncio.Event()
        self._no_storage_until = 0.0
        self._no_turn_since: float | None = None
        self._has_waited = False

    async def receive(
        self, property_id: str, channel_type: ChannelType, message: GuestMessage, contact_key: str | None = None
    ) -> bool:
        """Makes a guest's message durable; whether its conversation has it already.

        With `contact_key` it goes to that contact's conversation, whoever sent it.
        """
        key = contact_key or self._conversations.contact_key(property_id, channel_type, message.route.sender_id)
        return await self._take(
            WaitingMessage(property_id=property_id, channel_type=channel_type, contact_key=key, message=message)
        )

    async def delivery_failed(self, property_id: str, failure: DeliveryFailure) -> None:
        """Makes durable that a message of ours did not arrive."""
        await self._take(WaitingFailure(property_id=property_id, failure=failure))

    async def hand_over(self, waiting: Waiting, *, within: float = HAND_OVER_SECONDS) -> None:
        """Gives a conversation what came for it, begun if need be. Raises Unavailable while Temporal is away.

        One that did not answer `within` so many seconds may have it all the same: a conversation drops repeats.
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
            raise Unavailable("What came before this waits in a storage that is away; try again shortly")
        try:
            await self.hand_over(waiting, within=FIRST_TRY_SECONDS)
        except Unavailable:
            if not await self._is_put(waiting):
                raise
            return False
        return True

    async def _is_put(self, waiting: Waiting) -> bool:
        """Whether it is in the spool now. A storage that was away a moment ago is not waited for."""
        if time.monotonic() < self._no_storage_until:
            return False
        try:
            async with asyncio.timeout(PUT_SECONDS):
                await self._spool.add(waiting)
        except (StorageAway, TimeoutError):
            self._no_storage_until = time.monotonic() + PUT_SECONDS
            return False
        self._note_added()
        # The guest's next message may come to any process, but not before this one is acknowledged.
        await asyncio.sleep(HEARD_SECONDS)
        return True

    # --- what waits ------------------------------------------------------------------------------------------------

    async def first_look(self) -> None:
        """Waits until it is known whether anything waits, or cannot be, but not for long."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_LOOK_SECONDS):
                await self._looked.wait()

    async def run(self) -> None:
        """Hands over what waits, the oldest first, until it is cancelled."""
        while True:
            try:
                async with self._spool.watch(added=self._note_added, lost=self._note_lost) as watch:
                    while not watch.over:
                        await self._look(watch)
            except StorageAway:
                pass  # it is tried again
            except Exception as error:  # or nothing would ever be handed over
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
        self._tell(await self._spool.count())  # before a round, which takes as long as Temporal says nothing
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
        """By the metric always, in the log when something begins to wait and when nothing does any more."""
        SPOOLED.set(left)
        if bool(left) != self._has_waited:
            self._has_waited = bool(left)
            if left:
                logger.warning("what channels bring waits in the spool: %s", left)
            else:
                logger.warning("nothing waits in the spool any more")

    async def _hand_over_all(self, watch: Watch) -> bool:
        """One round, unless another process is at it; whether anything was handed over."""
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
        """A process that hangs in its turn is not waited for: that two go round at once harms no order."""
        self._no_turn_since = self._no_turn_since or time.monotonic()
        return time.monotonic() - self._no_turn_since > TURN_SECONDS
