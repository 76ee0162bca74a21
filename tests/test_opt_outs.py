"""That a guest wants no messages is kept, whatever a conversation gets to know."""

import uuid
from typing import Literal

import pytest

from activities.storage.contacts import Contacts
from activities.storage.database import Database
from activities.storage.publications import Publications
from contracts.commands import DeliveryFailure
from contracts.conversations import ConversationState
from contracts.events import ContactFacts, ContactLookup
from contracts.messages import Delivery, DeliveryState
from contracts.problems import OptedOut, StorageAway
from contracts.rules import ConversationPolicy
from tests.api import Api, problem
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.fakes.twilio import FakeTwilio
from tests.records import NOW, a_message, a_route, answered, happened
from tests.sms import guest, number, report, sms, write
from tests.support import Stack, command, eventually, guest_message, reply
from tests.whatsapp import delivered, reply_of, settled
from workflows import editions, transitions
from workflows.owed import Wait
from workflows.record import Record


@pytest.fixture
def key() -> str:
    return uuid.uuid4().hex[:26]


def _begun(hotel: str, key: str, number: int) -> Record:
    return Record.begin(f"{key}-0000000{number}", hotel, "sms", key, a_route("sms"), ConversationPolicy(), NOW)


async def _told(publications: Publications, record: Record, content: str) -> None:
    said: dict[str, Literal["in", "out"]] = {"STOP": "out", "START": "in"}
    message = a_message(f"{record.conversation.conversation_id}-{content}", content, opts=said.get(content))
    transitions.receive(record, message, NOW)
    await publications.publish(record.publication())


async def test_a_conversation_that_could_not_look_it_up_forgets_no_opt_out(
    publications: Publications, database: Database, hotel: str, key: str
) -> None:
    first, second = _begun(hotel, key, 1), _begun(hotel, key, 2)
    first.looked_up = True
    await _told(publications, first, "STOP")
    transitions.looked_up(second, None, NOW)
    await _told(publications, second, "Hello")
    assert (await Contacts(database).find(key)).opted_out  # type: ignore[union-attr]
    await _told(publications, second, "START")
    assert not (await Contacts(database).find(key)).opted_out  # type: ignore[union-attr]


async def test_what_storage_knew_may_change(
    publications: Publications, database: Database, hotel: str, key: str
) -> None:
    record = _begun(hotel, key, 1)
    transitions.looked_up(record, ContactFacts(opted_out=False), NOW)
    await _told(publications, record, "Hello")
    assert not (await Contacts(database).find(key)).opted_out  # type: ignore[union-attr]
    await _told(publications, record, "STOP")
    assert (await Contacts(database).find(key)).opted_out  # type: ignore[union-attr]


async def test_who_opted_out_is_written_to_by_no_path_that_could_not_look_it_up(
    stack: Stack, working: None, ai: FakeAI, callback: FakeCallback, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = stack.guest(adapter="messages", channel_type="sms")
    stop = guest_message(writer.sender_id, "STOP", adapter="messages", channel_id=stack.hotel)
    await stack.conversations.receive(stack.hotel, "sms", stop.model_copy(update={"opts": "out"}))
    await writer.outcome(stop.id)
    await stack.conversations.resolve(command(await writer.conversation()))
    await writer.handle.result()

    async def away(contacts: Contacts, lookup: ContactLookup) -> ContactFacts:
        raise StorageAway("PostgreSQL is away")

    monkeypatch.setattr(Contacts, "facts", away)
    asked = await writer.write("When is breakfast?")

    async def handed() -> bool:
        return (await writer.outcome(asked)).outcome == "handed"

    await eventually(handed, what="the question to be a person's, for its answer must not leave")
    assert callback.attempts == []
    conversation = await writer.conversation()
    assert conversation.state is ConversationState.ESCALATED
    with pytest.raises(OptedOut):
        await stack.conversations.reply(reply(conversation, "Ana here."))


@pytest.mark.parametrize("ended", [False, True], ids=["an open conversation", "one that has ended"])
async def test_a_network_that_tells_late_of_an_opt_out_is_heeded(
    stack: Stack, working: None, api: Api, ai: FakeAI, twilio: FakeTwilio, hotel: str, ended: bool
) -> None:
    agent, sender = await api.person(hotel), number()
    await write(api, hotel, sms(sender, "When is breakfast?"))
    writer = guest(stack, sender)
    message = await reply_of(writer)
    await settled(writer, message)
    conversation = await writer.conversation()
    if ended:
        await stack.conversations.resolve(command(conversation))
        await writer.handle.result()
    [taken] = [each for each in twilio.taken if each.form["To"] == [sender]]
    assert (await report(api, taken, "undelivered", ErrorCode="21610")).status_code == 200
    await delivered(stack, message, "failed")
    if not ended:
        await writer.reaches(lambda each: each.state is ConversationState.ESCALATED, "staff to be asked")
        path = f"/api/v1/conversations/{conversation.conversation_id}/messages"
        refused = await agent.http.post(path, json={"content": "Hello?"})
        assert problem(refused) == (409, "opted_out")
        await stack.conversations.resolve(command(conversation))
        await writer.handle.result()
    opening = {"propertyId": hotel, "channelType": "sms", "recipientId": sender, "content": "Welcome!"}
    assert problem(await agent.http.post("/api/v1/conversations", json=opening)) == (409, "opted_out")


async def test_other_late_failures_opt_nobody_out(
    stack: Stack, working: None, api: Api, ai: FakeAI, twilio: FakeTwilio, hotel: str
) -> None:
    sender = number()
    await write(api, hotel, sms(sender, "When is breakfast?"))
    message = await reply_of(guest(stack, sender))
    await delivered(stack, message, "sent")
    [taken] = [each for each in twilio.taken if each.form["To"] == [sender]]
    await report(api, taken, "undelivered", ErrorCode="30003")
    await delivered(stack, message, "failed")
    rows = await stack.rows("SELECT opted_out FROM contacts WHERE sender_id = :sender", sender=sender)
    assert rows == [{"opted_out": False}]


LOST = DeliveryFailure(conversation_id="", message_id="r-1", reason="Twilio error 21610", opted_out=True)


@pytest.mark.parametrize("of", ["this conversation", "an earlier one"])
@pytest.mark.parametrize("edition", [0, editions.SECOND, editions.NEWEST])
def test_a_late_report_of_an_opt_out_holds_for_the_contact(of: str, edition: int) -> None:
    record, _ = answered("twilio")
    record.policy.edition = edition
    record.sends = []
    record.set_delivery("r-1", Delivery(state=DeliveryState.SENT))
    record.wait = Wait(since=NOW, first=True)
    own = of == "this conversation"
    failure = LOST.model_copy(
        update={
            "conversation_id": record.conversation.conversation_id if own else f"{record.contact_key}-99999999",
            "message_id": "r-1" if own else "r-9",
        }
    )
    record.outbox = []
    for _ in range(2):
        transitions.delivery_failed(record, failure, NOW)
    assert record.opted_out
    assert happened(record) == ["opted_out", *(["delivery_failed", "escalated", "escalation"] if own else [])]
    assert (record.wait is None) == (edition >= editions.SECOND)


def test_a_repeated_report_does_not_opt_a_guest_out_who_came_back() -> None:
    record, _ = answered("twilio")
    failure = LOST.model_copy(update={"conversation_id": record.conversation.conversation_id})
    transitions.delivery_failed(record, failure, NOW)
    transitions.receive(record, a_message("g-2", "START", opts="in"), NOW)
    transitions.delivery_failed(record, failure, NOW)
    assert not record.opted_out
