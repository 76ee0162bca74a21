"""What leaves a conversation: messages to a channel, and events to storage."""

from datetime import datetime, timedelta

import pytest

from contracts.conversations import ConversationState, Outcome
from contracts.events import Publication, SendResult
from contracts.messages import Author, Delivery, DeliveryState, Message
from contracts.names import BATCH_BYTES
from contracts.rules import ConversationPolicy
from tests.driven import copied
from tests.records import (
    ANA,
    NOW,
    a_command,
    a_message,
    a_record,
    a_reply,
    a_result,
    answered,
    arrived,
    happened,
    outcomes,
)
from workflows import transitions
from workflows.owed import PendingSend
from workflows.record import Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
QUEUED, SENT, FAILED, UNKNOWN = (
    DeliveryState.QUEUED,
    DeliveryState.SENT,
    DeliveryState.FAILED,
    DeliveryState.UNKNOWN,
)
LATER = NOW + timedelta(minutes=1)
RULES = ConversationPolicy()


def _delivery(record: Record, message_id: str) -> Delivery:
    message = record.message(message_id)
    assert message is not None
    return message.delivery


def _store(record: Record) -> Publication:
    publication = record.publication()
    record.stored(publication)
    return publication


# --- sending -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "held_until", "due"),
    [
        pytest.param(transitions.WEBCHAT, [None, None, None], 3, id="web chat takes all"),
        pytest.param("messages", [None, None, None], 1, id="a channel takes one"),
        pytest.param("messages", [NOW, None, None], 1, id="exactly when it may go again"),
        pytest.param("messages", [LATER, None, None], 0, id="one that waits holds back the rest"),
        pytest.param(transitions.WEBCHAT, [LATER, None, None], 0, id="on web chat too"),
        pytest.param(transitions.WEBCHAT, [None, LATER, None], 1, id="those before it go"),
    ],
)
def test_due_sends(adapter: str, held_until: list[datetime | None], due: int) -> None:
    record = a_record(ESCALATED, adapter=adapter)
    for number, until in enumerate(held_until):
        transitions.reply(record, a_reply(f"s-{number}"), NOW)
        record.sends[-1].not_before = until
    assert transitions.due_sends(record, NOW) == record.sends[:due]


def test_an_attempt_says_where_to_and_for_what() -> None:
    record, pending = answered("messages")
    first, second = (transitions.attempt(record, pending, at) for at in (NOW, LATER))
    assert (first.attempt, second.attempt, pending.first_attempt_at) == (1, 2, NOW)
    assert first.message == second.message
    assert (first.message.recipient_id, first.message.channel_id) == ("visitor", "desk")
    assert (first.message.message_id, first.message.in_reply_to) == ("r-1", ["g-1"])


REFUSED = Delivery(state=FAILED, reason="opted out")
TAKEN_OVER = "A person took over before it could be sent"


@pytest.mark.parametrize(
    ("state", "result", "delivery", "outcome", "still_waits", "state_after"),
    [
        pytest.param(ACTIVE, a_result("r-1"), Delivery(state=SENT), "answered", False, ACTIVE, id="sent"),
        pytest.param(
            ESCALATED, a_result("r-1"), Delivery(state=SENT), "answered", False, ESCALATED, id="sent, taken over since"
        ),
        pytest.param(
            ACTIVE, a_result("r-1", "retry"), Delivery(state=QUEUED), "answered", True, ACTIVE, id="tried again"
        ),
        pytest.param(
            RESOLVED,
            a_result("r-1", "retry"),
            Delivery(state=QUEUED),
            "answered",
            True,
            RESOLVED,
            id="tried again, resolved since",
        ),
        pytest.param(
            ACTIVE, a_result("r-1", "failed", reason="opted out"), REFUSED, "handed", False, ESCALATED, id="refused"
        ),
        pytest.param(
            RESOLVED,
            a_result("r-1", "failed", reason="opted out"),
            REFUSED,
            "handed",
            False,
            RESOLVED,
            id="refused, resolved since",
        ),
        pytest.param(
            ESCALATED,
            a_result("r-1", "retry"),
            Delivery(state=FAILED, reason=TAKEN_OVER),
            "handed",
            False,
            ESCALATED,
            id="not sent, taken over since",
        ),
        pytest.param(
            ESCALATED,
            a_result("r-1", "retry", unsure=True),
            Delivery(state=UNKNOWN, reason=TAKEN_OVER),
            "handed",
            False,
            ESCALATED,
            id="perhaps sent, taken over since",
        ),
    ],
)
def test_after_an_attempt_to_send_an_answer(
    state: ConversationState,
    result: SendResult,
    delivery: Delivery,
    outcome: str,
    still_waits: bool,
    state_after: ConversationState,
) -> None:
    record, pending = answered("messages")
    transitions.attempt(record, pending, NOW)
    record.conversation.state = state
    transitions.sent(record, pending, result, NOW)
    assert _delivery(record, "r-1") == delivery
    assert outcomes(record)["g-1"][0] == outcome
    assert record.sends == ([pending] if still_waits else [])
    assert record.state is state_after


