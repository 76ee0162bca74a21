"""That a guest wants no messages is kept, whatever a conversation gets to know."""

import uuid
from typing import Literal

import pytest

from activities.storage.contacts import Contacts
from activities.storage.database import Database
from activities.storage.publications import Publications
from contracts.conversations import ConversationState
from contracts.events import ContactFacts, ContactLookup
from contracts.problems import OptedOut, StorageAway
from contracts.rules import ConversationPolicy
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.records import NOW, a_message, a_route
from tests.support import Stack, command, eventually, guest_message, reply
from workflows import transitions
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
    guest = stack.guest(adapter="messages", channel_type="sms")
    stop = guest_message(guest.sender_id, "STOP", adapter="messages", channel_id=stack.hotel)
    await stack.conversations.receive(stack.hotel, "sms", stop.model_copy(update={"opts": "out"}))
    await guest.outcome(stop.id)
    await stack.conversations.resolve(command(await guest.conversation()))
    await guest.handle.result()

    async def away(contacts: Contacts, lookup: ContactLookup) -> ContactFacts:
        raise StorageAway("PostgreSQL is away")

    monkeypatch.setattr(Contacts, "facts", away)
    asked = await guest.write("When is breakfast?")

    async def handed() -> bool:
        return (await guest.outcome(asked)).outcome == "handed"

    await eventually(handed, what="the question to be a person's, for its answer must not leave")
    assert callback.attempts == []
    conversation = await guest.conversation()
    assert conversation.state is ConversationState.ESCALATED
    with pytest.raises(OptedOut):
        await stack.conversations.reply(reply(conversation, "Ana here."))
