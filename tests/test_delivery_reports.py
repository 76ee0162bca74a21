"""What providers report, in whatever order it comes: before the message, after it, again, and of a part of it."""

import itertools
import uuid
from datetime import UTC, datetime

import pytest
from redis.asyncio import Redis

from activities.storage.database import Database
from activities.storage.delivery_reports import DeliveryReports
from activities.storage.log import Log
from activities.storage.log_writer import LiveStream
from activities.storage.publications import Publications
from contracts.conversations import Conversation, ConversationState
from contracts.delivery import DeliveryReport, reference, referred
from contracts.events import Event, Publication
from contracts.messages import Author, Delivery, DeliveryState, Message, OutboundMessage, Route
from tests.support import Stack

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
SENT, DELIVERED, READ, FAILED = DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.READ, DeliveryState.FAILED


@pytest.fixture
def reports(database: Database, redis: Redis) -> DeliveryReports:
    return DeliveryReports(database, LiveStream(redis))


@pytest.fixture
def publication(hotel: str) -> Publication:
    """A conversation whose first message from the hotel has just been sent."""
    contact_key = uuid.uuid4().hex[:26].translate(str.maketrans("0189", "wxyz"))
    conversation_id = f"{contact_key}-{uuid.uuid4().hex[:8]}"
    message = Message(
        id=uuid.uuid4().hex,
        conversation_id=conversation_id,
        seq=1,
        author=Author.AI,
        content="Yes.",
        created_at=NOW,
        delivery=Delivery(state=SENT),
    )
    return Publication(
        conversation=Conversation(
            conversation_id=conversation_id,
            guest_id=f"guest-{contact_key}",
            property_id=hotel,
            state=ConversationState.ACTIVE,
            created_at=NOW,
            channel_type="whatsapp",
            seq=1,
            workflow_id=f"conversation-{contact_key}",
        ),
        contact_key=contact_key,
        route=Route(adapter="whatsapp", channel_id="1", sender_id="351900000000"),
        events=[Event(seq=1, at=NOW, message=message)],
    )


def _report(
    publication: Publication, state: DeliveryState, provider_id: str | None = "1", **more: int
) -> DeliveryReport:
    message = publication.events[0].message
    assert message is not None
    return DeliveryReport.model_validate(
        {
            "conversation_id": message.conversation_id,
            "message_id": message.id,
            "state": state,
            "reason": "why" if state is FAILED else None,
            "provider_id": provider_id,
            "at": NOW,
            **more,
        }
    )


async def _state(stack: Stack, publication: Publication) -> str:
    rows = await stack.rows(
        "SELECT delivery_state FROM messages WHERE conversation_id = :id", id=publication.conversation.conversation_id
    )
    return str(rows[0]["delivery_state"])


ORDERS = [
    *((order, "read") for order in itertools.permutations([SENT, DELIVERED, READ])),
    *((order, "failed") for order in itertools.permutations([SENT, FAILED])),
    *((order, "delivered") for order in itertools.permutations([SENT, FAILED, DELIVERED])),
    ((FAILED, FAILED), "failed"),
]


@pytest.mark.parametrize(
    ("order", "ends"), ORDERS, ids=lambda value: str(value) if isinstance(value, str) else "-".join(value)
)
async def test_reports_move_a_message_upwards_whenever_its_row_appears(
    stack: Stack,
    reports: DeliveryReports,
    publications: Publications,
    publication: Publication,
    order: tuple[DeliveryState, ...],
    ends: str,
) -> None:
    for stored_after in range(len(order) + 1):
        publication.events[0].message.id = uuid.uuid4().hex  # type: ignore[union-attr]
        key = f"{uuid.uuid4().hex[:8]}"
        publication.conversation.conversation_id = f"{publication.contact_key}-{key}"
        publication.events[0].message.conversation_id = publication.conversation.conversation_id  # type: ignore[union-attr]
        for index, state in enumerate(order):
            if index == stored_after:
                await publications.publish(publication)
            await reports.record(stack.hotel, "whatsapp", _report(publication, state))
        if stored_after == len(order):
            await publications.publish(publication)
        assert await _state(stack, publication) == ends, stored_after
        await publications.publish(publication)
        assert await _state(stack, publication) == ends, "published again"


