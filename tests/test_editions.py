"""What the second edition decides otherwise than the first."""

from datetime import timedelta

import pytest

from contracts.ai import Action
from contracts.commands import DecideAction, Redeliver
from contracts.conversations import ConversationState
from contracts.messages import Author, ChannelType, DeliveryState
from contracts.rules import ConversationPolicy, SurveyRules
from settings import Settings
from tests.records import (
    ANA,
    BEN,
    CONVERSATION_ID,
    NOW,
    a_command,
    a_message,
    a_record,
    a_result,
    an_answer,
    answered,
    arrived,
)
from workflows import editions, policy, promises, transitions
from workflows.record import Record
from workflows.rules import conversation_policy
from workflows.transitions.actions import PENDING_ACTIONS

ACTIVE, ESCALATED = ConversationState.ACTIVE, ConversationState.ESCALATED
FIRST, SECOND = ConversationPolicy(edition=0), ConversationPolicy(edition=editions.SECOND)
LATER = NOW + timedelta(days=2)
BOTH = pytest.mark.parametrize(("rules", "second"), [(FIRST, False), (SECOND, True)], ids=["first", "second"])


@pytest.mark.parametrize("channel", ["whatsapp", "sms", "email", "webchat"])
def test_a_new_conversation_takes_the_newest(channel: ChannelType) -> None:
    assert conversation_policy(Settings(), "any", channel).edition == editions.NEWEST


@BOTH
def test_getting_in_touch_is_no_break_in(rules: ConversationPolicy, second: bool) -> None:
    record = a_record(policy=rules)
    turn = arrived(record, a_message(content="I was trying to get in touch"))
    decision = policy.before_asking(rules, turn, NOW)
    assert (decision is None) is second
    escalated = a_record(ESCALATED, policy=rules)
    arrived(escalated, a_message(content="I was trying to get in touch"))
    assert (escalated.conversation.priority == "normal") is second


@BOTH
def test_a_person_is_asked_for_in_more_words(rules: ConversationPolicy, second: bool) -> None:
    turn = arrived(a_record(policy=rules), a_message(content="Mitarbeiter bitte"))
    assert (policy.before_asking(rules, turn, NOW) is not None) is second


@BOTH
def test_a_break_in_is_one_beside_a_touch(rules: ConversationPolicy, second: bool) -> None:
    said = "I was trying to get in touch: a man is trying to get into my room"
    decision = policy.before_asking(rules, arrived(a_record(policy=rules), a_message(content=said)), NOW)
    assert decision is not None
    assert decision.urgent


@BOTH
def test_a_courtesy_is_no_question_that_comes_again(rules: ConversationPolicy, second: bool) -> None:
    record = a_record(policy=rules)
    for number in range(rules.repeats_to_escalate):
        turn = arrived(record, a_message(f"g-{number}", "Thank you very much!"))
        decision = policy.after_answer(rules, an_answer(intent="thanks"))
        transitions.conclude(record, turn, decision, f"r-{number}", NOW)
    again = arrived(record, a_message("g-again", "Thank you very much!"))
    handover = policy.before_asking(rules, again, NOW, answered=record.answered_questions)
    assert (handover is None) is second


@BOTH
def test_what_staff_gave_back_is_not_late(rules: ConversationPolicy, second: bool) -> None:
    record = a_record(ESCALATED, assigned_to="ana", policy=rules)
    arrived(record, a_message())
    transitions.return_to_ai(record, a_command(), LATER)
    assert (policy.before_asking(rules, record.queue, LATER) is None) is second


def test_what_waits_on_after_it_was_given_back_is_late() -> None:
    record = a_record(ESCALATED, assigned_to="ana", policy=SECOND)
    arrived(record, a_message())
    transitions.return_to_ai(record, a_command(), LATER)
    assert policy.before_asking(SECOND, record.queue, LATER + timedelta(days=2)) is not None


def _lost_answer(rules: ConversationPolicy) -> Record:
    """The AI's answer was given up, and the guest waits for a person."""
    record, pending = answered(adapter="sms")
    record.policy = rules
    transitions.attempt(record, pending, NOW)
    transitions.sent(record, pending, a_result(pending.message.id, "failed", reason="no such number"), NOW)
    assert record.state is ESCALATED
    assert record.wait is not None
    return record


def _say_again(record: Record) -> None:
    command = Redeliver(conversation_id=CONVERSATION_ID, by=ANA, message_id="r-1", copy_id="c-1")
    transitions.redeliver(record, command, NOW)


@BOTH
def test_an_answer_that_is_said_again_keeps_the_promise(rules: ConversationPolicy, second: bool) -> None:
    record = _lost_answer(rules)
    _say_again(record)
    assert (record.wait is None) is second
    assert (record.conversation.response_due_at is None) is second


def test_what_the_guest_wrote_behind_a_lost_answer_still_waits() -> None:
    record = _lost_answer(SECOND)
    arrived(record, a_message("g-2", "And dinner?", adapter="sms"))
    _say_again(record)
    assert record.wait is not None


def test_words_of_staff_that_are_said_again_keep_no_promise() -> None:
    record = a_record(ESCALATED, policy=SECOND)
    record.add_message("r-1", Author.SYSTEM, "Somebody will write to you.", NOW, delivery=DeliveryState.FAILED)
    record.wait_for_person(NOW)
    _say_again(record)
    assert record.wait is not None


