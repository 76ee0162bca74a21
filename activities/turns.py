"""The activities of conversations: look up a contact, ask the AI, summarise, deliver and publish.

Each is idempotent by conversation and message id. Adapters are only imported for type checking, so that workflows can
import the signatures.
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TypeVar

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.ai.port import EngineError
from activities.channels.port import ShowsTyping
from contracts.ai import AIResponse
from contracts.conversations import Conversation
from contracts.events import (
    Answer,
    Ask,
    ContactFacts,
    ContactLookup,
    DeliverAndPublish,
    DeliverAndPublishResult,
    MessageDelivery,
    Publication,
    Published,
    Send,
    SendResult,
    Summarise,
)
from contracts.guests import GuestContact, Stay, is_vip
from contracts.messages import Delivery, DeliveryState, OutboundMessage
from contracts.metrics import MESSAGES_OUTBOUND, MESSAGES_ROUTED, ROUTING_LATENCY
from contracts.problems import StorageAway
from contracts.unexpected import describe, kinds_of

if TYPE_CHECKING:
    from activities.ai.port import Engine
    from activities.channels.port import Channel, Channels
    from activities.hotel.guest_stays import GuestStays
    from activities.storage.contacts import Contacts
    from activities.storage.publications import Publications

HEARTBEAT_SECONDS = 2
HEAD_START_SECONDS = 0.05
"""An engine that answers within this time gets no separate publish: guest message and answer go out together."""
PATIENCE_SECONDS = 0.25
"""How long a publish waits for a send, so that both usually share one write. A slower channel must not delay what staff
see."""

logger = logging.getLogger(__name__)

T = TypeVar("T")


class Turns:
    def __init__(
        self,
        engine: "Engine",
        channels: "Channels",
        publications: "Publications",
        contacts: "Contacts",
        stays: "GuestStays | None" = None,
    ) -> None:
        self._engine = engine
        self._channels = channels
        self._publications = publications
        self._contacts = contacts
        self._stays = stays
        self._showing: set[asyncio.Task[None]] = set()

    @activity.defn
    async def look_up(self, lookup: ContactLookup) -> ContactFacts | None:
        """What storage knows of the contact; None while it is away. Only reads."""
        try:
            return await self._contacts.facts(lookup)
        except StorageAway:
            return None

    @activity.defn
    async def answer(self, ask: Ask) -> Answer:
        """Asks the engine. A given publication goes out meanwhile, so that staff see the guest's message at once."""
        context = ask.request.context
        labels = (context.channel_type, context.property_id)
        async with _heartbeats():
            asking = asyncio.create_task(self._ask(ask))
            try:
                quick, _ = await asyncio.wait([asking], timeout=HEAD_START_SECONDS)
                if not quick:
                    self._show_typing(ask)
                published = None if quick else await self._publish(ask.publication)
                response, vip = await asking
            except EngineError as error:
                MESSAGES_ROUTED.labels(*labels, "failed").inc()
                raise ApplicationError(str(error), type="engine", non_retryable=not error.retryable) from error
            finally:
                asking.cancel()
        MESSAGES_ROUTED.labels(*labels, "answered").inc()
        return Answer(response=response, published=published, vip=vip)

    async def _ask(self, ask: Ask) -> tuple[AIResponse, bool | None]:
        """The engine's answer, and whether the hotel's system calls the guest a VIP (None if it does not say)."""
        request, stays = ask.request, await self._stays_of(ask)
        if stays is not None:
            profile = request.guest_profile.model_copy(update={"stays": stays})
            request = request.model_copy(update={"guest_profile": profile})
        return await self._engine.answer(request, turn_id=ask.turn_id), None if stays is None else is_vip(stays)

    async def _stays_of(self, ask: Ask) -> list[Stay] | None:
        if self._stays is None:
            return None
        contact, context = None, ask.request.context
        if ask.publication is not None:
            sender_id = ask.publication.route.sender_id
            contact = GuestContact(
                property_id=context.property_id, channel_type=context.channel_type, sender_id=sender_id
            )
        return await self._stays.of(ask.request.guest_profile.id, contact)

    def _show_typing(self, ask: Ask) -> None:
        """Shows the guest a typing indicator, concurrently and ignoring errors."""
        if ask.publication is None:
            return
        route = ask.publication.route
        channel = self._channels.get(route.adapter)
        if isinstance(channel, ShowsTyping):
            showing = channel.begin_answer(ask.request.context.property_id, route.channel_id, ask.request.message.id)
            task = asyncio.create_task(showing)
            self._showing.add(task)
            task.add_done_callback(self._showing.discard)

    @activity.defn
    async def summarise(self, asked: Summarise) -> str | None:
        """The engine's summary of an escalated or resolved conversation; None if it makes none."""
        async with _heartbeats():
            try:
                return await self._engine.summarise(asked.conversation, asked.messages)
            except EngineError as error:
                raise ApplicationError(str(error), type="engine", non_retryable=not error.retryable) from error

    @activity.defn
    async def deliver_and_publish(self, batch: DeliverAndPublish) -> DeliverAndPublishResult:
        """Hands messages to their channel, one attempt each, and publishes the batch with the results.

        Once started it runs to its end: a cancellation must not interrupt a send.
        """
        async with _heartbeats():
            return await _to_the_end(self._deliver_and_publish(batch))

    async def _deliver_and_publish(self, batch: DeliverAndPublish) -> DeliverAndPublishResult:
        sending = [asyncio.create_task(self._send(batch.publication, send)) for send in batch.sends]
        if sending:
            await asyncio.wait(sending, timeout=PATIENCE_SECONDS)
        in_time = [task.result() for task in sending if task.done()]
        _note_results(batch.publication, in_time)
        published, fresh = await self._publications.publish(batch.publication)
        results = [await task for task in sending]
        events = batch.publication.events
        in_batch = {event.message.id for event in events if event.message is not None and event.seq in fresh}
        for result in results:
            result.noted = published.stored and result in in_time and result.message_id in in_batch
            if published.stored and not result.noted:
                result.noted = await self._note_late(batch.publication.conversation, result)
        return DeliverAndPublishResult(published=published, sends=results)

    async def _send(self, publication: Publication, send: Send) -> SendResult:
        conversation = publication.conversation
        channel = self._channels.get(send.adapter)
        if channel is None:
            reason = f"there is no channel adapter {send.adapter}"
            result = SendResult(message_id=send.message.message_id, result="failed", reason=reason)
        elif await self._has_opted_out(publication):
            reason = "the guest has opted out of this channel"
            result = SendResult(message_id=send.message.message_id, result="failed", reason=reason, opted_out=True)
        else:
            result = await _attempt(channel, conversation.property_id, send.message)
        labels = (conversation.channel_type, conversation.property_id)
        MESSAGES_OUTBOUND.labels(*labels, result.result).inc()
        if result.result == "sent" and send.received_at is not None:
            ROUTING_LATENCY.labels(*labels).observe((datetime.now(UTC) - send.received_at).total_seconds())
        return result

    async def _has_opted_out(self, publication: Publication) -> bool:
        """Whether the guest opted out, if the conversation could not look it up. While storage is away, assumes not."""
        if publication.opted_out is not None:
            return False
        try:
            return await self._contacts.has_opted_out(publication.contact_key)
        except StorageAway:
            return False

    async def _note_late(self, conversation: Conversation, result: SendResult) -> bool:
        """Stores the delivery state of a message that was published before its send had finished."""
        state = _state_after(result)
        if state is None:
            return False
        moved = MessageDelivery(message_id=result.message_id, delivery=Delivery(state=state, reason=result.reason))
        try:
            await self._publications.move_delivery(conversation, moved)
        except StorageAway:
            return False
        return True

    async def _publish(self, publication: Publication | None) -> Published | None:
        if publication is None:
            return None
        published, _ = await self._publications.publish(publication)
        return published


