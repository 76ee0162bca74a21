"""What nobody foresaw ends no conversation: its guest is answered all the same."""

import asyncio
from datetime import UTC, datetime

import pytest
from pydantic import field_validator
from temporalio.client import WorkflowExecutionStatus
from temporalio.exceptions import ApplicationError
from temporalio.worker import Replayer

import workflows.conversation
from activities.channels.messages_sender import MessagesCallback
from activities.storage.contacts import Contacts
from contracts.events import ContactFacts, ContactLookup, SendResult
from contracts.messages import GuestMessage, OutboundMessage, Route
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.support import Guest, Stack, eventually
from workflows.conversation import ConversationWorkflow
from workflows.sandbox import Sandbox
from workflows.turn import TurnTaker

pytestmark = pytest.mark.usefixtures("working")


@pytest.mark.usefixtures("held_to_the_rules")
async def test_a_look_up_that_breaks_is_as_good_as_none(
    stack: Stack, guest: Guest, ai: FakeAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    async def breaks(contacts: Contacts, lookup: ContactLookup) -> ContactFacts:
        asked.append(lookup.contact_key)
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(Contacts, "facts", breaks)
    assert (await guest.ask("Hello?")).outcome == "answered"
    assert asked == [guest.contact_key]


@pytest.mark.usefixtures("held_to_the_rules")
async def test_a_look_up_that_takes_too_long_is_as_good_as_none_in_a_replay_too(
    stack: Stack, guest: Guest, ai: FakeAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where it was too slow the SDK raises an ActivityError, and in a replay of that what was its cause."""

    async def stalls(contacts: Contacts, lookup: ContactLookup) -> ContactFacts:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(Contacts, "facts", stalls)
    assert (await guest.ask("Hello?")).outcome == "answered"
    replayer = Replayer(
        workflows=[ConversationWorkflow], workflow_runner=Sandbox(), data_converter=stack.client.data_converter
    )
    await replayer.replay_workflow(await guest.handle.fetch_history())


@pytest.mark.usefixtures("held_to_the_rules")
async def test_a_send_that_breaks_holds_back_no_publishing_and_is_tried_again(
    stack: Stack,
    ai: FakeAI,
    callback: FakeCallback,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    send = MessagesCallback.send
    works = asyncio.Event()
    broken: list[OutboundMessage] = []

    async def breaks(channel: MessagesCallback, property_id: str, message: OutboundMessage) -> SendResult:
        if works.is_set():
            return await send(channel, property_id, message)
        broken.append(message)
        raise AttributeError(message.content)

    monkeypatch.setattr(MessagesCallback, "send", breaks)
    guest = stack.guest(adapter="messages", channel_type="sms")
    written = await guest.write("When is breakfast?")

    async def published() -> bool:
        query = "SELECT 1 FROM messages WHERE conversation_id = :id AND messages.id = :message"
        id = (await guest.conversation()).conversation_id
        return bool(broken and await stack.rows(query, id=id, message=broken[0].message_id))

    await eventually(published, what="the answer in storage, though it could not be sent")
    works.set()
    assert (await guest.outcome(written)).outcome == "answered"

    async def arrived() -> bool:
        return list(callback.received) == [broken[0].message_id]

    await eventually(arrived, what="the answer at the callback")
    assert "sending a message failed: unexpected AttributeError at " in caplog.text
    assert broken[0].content not in caplog.text


@pytest.mark.usefixtures("held_to_the_rules")
async def test_an_error_of_temporals_that_escapes_a_step_fails_the_task_only(
    stack: Stack, guest: Guest, ai: FakeAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    take = TurnTaker.take
    broken: list[bool] = []

    async def breaks_once(turns: TurnTaker) -> None:
        if not broken:
            broken.append(True)
            raise ApplicationError("unforeseen")
        await take(turns)

    monkeypatch.setattr(TurnTaker, "take", breaks_once)
    assert (await guest.ask("Hello?")).outcome == "answered"
    described = await guest.handle.describe()
    assert (described.status, broken) == (WorkflowExecutionStatus.RUNNING, [True])


async def test_a_message_that_this_release_cannot_read_waits_for_one_that_can(
    stack: Stack, guest: Guest, ai: FakeAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An api is newer than its workers for a while; the SDK would drop what it cannot read."""
    await guest.ask("Hello?")
    now = datetime.now(UTC)
    route = Route(adapter=guest.adapter, channel_id=stack.hotel, sender_id=guest.sender_id)
    message = GuestMessage(id="newer", route=route, content="Hello again?", sent_at=now, received_at=now)
    await guest.handle.signal("receive", {**message.model_dump(mode="json"), "opts": "for a while"})

    async def fails() -> bool:
        history = await guest.handle.fetch_history()
        return any(event.HasField("workflow_task_failed_event_attributes") for event in history.events)

    await eventually(fails, what="a workflow task that fails")
    monkeypatch.setattr(workflows.conversation, "GuestMessage", NewerMessage)
    assert (await guest.outcome("newer")).outcome == "answered"


class NewerMessage(GuestMessage):
    """As a later release may have it."""

    @field_validator("opts", mode="before")
    @classmethod
    def _more(cls, value: object) -> object:
        return value if value in ("in", "out") else None