@BOTH
def test_nobody_waits_who_cannot_be_written_to(rules: ConversationPolicy, second: bool) -> None:
    record, pending = answered(adapter="sms")
    record.policy = rules
    transitions.attempt(record, pending, NOW)
    refused = a_result(pending.message.id, "failed", reason="unsubscribed").model_copy(update={"opted_out": True})
    transitions.sent(record, pending, refused, NOW)
    assert record.state is ESCALATED
    assert (record.wait is None) is second


@BOTH
def test_a_running_wait_ends_where_the_channel_says_that_the_guest_opted_out(
    rules: ConversationPolicy, second: bool
) -> None:
    record = a_record(ESCALATED, assigned_to="ana", adapter="sms", policy=rules)
    arrived(record, a_message(adapter="sms"))
    record.say(Author.SYSTEM, "We are back at nine.", NOW, message_id="m-1")
    transitions.attempt(record, record.sends[0], NOW)
    refused = a_result("m-1", "failed").model_copy(update={"opted_out": True})
    transitions.sent(record, record.sends[0], refused, NOW)
    assert (record.wait is None) is second


def test_a_claim_is_repeated_only_while_nobody_else_has_it() -> None:
    record = a_record(ESCALATED, assigned_to="ana")
    record.last_command = ("claim", "ana")
    assert policy.refusal(record, "claim", "ana", CONVERSATION_ID) is None
    record.conversation.assigned_to = None
    assert policy.refusal(record, "claim", "ana", CONVERSATION_ID) is None
    record.conversation.assigned_to = BEN.id
    refused = policy.refusal(record, "claim", "ana", CONVERSATION_ID)
    assert refused is not None
    assert refused.code == "held_by_other"


def _late_checkout(until: str) -> Action:
    return Action(id="a", type="request_late_checkout", params={"until": until})


def _take_up(record: Record, *untils: str) -> None:
    for until in untils:
        number = len(record.outbox)
        transitions.take_up(record, [_late_checkout(until)], f"r-{number}", NOW, sure=True)


@BOTH
def test_staff_are_asked_once_for_the_same_action(rules: ConversationPolicy, second: bool) -> None:
    record = a_record(ACTIVE, policy=rules)
    _take_up(record, "13:00", "13:00", "14:00")
    pending = [each.params["until"] for each in record.conversation.pending_actions]
    assert pending == (["13:00", "14:00"] if second else ["13:00", "13:00", "14:00"])
    refused = [event.reason for event in record.outbox if event.change == "action_refused"]
    assert refused == (["request_late_checkout: is already waiting for a decision"] if second else [])


def test_staff_are_asked_again_once_they_have_decided() -> None:
    record = a_record(ACTIVE, policy=SECOND)
    _take_up(record, "13:00")
    (pending,) = record.conversation.pending_actions
    command = DecideAction(conversation_id=CONVERSATION_ID, by=ANA, action_id=pending.id, approve=False)
    assert transitions.decide(record, command, NOW)
    _take_up(record, "13:00")
    assert len(record.conversation.pending_actions) == 1


@BOTH
def test_no_more_wait_for_a_decision_than_a_conversation_carries(rules: ConversationPolicy, second: bool) -> None:
    record = a_record(ACTIVE, policy=rules)
    _take_up(record, *(f"{number}:00" for number in range(PENDING_ACTIONS + 2)))
    assert len(record.conversation.pending_actions) == PENDING_ACTIONS + (0 if second else 2)
    refused = [event.reason for event in record.outbox if event.change == "action_refused"]
    assert refused == (["request_late_checkout: 20 others are already waiting for a decision"] * 2 if second else [])


SURVEYED = SurveyRules()


@pytest.mark.parametrize(
    ("state", "rules", "free_text", "closes"),
    [
        pytest.param(ACTIVE, {}, timedelta(hours=24), timedelta(hours=23, minutes=45), id="in time to ask"),
        pytest.param(ACTIVE, {"edition": 0}, timedelta(hours=24), timedelta(hours=24), id="not by the first edition"),
        pytest.param(ACTIVE, {"survey": None}, timedelta(hours=24), timedelta(hours=24), id="nobody is asked"),
        pytest.param(ACTIVE, {}, None, timedelta(hours=24), id="free text at any time"),
        pytest.param(ACTIVE, {}, timedelta(hours=30), timedelta(hours=24), id="free text for longer"),
        pytest.param(
            ACTIVE, {}, timedelta(hours=12, minutes=15), timedelta(hours=12), id="at half time at the soonest"
        ),
        pytest.param(ACTIVE, {}, timedelta(hours=12, minutes=14), timedelta(hours=24), id="sooner would be too soon"),
        pytest.param(ESCALATED, {}, timedelta(days=29), timedelta(days=30), id="a person's is never closed sooner"),
    ],
)
def test_an_idle_conversation_closes_in_time_to_ask(
    state: ConversationState, rules: dict[str, object], free_text: timedelta | None, closes: timedelta
) -> None:
    changed = {"edition": editions.SECOND, "survey": SURVEYED, **rules}
    record = a_record(state, policy=ConversationPolicy().model_copy(update=changed))
    record.route.free_text_until = None if free_text is None else NOW + free_text
    deadline = promises.next_deadline(record, NOW)
    assert deadline is not None
    assert deadline.at == NOW + closes
