"""Where what channels bring becomes durable: in its conversation, or in the spool while Temporal is away.

What waits goes first. As long as anything does, all that comes is put behind it, so that a guest's messages keep their
order; and nobody waits for a Temporal that does not answer but the first who find that out.
"""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from activities.storage.quarantine import Quarantine
from activities.storage.spool import Spool
from api.middleware import log_unexpected
from contracts.commands import DeliveryFailure
from contracts.messages import ChannelType, GuestMessage
from contracts.metrics import SPOOLED
from contracts.problems import StorageAway, Unavailable
from contracts.quarantine import Unreadable
from contracts.waiting import Waiting, WaitingFailure, WaitingMessage
from workflows.calls import GoneError
from workflows.client import Conversations
from workflows.media_client import MediaOrders

FETCHED: Final = frozenset({"whatsapp", "twilio"})
"""Adapters whose files stay with the provider until we fetch them."""
ADAPTER: Final = "spool"
"""Under which quarantine keeps what no conversation could be given."""
AT_ONCE: Final = 16
"""How many contacts are given what waits for them at once."""
AWAY_AFTER: Final = 3
"""Temporal is away if so many contacts in turn cannot be given theirs, and none could."""
PAUSE_SECONDS: Final = 0.5
"""Between tries while something waits and cannot be handed over."""
LOOK_SECONDS: Final = 5.0
"""Between looks while nothing waits, lest one were not told."""
FIRST_LOOK_SECONDS: Final = 1.0
"""How long a process that has just started waits to learn whether something waits."""


class Reception:
    """Takes guests' messages and reports of failure. Raises Unavailable while Temporal and PostgreSQL are away both."""

    def __init__(
        self, conversations: Conversations, media_orders: MediaOrders, spool: Spool, quarantine: Quarantine
    ) -> None:
        self._conversations = conversations
        self._media_orders = media_orders
        self._spool = spool
        self._quarantine = quarantine
        self._waiting = False
        self._looked = asyncio.Event()
        self._news = asyncio.Event()
        self._told = 0
        """How often something was said to wait: what is found meanwhile may be older."""

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

    async def hand_over(self, waiting: Waiting) -> None:
        """Gives a conversation what came for it, begun if need be. Raises Unavailable while Temporal is away."""
        if isinstance(waiting, WaitingFailure):
            await self._conversations.delivery_failed(waiting.failure)
            return
        message = waiting.message
        try:
            if message.route.adapter in FETCHED:
                message = await self._media_orders.take_over(waiting.property_id, message)
            await self._conversations.receive(
                waiting.property_id, waiting.channel_type, message, contact_key=waiting.contact_key
            )
        except GoneError as error:  # only its namespace can be missing where a workflow is begun
            raise Unavailable("Temporal does not know its namespace; try again shortly") from error

    async def run(self) -> None:
        """Hands over what waits, the oldest first, until it is cancelled."""
        while True:
            with suppress(StorageAway):  # it is tried again
                async with self._spool.heard(self._note) as has_ended:
                    while not has_ended():
                        await self._look()
            self._looked.set()  # as far as anybody can
            await asyncio.sleep(PAUSE_SECONDS)

    async def _take(self, waiting: Waiting) -> bool:
        if not self._looked.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(FIRST_LOOK_SECONDS):
                    await self._looked.wait()
        if self._waiting:
            with suppress(StorageAway):  # then Temporal may be back
                await self._spool.add(waiting)
                return False
        try:
            await self.hand_over(waiting)
        except Unavailable as away:
            try:
                await self._spool.add(waiting)
            except StorageAway:
                raise away from None
            self._note()
            return False
        return True

    def _note(self) -> None:
        """Something waits."""
        self._told += 1
        self._waiting = True
        self._news.set()

    async def _look(self) -> None:
        told = self._told
        self._news.clear()
        left = await self._spool.drain(self._hand_all_over)
        SPOOLED.set(left.count)
        if self._told == told:
            self._waiting = left.count > 0
        self._looked.set()
        if left.count and not left.moved:
            await asyncio.sleep(PAUSE_SECONDS)
        elif not left.count:
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_SECONDS):
                    await self._news.wait()

    async def _hand_all_over(self, waiting: Sequence[Waiting]) -> list[str]:
        """The ids of those that were. Each contact's go in their order, and none after one that could not be."""
        by_contact: defaultdict[str, list[Waiting]] = defaultdict(list)
        for each in waiting:
            by_contact[each.contact_key].append(each)
        gone: list[str] = []
        refused = 0
        gate = asyncio.Semaphore(AT_ONCE)

        async def hand_over_in_order(of_one: list[Waiting]) -> None:
            nonlocal refused
            async with gate:
                for each in of_one:
                    is_away = refused >= AWAY_AFTER and not gone
                    if is_away or not await self._hand_one_over(each):
                        refused += 1
                        return
                    gone.append(each.id)

        await asyncio.gather(*(hand_over_in_order(each) for each in by_contact.values()))
        return gone

    async def _hand_one_over(self, waiting: Waiting) -> bool:
        """False while Temporal is away. What it cannot be given for another reason is staff's to see."""
        try:
            await self.hand_over(waiting)
        except Unavailable:
            return False
        except Exception as error:  # it must hold up nobody else
            log_unexpected(error)
            reason = f"No conversation could be given this: {type(error).__name__}"
            await self._quarantine.keep(
                waiting.property_id, ADAPTER, [Unreadable(waiting.model_dump_json().encode(), reason)]
            )
        return True
