"""What channels tell a conversation besides a guest's words: opting out, mail that nobody answers, late failures."""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest

from contracts.commands import DeliveryFailure
from contracts.conversations import ConversationState
from contracts.messages import Author, DeliveryState, GuestMessage, Route
from contracts.problems import OptedOut, WindowClosed
from tests.fakes.callback import FakeCallback
from tests.support import Guest, Stack, command, eventually, reply

pytestmark = pytest.mark.usefixtures("working")


@pytest.fixture
def guest(stack: Stack, callback: FakeCallback) -> Guest:
    return stack.guest(adapter="messages", channel_type="sms")


async def _sends(
    guest: Guest,
    content: str,
    *,
    opts: Literal["in", "out"] | None = None,
    suppressed: str | None = None,
    free_text_until: datetime | None = None,
) -> str:
    now = datetime.now(UTC)
    message = GuestMessage(
        id=uuid.uuid4().hex,
        route=Route(
            adapter=guest.adapter,
            channel_id=guest.stack.hotel,
            sender_id=guest.sender_id,
            context={"thread": content},
            free_text_until=free_text_until,
        ),
        content=content,
        sent_at=now,
        received_at=now,
        opts=opts,
        suppressed=suppressed,
    )
    await guest.stack.conversations.receive(guest.stack.hotel, guest.channel_type, message)
    return message.id


async def _have_left(callback: FakeCallback, count: int) -> None:
    """So many messages left and no more; an answer is decided on a moment before it is sent."""

    async def left() -> bool:
        return len(callback.received) >= count

    await eventually(left, what=f"{count} messages to leave")
    assert len(callback.received) == count


async def test_who_opts_out_gets_nothing_more_and_is_remembered(
    guest: Guest, stack: Stack, callback: FakeCallback
) -> None:
    await guest.ask("When is breakfast?")
    await _have_left(callback, 1)
    stopped = await guest.outcome(await _sends(guest, "STOP", opts="out"))
    assert (stopped.outcome, stopped.reason) == ("suppressed", "The guest opted out of this channel")
    conversation = await guest.conversation()
    with pytest.raises(OptedOut):
        await stack.conversations.reply(reply(conversation, "Please stay"))
    ignored = await guest.outcome(await _sends(guest, "When is lunch?"))
    assert (ignored.outcome, ignored.reason) == ("suppressed", "The guest has opted out of this channel")

    await stack.conversations.resolve(command(conversation))
    await guest.handle.result()
    again = await guest.outcome(await _sends(guest, "Hello?"))
    assert again.outcome == "suppressed"  # another conversation, the same contact
    back = await guest.outcome(await _sends(guest, "START", opts="in"))
    assert back.reason == "The guest opted in to this channel again"
    assert (await guest.ask("When is dinner?")).outcome == "answered"
    await _have_left(callback, 2)


async def test_mail_that_nobody_answers_is_kept_and_shown(guest: Guest, stack: Stack, callback: FakeCallback) -> None:
    outcome = await guest.outcome(await _sends(guest, "I am on holiday", suppressed="automatic mail"))
    assert (outcome.outcome, outcome.reason) == ("suppressed", "automatic mail")
    conversation = await guest.conversation()
    assert (conversation.state, conversation.unread) == (ConversationState.NEW, 0)
    assert [each.content for each in await guest.messages()] == ["I am on holiday"]
    assert (await guest.ask("When is breakfast?")).outcome == "answered"
    await _have_left(callback, 1)


async def test_a_failure_that_is_reported_late_hands_the_conversation_over(
    guest: Guest, stack: Stack, callback: FakeCallback
) -> None:
    await guest.ask("When is breakfast?")
    conversation = await guest.conversation()

    async def sent() -> str | None:
        messages = await guest.messages()
        return next((each.id for each in messages if each.delivery.state is DeliveryState.SENT), None)

    message_id = await eventually(sent, what="the answer to be sent")
    failure = DeliveryFailure(
        conversation_id=conversation.conversation_id, message_id=message_id, reason="the number does not exist"
    )
    for _ in range(2):
        await stack.conversations.delivery_failed(failure)
    conversation = await guest.reaches(lambda each: each.state is ConversationState.ESCALATED, "a person")
    failed = next(each for each in await guest.messages() if each.author is Author.AI)
    assert (failed.delivery.state, failed.delivery.reason) == (DeliveryState.FAILED, "the number does not exist")
    await stack.stored(conversation)
    rows = await stack.rows(
        "SELECT count(*) AS n FROM notifications WHERE property_id = :id AND kind = 'delivery_failed'", id=stack.hotel
    )
    assert rows == [{"n": 1}]
    await stack.conversations.resolve(command(conversation))
    await guest.handle.result()
    await stack.conversations.delivery_failed(failure)  # a conversation that has ended is told nothing


async def test_after_the_window_only_templates_go_out(guest: Guest, stack: Stack, callback: FakeCallback) -> None:
    over = datetime.now(UTC) - timedelta(minutes=1)
    asked = await guest.outcome(await _sends(guest, "When is breakfast?", free_text_until=over))
    assert asked.outcome == "handed"
    conversation = await guest.reaches(lambda each: each.state is ConversationState.ESCALATED, "a person")
    with pytest.raises(WindowClosed):
        await stack.conversations.reply(reply(conversation, "At seven"))
    assert callback.received == {}


async def test_the_way_back_is_kept_with_the_contact(guest: Guest, stack: Stack, callback: FakeCallback) -> None:
    await guest.outcome(await _sends(guest, "When is breakfast?"))
    await stack.stored(await guest.conversation())
    rows = await stack.rows("SELECT route FROM contacts WHERE contact_key = :key", key=guest.contact_key)
    assert rows[0]["route"] == {
        "adapter": "messages",
        "channelId": stack.hotel,
        "senderId": guest.sender_id,
        "context": {"thread": "When is breakfast?"},
        "freeTextUntil": None,
    }


async def test_storage_tells_what_a_guest_prefers(guest: Guest, stack: Stack) -> None:
    await guest.ask("When is breakfast?")
    conversation = await guest.conversation()
    await stack.stored(conversation)
    await stack.rows(
        "UPDATE guests SET autonomy = 'off', preferences = '{\"pillow\": \"soft\"}' WHERE id = :id RETURNING id",
        id=conversation.guest_id,
    )
    await stack.conversations.resolve(command(conversation))
    await guest.handle.result()
    outcome = await guest.ask("When is lunch?")
    assert (outcome.outcome, outcome.reason) == ("handed", "The AI is switched off for this guest")
