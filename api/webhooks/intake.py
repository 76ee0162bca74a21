"""Taking in the messages and reports of a webhook, all of which are durable before it is acknowledged."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from api.state import State
from contracts.commands import DeliveryFailure
from contracts.delivery import DeliveryReport
from contracts.messages import ChannelType, GuestMessage
from contracts.metrics import MESSAGES_INBOUND
from contracts.names import contact_key_of
from contracts.quarantine import Unreadable

AT_ONCE: Final = 16
"""How many senders' messages, or reports, of one webhook are handled concurrently."""


@dataclass(frozen=True, slots=True)
class Arrived:
    property_id: str
    channel_type: ChannelType
    message: GuestMessage


@dataclass(frozen=True, slots=True)
class ArrivedReport:
    """A provider's delivery report on a message of a property."""

    property_id: str
    channel_type: ChannelType
    report: DeliveryReport


async def take_in(state: State, messages: Iterable[Arrived] = (), reports: Iterable[ArrivedReport] = ()) -> None:
    """Brings messages to their conversations, in order for each sender, and stores reports.

    Everything is tried before the first error is raised, so that a repeated webhook finds the rest done.
    """
    by_sender: defaultdict[tuple[str, str], list[Arrived]] = defaultdict(list)
    for each in messages:
        by_sender[each.property_id, each.message.route.sender_id].append(each)
    await _all([_in_order(state, each) for each in by_sender.values()])
    await _all([_keep(state, arrived) for arrived in reports])


async def quarantine(state: State, property_id: str, adapter: str, items: Sequence[Unreadable]) -> None:
    await state.quarantine.keep(property_id, adapter, items)
    if items:
        MESSAGES_INBOUND.labels(adapter, property_id, "quarantined").inc(len(items))


async def _in_order(state: State, messages: list[Arrived]) -> None:
    for each in messages:
        await state.reception.receive(each.property_id, each.channel_type, each.message)
        MESSAGES_INBOUND.labels(each.channel_type, each.property_id, "accepted").inc()


async def _keep(state: State, arrived: ArrivedReport) -> None:
    """Stores a report. A failure also goes to the conversation, again each time the webhook is repeated."""
    report = arrived.report
    if not await state.reports.record(arrived.property_id, arrived.channel_type, report):
        return
    if report.opted_out:  # the conversation may have ended
        await state.contacts.opt_out(contact_key_of(report.conversation_id))
    failure = DeliveryFailure(
        conversation_id=report.conversation_id,
        message_id=report.message_id,
        reason=report.reason or "the provider did not say why",
        opted_out=report.opted_out,
    )
    await state.reception.delivery_failed(arrived.property_id, failure)


async def _all(work: Sequence[Awaitable[None]]) -> None:
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(awaitable: Awaitable[None]) -> None:
        async with gate:
            await awaitable

    results = await asyncio.gather(*(one(each) for each in work), return_exceptions=True)
    for error in results:
        if error is not None:
            raise error