async def _attempt(channel: "Channel", property_id: str, message: OutboundMessage) -> SendResult:
    """One send. A bug in the adapter must not stop the publish; the message then counts as possibly sent."""
    try:
        return await channel.send(property_id, message)
    except Exception as error:
        logger.error("sending a message failed: unexpected %s", describe(error))  # noqa: TRY400 - its text may quote a guest
        reason = f"the channel adapter failed ({kinds_of(error)})"
        return SendResult(message_id=message.message_id, result="retry", reason=reason, unsure=True)


def _note_results(publication: Publication, results: list[SendResult]) -> None:
    """Puts the delivery states into the batch."""
    states = {result.message_id: (_state_after(result), result.reason) for result in results}
    for event in publication.events:
        if event.message is None:
            continue
        state, reason = states.get(event.message.id, (None, None))
        if state is not None:
            event.message.delivery = Delivery(state=state, reason=reason)


def _state_after(result: SendResult) -> DeliveryState | None:
    """The new state; None, which is to stay queued, if the message may be retried."""
    return {"sent": DeliveryState.SENT, "failed": DeliveryState.FAILED}.get(result.result)


async def _to_the_end(work: Coroutine[None, None, T]) -> T:
    """Runs work to completion even if this activity is cancelled."""
    task = asyncio.ensure_future(work)
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            if task.cancelled():
                raise
    return task.result()


@asynccontextmanager
async def _heartbeats() -> AsyncIterator[None]:
    """Sends heartbeats, so that a killed process is noticed within seconds and not at the timeout."""

    async def beat() -> None:
        while True:
            await asyncio.sleep(HEARTBEAT_SECONDS)
            activity.heartbeat()

    beating = asyncio.create_task(beat())
    try:
        yield
    finally:
        beating.cancel()
