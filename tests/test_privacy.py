"""No guest text, name, number or address stands in Temporal in the clear."""

from temporalio.api.enums.v1 import EventType

from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.support import Stack, command, reply, workers

WORDS = ("Zanzibarmoon", "quetzalcoatl", "+15550001234", "Ottoline")


async def test_an_exported_history_holds_none_of_the_guests_words(
    stack: Stack, ai: FakeAI, callback: FakeCallback
) -> None:
    guest = stack.guest(adapter="messages", channel_type="sms", sender_id="+15550001234")
    async with workers(stack.settings, stack.client):
        await guest.ask("I am Ottoline and I lost my Zanzibarmoon, when is breakfast?")
        ai.status = 400  # an engine that refuses: its failure is in the history too
        await guest.ask("The quetzalcoatl of Ottoline")
        ai.status = 200
        ai.respond = ai.doubtful
        await guest.ask("Is the Zanzibarmoon found?")
        conversation = await guest.conversation()
        await stack.conversations.reply(reply(conversation, "Dear Ottoline, the Zanzibarmoon is here"))
        await stack.conversations.resolve(command(conversation, reason="Ottoline has it"))
        await guest.handle.result()
    history = await guest.handle.fetch_history()
    exported = history.to_json().encode()
    raw = b"".join(event.SerializeToString() for event in history.events)
    clear = (exported + raw).decode("latin-1")
    assert len(history.events) > 20
    for word in WORDS:
        assert word not in clear
    for summary in ("Deliver and publish", "Answer"):
        assert summary in clear
    described = await guest.handle.describe()
    attributes = str(described.typed_search_attributes) + described.id
    assert not [word for word in WORDS if word in attributes]
    assert EventType.EVENT_TYPE_ACTIVITY_TASK_FAILED in {event.event_type for event in history.events}