def test_a_withdrawn_answer_becomes_a_draft() -> None:
    record, pending = answered()
    transitions.claim(record, a_command(ANA), NOW)
    assert not transitions.may_send(record, pending)
    transitions.withdraw(record, pending, NOW)
    assert record.conversation.draft is not None
    assert (record.conversation.draft.id, record.conversation.draft.content) == ("r-1-draft", "At seven.")
    assert (record.sends, outcomes(record)) == ([], {"g-1": ("handed", None)})


def test_an_attempt_that_never_began_counts_for_nothing() -> None:
    record, pending = answered("messages")
    before = copied(record)
    transitions.attempt(record, pending, NOW)
    transitions.not_attempted(record, pending, LATER)
    assert record == before
    transitions.attempt(record, pending, NOW)
    transitions.attempt(record, pending, LATER)
    transitions.not_attempted(record, pending, LATER)
    assert (pending.attempts, pending.first_attempt_at) == (1, NOW)


def test_an_attempt_that_never_began_is_withdrawn_from_a_person() -> None:
    record, pending = answered("messages")
    transitions.attempt(record, pending, NOW)
    transitions.claim(record, a_command(), NOW)
    transitions.not_attempted(record, pending, NOW)
    assert record.sends == []
    assert _delivery(record, "r-1") == Delivery(state=FAILED, reason=TAKEN_OVER)


@pytest.mark.parametrize("state", ConversationState)
def test_only_the_ai_is_silent_while_a_person_has_the_conversation(state: ConversationState) -> None:
    record, pending = answered()
    record.conversation.state = state
    assert transitions.may_send(record, pending) is (state is not ESCALATED)
    for author in (Author.SYSTEM, Author.STAFF):
        message = pending.message.model_copy(update={"author": author})
        assert transitions.may_send(record, PendingSend(message=message))


def test_staff_are_told_of_a_message_that_does_not_leave() -> None:
    record = a_record(ESCALATED, policy=ConversationPolicy(max_retries=0))
    transitions.reply(record, a_reply(), NOW)
    pending = record.sends[0]
    for _ in range(2):
        transitions.attempt(record, pending, NOW)
        transitions.sent(record, pending, a_result("s-1", "retry", reason="busy"), NOW)
    assert happened(record).count("delivery_failed") == 1


# --- the outbox --------------------------------------------------------------------------------------------------


def test_storing_takes_away_what_was_published_and_no_more() -> None:
    record, _ = answered()
    publication = copied(record.publication())
    arrived(record, a_message("g-2"))
    record.settle(Outcome(message_id="g-1", outcome="handed", reason="The reply was not delivered", at=LATER))
    record.stored(publication)
    assert [event.message.id for event in record.outbox if event.message] == ["g-2"]
    assert [(outcome.message_id, outcome.outcome) for outcome in record.unstored_outcomes] == [("g-1", "handed")]
    assert not record.all_stored
    _store(record)
    assert record.all_stored


@pytest.mark.parametrize("character", ["x", "é", "早", "🛎"])
def test_a_batch_is_bounded_in_bytes(character: str) -> None:
    record = a_record(ESCALATED)
    arrived(record, *(a_message(f"g-{number}", character * 20_000) for number in range(20)))
    batches: list[int] = []
    while record.outbox:
        events = _store(record).events
        assert sum(len(event.model_dump_json().encode()) for event in events) <= BATCH_BYTES
        batches.append(len(events))
    assert (sum(batches), len(batches) > 1) == (20, True)


def test_an_event_larger_than_a_batch_goes_alone() -> None:
    record = a_record(ESCALATED)
    arrived(record, a_message("g-1", "x" * BATCH_BYTES), a_message("g-2"))
    assert [[event.seq for event in _store(record).events] for _ in range(2)] == [[1], [2]]


@pytest.mark.parametrize(
    ("published", "noted", "told"),
    [
        pytest.param(True, True, False, id="storage knows"),
        pytest.param(True, False, True, id="storage has the message and not this"),
        pytest.param(False, False, True, id="a publish on its way has the message and not this"),
    ],
)
def test_storage_is_told_how_far_a_message_got(published: bool, noted: bool, told: bool) -> None:
    record, pending = answered()
    publication = record.publication()
    if published:
        record.stored(publication)
    transitions.sent(record, pending, a_result("r-1", noted=noted), NOW)
    record.stored(publication)
    assert [moved.message_id for moved in record.unstored_deliveries] == (["r-1"] if told else [])
    assert all(moved.delivery.state is SENT for moved in record.publication().deliveries)


def test_what_is_told_later_carries_the_newest_delivery() -> None:
    record, pending = answered()
    transitions.sent(record, pending, a_result("r-1"), NOW)
    messages: list[Message] = [event.message for event in record.publication().events if event.message]
    assert [message.delivery.state for message in messages] == [DeliveryState.DELIVERED, SENT]
