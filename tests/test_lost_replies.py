"""Questions whose reply did not reach the guest, of the third and the fourth edition."""

from datetime import timedelta

import pytest

from contracts.commands import DeliveryFailure, Redeliver
from contracts.conversations import ConversationState
from contracts.messages import Author
from contracts.rules import ConversationPolicy
from tests.records import (
    ANA,
    CONVERSATION_ID,
    NOW,
    a_command,
    a_message,
    a_record,
    a_reply,
    a_result,
    an_answer,
    arrived,
    outcomes,
)
from workflows import editions, policy, transitions
from workflows.record import Record

ACTIVE, ESCALATED = ConversationState.ACTIVE, ConversationState.ESCALATED
THIRD, FOURTH = ConversationPolicy(edition=editions.THIRD), ConversationPolicy(edition=editions.FOURTH)
BOTH = pytest.mark.parametrize(("rules", "fourth"), [(THIRD, False), (FOURTH, True)], ids=["third", "fourth"])
LATER = NOW + timedelta(minutes=20)
GONE = policy.SEND_GIVES_UP_AFTER


def _answered(rules: ConversationPolicy, count: int = 1) -> Record:
    record = a_record(adapter="messages", policy=rules)
    for number in range(1, count + 1):
        turn = arrived(record, a_message(f"g-{number}", f"Question {number}", adapter="messages"))
        decision = policy.after_answer(rules, an_answer())
        transitions.conclude(record, turn, decision, f"r-{number}", NOW)
    return record


def _is_refused(record: Record, *, unsure: bool = False) -> None:
    """The channel was away for too long."""
    pending = record.sends[0]
    transitions.attempt(record, pending, NOW)
    pending.unsure = unsure
    result = a_result(pending.message.id, "retry", reason="busy")
    transitions.sent(record, pending, result, NOW + GONE)


def _leaves(record: Record) -> None:
    pending = record.sends[0]
    transitions.attempt(record, pending, NOW)
    transitions.sent(record, pending, a_result(pending.message.id), NOW)


def _is_reported(record: Record, reply_id: str) -> None:
    failure = DeliveryFailure(conversation_id=CONVERSATION_ID, message_id=reply_id, reason="unreachable")
    transitions.delivery_failed(record, failure, NOW)


def _returned(record: Record) -> list[str]:
    assert record.state is ESCALATED
    transitions.return_to_ai(record, a_command(), LATER)
    return [each.message.id for each in record.queue]


@BOTH
def test_a_question_whose_reply_was_given_up_goes_back_to_the_ai(rules: ConversationPolicy, fourth: bool) -> None:
    record = _answered(rules)
    _is_refused(record)
    assert outcomes(record) == {"g-1": ("handed", None)}
    assert record.wait is not None
    assert _returned(record) == (["g-1"] if fourth else [])


@BOTH
def test_so_does_one_whose_reply_a_provider_lost(rules: ConversationPolicy, fourth: bool) -> None:
    record = _answered(rules)
    _leaves(record)
    _is_reported(record, "r-1")
    assert _returned(record) == (["g-1"] if fourth else [])


@BOTH
def test_so_does_one_that_was_lost_after_a_person_took_over(rules: ConversationPolicy, fourth: bool) -> None:
    record = _answered(rules)
    pending = record.sends[0]
    transitions.attempt(record, pending, NOW)
    transitions.claim(record, a_command(), NOW)
    transitions.sent(record, pending, a_result("r-1", "failed", reason="unknown number"), NOW)
    assert (record.wait is not None) is fourth  # the guest has no answer
    assert _returned(record) == (["g-1"] if fourth else [])


def test_not_if_the_reply_may_have_come_through() -> None:
    record = _answered(FOURTH)
    _is_refused(record, unsure=True)
    assert _returned(record) == []


def test_not_if_a_person_has_answered() -> None:
    record = _answered(FOURTH)
    _leaves(record)
    transitions.reply(record, a_reply(), NOW)
    _is_reported(record, "r-1")
    assert (record.unread_by_ai, record.wait) == ([], None)


@BOTH
def test_not_if_staff_have_sent_the_reply_again(rules: ConversationPolicy, fourth: bool) -> None:
    record = _answered(rules)
    transitions.claim(record, a_command(), NOW)
    transitions.withdraw(record, record.sends[0], NOW)
    arrived(record, a_message("g-2", "And dinner?", adapter="messages"))
    again = Redeliver(conversation_id=CONVERSATION_ID, by=ANA, message_id="r-1", copy_id="c-1")
    transitions.redeliver(record, again, NOW)
    assert record.wait is not None  # for the second one
    assert _returned(record) == (["g-2"] if fourth else ["g-1", "g-2"])


def test_not_if_a_later_question_was_answered() -> None:
    record = _answered(FOURTH, 3)
    for _ in range(3):
        _leaves(record)
    _is_reported(record, "r-2")
    assert record.unread_by_ai == []
    _is_reported(record, "r-3")
    assert _returned(record) == ["g-3"]


def test_nor_if_a_later_question_was_announced_to_people_and_waits_no_more() -> None:
    record = _answered(FOURTH)
    _leaves(record)
    turn = arrived(record, a_message("g-2", "Question 2", adapter="messages"))
    transitions.conclude(record, turn, policy.after_failure(FOURTH, 1, "no answer in time"), "r-2", NOW)
    assert record.state is ACTIVE
    _is_reported(record, "r-1")
    assert outcomes(record) == {"g-1": ("handed", None), "g-2": ("handed", "r-2")}
    assert _returned(record) == []


def test_a_lost_notice_is_no_lost_reply() -> None:
    record = a_record(adapter="messages", policy=FOURTH)
    turn = arrived(record, a_message(adapter="messages"))
    transitions.conclude(record, turn, policy.after_answer(FOURTH, an_answer(confidence=0.1)), "r-1", NOW)
    assert record.sends[0].message.author is Author.SYSTEM
    _is_refused(record)
    assert _returned(record) == ["g-1"]  # once