async def test_a_change_is_told_again_under_its_old_seq(
    stack: Stack, database: Database, reports: DeliveryReports, publications: Publications, publication: Publication
) -> None:
    await publications.publish(publication)
    for _ in range(2):
        await reports.record(stack.hotel, "whatsapp", _report(publication, READ))
    entries = await Log(database).read(stack.hotel, after=0, up_to=10, limit=10)
    assert [(each.seq, each.repeats, each.position) for each in entries] == [(1, False, 1), (1, True, 2)]
    assert [each.message.delivery.state for each in entries if each.message is not None] == [READ, READ]


async def test_only_a_failure_that_stands_is_told_to_the_conversation(
    stack: Stack, reports: DeliveryReports, publication: Publication
) -> None:
    assert not await reports.record(stack.hotel, "whatsapp", _report(publication, SENT))
    assert await reports.record(stack.hotel, "whatsapp", _report(publication, FAILED))
    assert await reports.record(stack.hotel, "whatsapp", _report(publication, FAILED)), "a webhook that came again"
    assert not await reports.record(stack.hotel, "whatsapp", _report(publication, DELIVERED))
    assert not await reports.record(stack.hotel, "whatsapp", _report(publication, FAILED))


async def test_a_message_that_failed_and_is_sent_again_is_judged_anew(
    stack: Stack, reports: DeliveryReports, publications: Publications, publication: Publication
) -> None:
    await publications.publish(publication)
    await reports.record(stack.hotel, "whatsapp", _report(publication, FAILED, "first"))
    await reports.record(stack.hotel, "whatsapp", _report(publication, SENT, "second"))
    assert await _state(stack, publication) == "sent"
    await reports.record(stack.hotel, "whatsapp", _report(publication, FAILED, "first"))
    assert await _state(stack, publication) == "sent"
    await reports.record(stack.hotel, "whatsapp", _report(publication, FAILED, "second"))
    assert await _state(stack, publication) == "failed"


async def test_a_message_in_parts_is_as_far_as_its_last_and_failed_by_any(
    stack: Stack, reports: DeliveryReports, publications: Publications, publication: Publication
) -> None:
    await publications.publish(publication)
    await reports.record(stack.hotel, "whatsapp", _report(publication, READ, "1", part=0, decides=0))
    assert await _state(stack, publication) == "sent"
    conversation_id = publication.conversation.conversation_id
    message = publication.events[0].message
    assert message is not None
    assert await reports.parts_that_left(stack.hotel, conversation_id, message.id) == {0}
    await reports.record(stack.hotel, "whatsapp", _report(publication, FAILED, "2", part=1, decides=1))
    assert await _state(stack, publication) == "failed"
    assert await reports.parts_that_left(stack.hotel, conversation_id, message.id) == {0}
    await reports.record(stack.hotel, "whatsapp", _report(publication, DELIVERED, "2", part=1, decides=1))
    assert await _state(stack, publication) == "delivered"


async def test_a_report_by_another_property_changes_nothing(
    stack: Stack, reports: DeliveryReports, publications: Publications, publication: Publication
) -> None:
    await publications.publish(publication)
    await reports.record("another", "whatsapp", _report(publication, READ))
    assert await _state(stack, publication) == "sent"
    await reports.record(stack.hotel, "whatsapp", _report(publication, DELIVERED))
    assert await _state(stack, publication) == "delivered"


def test_a_reference_names_its_message() -> None:
    message = OutboundMessage(
        message_id="a.b/c?d=%20",
        conversation_id=f"{'a2' * 13}-0123abcd",
        recipient_id="1",
        channel_id="1",
        channel_type="sms",
        content="Hi",
    )
    report = referred(reference(message, 1, 3), READ, at=NOW)
    assert report is not None
    assert (report.conversation_id, report.message_id) == (message.conversation_id, message.message_id)
    assert (report.part, report.decides) == (1, False)
    last = referred(reference(message, 2, 3), READ, at=NOW)
    assert last is not None
    assert last.decides
    for other in ("", "somebody else's", reference(message, 1, 3) + "ä", "a.0.1.m", f"{'a' * 26}-00000000.0.1."):
        assert referred(other, READ, at=NOW) is None
