"""What time alone does to a conversation, on the time-skipping server: nobody waits for it."""

from datetime import timedelta

from temporalio.testing import WorkflowEnvironment

from contracts.conversations import ConversationState
from contracts.messages import Author, DeliveryState
from tests.fakes.callback import FakeCallback
from tests.support import Stack, command, reply


async def test_an_idle_conversation_closes_once(skipping: tuple[Stack, WorkflowEnvironment]) -> None:
    stack, environment = skipping
    guest = stack.guest()
    await guest.ask("Hello?")
    await environment.sleep(timedelta(hours=20))
    await guest.ask("Still here")
    await environment.sleep(timedelta(hours=23))
    assert (await guest.conversation()).state is ConversationState.ACTIVE
    await environment.sleep(timedelta(hours=2))
    await guest.handle.result()
    rows = await stack.rows("SELECT state FROM conversations WHERE contact_key = :key", key=guest.contact_key)
    assert rows == [{"state": "resolved"}]
    history = await guest.handle.fetch_history()
    timers = [event for event in history.events if event.HasField("timer_started_event_attributes")]
    assert len(timers) == 2  # it slept once, looked again, and slept the rest


async def test_an_escalated_conversation_is_quiet_between_its_timers(
    skipping: tuple[Stack, WorkflowEnvironment],
) -> None:
    stack, environment = skipping
    guest = stack.guest()
    await guest.ask("I want to talk to a person")
    await environment.sleep(timedelta(hours=1))  # the promise is broken by now, and all is told
    conversation = await guest.conversation()
    assert (conversation.state, conversation.priority) == (ConversationState.ESCALATED, "high")
    before = len((await guest.handle.fetch_history()).events)
    await environment.sleep(timedelta(days=29))
    assert (await guest.conversation()).state is ConversationState.ESCALATED
    assert len((await guest.handle.fetch_history()).events) == before
    await environment.sleep(timedelta(days=2))
    await guest.handle.result()  # the second, longer limit
    rows = await stack.rows(
        "SELECT kind, audience, count(*) AS n FROM notifications WHERE property_id = :id GROUP BY 1, 2 ORDER BY 1, 2",
        id=stack.hotel,
    )
    assert rows == [
        {"kind": "escalation", "audience": "everyone", "n": 1},
        {"kind": "sla", "audience": "everyone", "n": 1},
        {"kind": "sla", "audience": "managers", "n": 1},
        {"kind": "system", "audience": "managers", "n": 1},
    ]


async def test_a_resolved_conversation_stays_open_for_its_window(
    skipping: tuple[Stack, WorkflowEnvironment],
) -> None:
    stack, environment = skipping
    stack.settings.conversation.resolved_window = 3_600_000
    guest = stack.guest()
    await guest.ask("Hello?")
    conversation = await guest.conversation()
    await stack.conversations.resolve(command(conversation))
    await environment.sleep(timedelta(minutes=50))
    assert (await guest.ask("One more thing")).outcome == "answered"
    again = await guest.conversation()
    assert (again.conversation_id, again.state) == (conversation.conversation_id, ConversationState.ACTIVE)
    await stack.conversations.resolve(command(again))
    await environment.sleep(timedelta(minutes=61))
    await guest.handle.result()


async def test_a_channel_that_never_heals_is_given_up_after_a_quarter_of_an_hour(
    skipping: tuple[Stack, WorkflowEnvironment], callback: FakeCallback
) -> None:
    stack, environment = skipping
    callback.status = lambda message: 503
    guest = stack.guest(adapter="messages", channel_type="sms")
    asked = await guest.write("When is breakfast?")
    await guest.outcome(asked)
    await environment.sleep(timedelta(minutes=20))
    conversation = await guest.reaches(lambda each: each.state is ConversationState.ESCALATED, "a person")
    outcome = (await guest.outcomes())[asked]
    assert outcome.outcome == "handed"
    assert "given up" in outcome.reason
    message = next(each for each in await guest.messages() if each.author is Author.AI)
    assert message.delivery.state is DeliveryState.FAILED
    assert 15 <= len(callback.attempts) <= 30
    await stack.stored(conversation)
    rows = await stack.rows(
        "SELECT count(*) AS n FROM notifications WHERE property_id = :id AND kind = 'delivery_failed'", id=stack.hotel
    )
    assert rows == [{"n": 2}]  # once after the first few tries, once when it was given up


async def test_idle_time_counts_from_the_return_to_the_ai(skipping: tuple[Stack, WorkflowEnvironment]) -> None:
    stack, environment = skipping
    guest = stack.guest()
    await guest.ask("I want to talk to a person")
    conversation = await guest.conversation()
    await stack.conversations.reply(reply(conversation, "Ana here."))
    await environment.sleep(timedelta(hours=30))
    await stack.conversations.return_to_ai(command(conversation))
    await environment.sleep(timedelta(hours=23))
    assert (await guest.conversation()).state is ConversationState.ACTIVE
    await environment.sleep(timedelta(hours=2))
    await guest.handle.result()


async def test_a_conversation_that_owes_a_reply_is_not_idle(
    skipping: tuple[Stack, WorkflowEnvironment], callback: FakeCallback
) -> None:
    stack, environment = skipping
    stack.settings.conversation.idle_timeout = 60_000
    callback.status = lambda message: 503
    guest = stack.guest(adapter="messages", channel_type="sms")
    asked = await guest.ask("When is breakfast?")
    await environment.sleep(timedelta(minutes=5))
    assert (await guest.conversation()).state is ConversationState.ACTIVE
    callback.status = lambda message: 200
    await environment.sleep(timedelta(minutes=3))
    await guest.handle.result()
    assert asked.reply_id in callback.received
