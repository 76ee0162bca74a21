"""Messages that leave in parts, and attempts after a crash: what the provider has is not sent again."""

import uuid
from collections.abc import AsyncIterator

import pytest
from redis.asyncio import Redis

from activities.channels import parts
from activities.channels.twilio_sender import Twilio
from activities.channels.whatsapp_sender import WhatsApp
from activities.storage.database import Database
from activities.storage.delivery_reports import DeliveryReports
from activities.storage.log_writer import LiveStream
from contracts.messages import OutboundMessage
from settings import Settings
from tests.fakes.graph import FakeGraph
from tests.fakes.twilio import NUMBER, FakeTwilio
from tests.whatsapp import number


@pytest.fixture
def reports(database: Database, redis: Redis) -> DeliveryReports:
    return DeliveryReports(database, LiveStream(redis))


@pytest.fixture
async def whatsapp(settings: Settings, graph: FakeGraph, reports: DeliveryReports) -> AsyncIterator[WhatsApp]:
    adapter = WhatsApp(settings, reports)
    yield adapter
    await adapter.close()


@pytest.fixture
async def sms(settings: Settings, twilio: FakeTwilio, reports: DeliveryReports) -> AsyncIterator[Twilio]:
    adapter = Twilio(settings, reports)
    yield adapter
    await adapter.close()


@pytest.fixture
def storage_is_away(settings: Settings, redis: Redis) -> DeliveryReports:
    away = settings.database.model_copy(update={"url": "postgresql://nobody@127.0.0.1:1/nothing"})
    return DeliveryReports(Database(away), LiveStream(redis))


def _message(content: str, recipient: str) -> OutboundMessage:
    return OutboundMessage(
        message_id=uuid.uuid4().hex,
        conversation_id=f"{'a' * 26}-{uuid.uuid4().hex[:8]}",
        recipient_id=recipient,
        channel_id=NUMBER,
        channel_type="sms",
        content=content,
    )


def _again(message: OutboundMessage) -> OutboundMessage:
    """The next attempt, of which the conversation knows that the one before may have left."""
    return message.model_copy(update={"unsure": True})


@pytest.mark.parametrize("content", ["Yes.", " ".join(["word"] * 2000)], ids=["short", "long"])
async def test_after_a_crash_what_was_taken_is_not_sent_again(
    whatsapp: WhatsApp, sms: Twilio, graph: FakeGraph, twilio: FakeTwilio, hotel: str, content: str
) -> None:
    for adapter, recipient in ((whatsapp, number()), (sms, f"+{number()}")):
        message = _message(content, recipient)
        assert (await adapter.send(hotel, message)).result == "sent"
        assert (await adapter.send(hotel, _again(message))).result == "sent"
    for texts, together in ((graph.sent_texts(), " "), (twilio.sent_texts(), " ")):
        assert together.join(texts) == content


async def test_a_part_that_was_refused_is_all_that_is_sent_again(
    whatsapp: WhatsApp, graph: FakeGraph, hotel: str
) -> None:
    message = _message(" ".join(["word"] * 2000), number())
    graph.faults.then(None, "too_many")
    first = await whatsapp.send(hotel, message)
    assert (first.result, first.retry_after, first.unsure) == ("retry", 1.0, True)
    assert (await whatsapp.send(hotel, _again(message))).result == "sent"
    assert " ".join(graph.sent_texts()) == message.content
    references = [each.reference.split(".")[1:3] for each in graph.taken]
    assert references == [[str(part), str(len(references))] for part in range(len(references))]


async def test_without_storage_messages_leave_but_nothing_is_sent_twice(
    settings: Settings,
    storage_is_away: DeliveryReports,
    graph: FakeGraph,
    twilio: FakeTwilio,
    hotel: str,
) -> None:
    whatsapp, sms = WhatsApp(settings, storage_is_away), Twilio(settings, storage_is_away)
    for adapter, recipient in ((whatsapp, number()), (sms, f"+{number()}")):
        message = _message("Yes.", recipient)
        assert (await adapter.send(hotel, message)).result == "sent"
        waits = await adapter.send(hotel, _again(message))
        assert (waits.result, waits.unsure, waits.retry_after) == ("retry", True, parts.RECONCILE_SECONDS)
    assert (len(graph.attempts), len(twilio.attempts)) == (1, 1)
    await whatsapp.close()
    await sms.close()


async def test_where_twilio_cannot_say_nothing_is_sent_again(sms: Twilio, twilio: FakeTwilio, hotel: str) -> None:
    message = _message("Yes.", f"+{number()}")
    twilio.faults.then("dropped_after")
    assert (await sms.send(hotel, message)).unsure
    twilio.list_is_away = True
    assert (await sms.send(hotel, _again(message))).unsure
    twilio.list_is_away = False
    assert (await sms.send(hotel, _again(message))).result == "sent"
    assert twilio.sent_texts() == ["Yes."]


async def test_what_is_not_configured_is_told_at_once(
    settings: Settings, whatsapp: WhatsApp, sms: Twilio, hotel: str
) -> None:
    settings.properties[hotel].channels.whatsapp.access_token = None
    settings.properties[hotel].channels.twilio.account_sid = None
    for adapter in (whatsapp, sms):
        refused = await adapter.send(hotel, _message("Yes.", "+351900000000"))
        assert refused.result == "failed"
        assert "not set" in str(refused.reason)
