"""The AI's turns: what it is asked, and what is done with what it says."""

from datetime import time, timedelta

import pytest

from contracts.conversations import ConversationState
from contracts.messages import AIInfo, Author
from contracts.names import CONTENT_LIMIT
from contracts.rules import BusinessHours, ConversationPolicy, Period
from tests.records import (
    NOW,
    a_command,
    a_message,
    a_record,
    a_reply,
    an_answer,
    answered,
    arrived,
    happened,
    outcomes,
)
from workflows import policy, transitions
from workflows.record import HANDOFFS, QUESTIONS, Record
from workflows.topics import fingerprint

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
LATER = NOW + timedelta(minutes=1)
RULES = ConversationPolicy()


def _said(record: Record) -> list[tuple[Author, str]]:
    return [(message.author, message.content) for message in record.window]


def test_a_request_holds_the_turn_and_a_little_before_it() -> None:
    record = a_record()
    for number in range(transitions.AI_MESSAGES):
        arrived(record, a_message(f"g-{number}", f"Question {number}"))
    transitions.reply(record, a_reply(private=True), NOW)
    queue = arrived(record, a_message("g-9", "x" * (CONTENT_LIMIT + 1)))[-2:]
    request = transitions.ai_request(record, queue)
    assert (request.message.id, len(request.message.content)) == ("g-9", CONTENT_LIMIT)
    assert request.context.turn_message_ids == [arrival.message.id for arrival in queue]
    earlier = [message.content for message in request.context.messages]
    assert earlier == [f"Question {number}" for number in range(1, transitions.AI_MESSAGES)]
    assert (request.context.state, request.context.message_count) == ("active", transitions.AI_MESSAGES + 1)


def test_a_confident_answer_is_said() -> None:
    record, pending = answered()
    assert _said(record)[-1] == (Author.AI, "At seven.")
    assert (pending.in_reply_to, pending.received_at) == (["g-1"], NOW)
    assert pending.message.ai == AIInfo(confidence=0.9, intent="breakfast", sources=["breakfast.md"])
    assert outcomes(record) == {"g-1": ("answered", "r-1")}
    assert (record.queue, record.conversation.current_intent) == ([], "breakfast")


def test_an_answer_settles_its_turn_and_leaves_what_came_meanwhile() -> None:
    record = a_record()
    turn = arrived(record, a_message("g-1", received_at=LATER), a_message("g-2"))
    arrived(record, a_message("g-3"))
    transitions.conclude(record, turn, policy.after_answer(RULES, an_answer()), "r-1", LATER)
    assert [arrival.message.id for arrival in record.queue] == ["g-3"]
    assert outcomes(record) == {"g-1": ("answered", "r-1"), "g-2": ("answered", "r-1")}
    assert record.sends[0].received_at == NOW  # of the oldest


def test_doubt_hands_everything_over_and_keeps_the_draft() -> None:
    record = a_record()
    turn = arrived(record, a_message("g-1"))
    arrived(record, a_message("g-2"))
    decision = policy.after_answer(RULES, an_answer("At six?", confidence=0.2))
    transitions.conclude(record, turn, decision, "r-1", NOW)
    assert (record.state, record.conversation.assigned_to) == (ESCALATED, None)
    assert _said(record)[-1] == (Author.SYSTEM, RULES.handover_text)
    assert outcomes(record) == {"g-1": ("handed", "r-1"), "g-2": ("handed", None)}
    assert record.conversation.draft is not None
    assert (record.conversation.draft.id, record.conversation.draft.content) == ("r-1-draft", "At six?")


def test_two_failures_in_a_row_bring_a_person() -> None:
    record = a_record()
    for number, state in ((1, ACTIVE), (2, ESCALATED)):
        turn = arrived(record, a_message(f"g-{number}"))
        failure = policy.after_failure(RULES, record.failures + 1, "no answer in time")
        transitions.conclude(record, turn, failure, f"r-{number}", NOW)
        assert (record.failures, record.state, record.conversation.needs_review) == (number, state, True)
        assert _said(record)[-1] == (Author.SYSTEM, RULES.fallback_text)
    assert happened(record).count("ai_timeout") == 2
    assert outcomes(record) == {"g-1": ("handed", "r-1"), "g-2": ("handed", "r-2")}


def test_an_answer_between_two_failures_begins_the_count_anew() -> None:
    record = a_record()
    for number, decision in enumerate(
        (
            policy.after_failure(RULES, 1, "x"),
            policy.after_answer(RULES, an_answer()),
            policy.after_failure(RULES, 1, "x"),
        )
    ):
        transitions.conclude(record, arrived(record, a_message(f"g-{number}")), decision, f"r-{number}", NOW)
    assert (record.failures, record.state) == (1, ACTIVE)


def test_blank_words_are_no_draft() -> None:
    record = a_record(ESCALATED)
    transitions.keep_as_draft(record, an_answer(" \n"), "d-1", NOW)
    assert (record.conversation.draft, record.outbox) == (None, [])


def test_a_request_says_who_asks_and_what_people_have_done() -> None:
    record = a_record()
    arrived(record, a_message("g-1"))
    transitions.claim(record, a_command(), NOW)
    transitions.return_to_ai(record, a_command(), LATER)
    request = transitions.ai_request(record, record.queue)
    (handoff,) = request.context.handoffs
    assert (handoff.reason, handoff.started_at, handoff.ended_at) == ("Ana took over", NOW, LATER)
    assert (handoff.from_seq, handoff.to_seq) == (3, 5)
    assert request.guest_profile == record.profile
    transitions.claim(record, a_command(), LATER)
    assert (record.handoffs[-1].to_seq, record.handoffs[-1].ended_at) == (None, None)


def test_hand_offs_are_bounded() -> None:
    record = a_record(ACTIVE)
    for _ in range(HANDOFFS + 1):
        transitions.claim(record, a_command(), NOW)
        transitions.return_to_ai(record, a_command(), NOW)
    assert len(record.handoffs) == HANDOFFS
    assert all(each.to_seq is not None for each in record.handoffs)


def test_an_emergency_raises_the_priority_and_says_so() -> None:
    record = a_record()
    turn = arrived(record, a_message(content="My wife is bleeding"))
    decision = policy.before_asking(RULES, turn, NOW)
    assert decision is not None
    transitions.conclude(record, turn, decision, "r-1", NOW)
    assert (record.state, record.conversation.priority) == (ESCALATED, "urgent")
    assert _said(record)[-1] == (Author.SYSTEM, RULES.emergency_text)
    assert record.conversation.response_due_at == NOW + timedelta(minutes=5)
    assert happened(record)[-3:] == ["priority", "escalated", "escalation"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        pytest.param("I need a human", "Back at Monday, 02 March, 09:00", id="closed: when somebody is back"),
        pytest.param("My wife is bleeding", RULES.emergency_text, id="closed, an emergency: at once"),
    ],
)
def test_a_hand_over_says_when_somebody_is_back(text: str, said: str) -> None:
    hours = BusinessHours(weekly={"monday": [Period(opens=time(9), closes=time(17))]})
    record = a_record(policy=ConversationPolicy(hours=hours, away_text="Back at {back}"))
    turn = arrived(record, a_message(content=text))
    decision = policy.before_asking(record.policy, turn, NOW)
    assert decision is not None
    transitions.conclude(record, turn, decision, "r-1", NOW)
    assert _said(record)[-1] == (Author.SYSTEM, said)
    assert outcomes(record) == {"g-1": ("handed", "r-1")}


def test_answered_questions_are_remembered_and_bounded() -> None:
    record = a_record()
    for number in range(QUESTIONS + 1):
        turn = arrived(record, a_message(f"g-{number}", f"What is number {number}?"))
        transitions.conclude(record, turn, policy.after_answer(RULES, an_answer()), f"r-{number}", NOW)
    assert record.answered_questions == [fingerprint(f"What is number {number}?") for number in range(1, QUESTIONS + 1)]


@pytest.mark.parametrize(
    ("summary", "kept"),
    [
        pytest.param(" They asked about breakfast.\n", "They asked about breakfast.", id="a summary"),
        pytest.param(" ", None, id="blanks"),
        pytest.param(None, None, id="none"),
    ],
)
def test_a_summary(summary: str | None, kept: str | None) -> None:
    record, _ = answered()
    transitions.resolve(record, a_command(), NOW)
    record.outbox = []
    transitions.summarised(record, summary, NOW)
    assert record.conversation.resolution is not None
    assert (record.conversation.resolution.summary, record.summary_due) == (kept, False)
    assert happened(record) == (["summary"] if kept else [])


@pytest.mark.parametrize(("questions", "is_due"), [(1, False), (2, True)])
def test_a_hand_over_is_summed_up_where_there_is_more_than_one_message(questions: int, is_due: bool) -> None:
    record = a_record()
    for number in range(questions):
        arrived(record, a_message(f"g-{number}"))
    transitions.escalate(record, a_command(), NOW)
    assert record.summary_due is is_due


def test_the_summary_of_a_hand_over_stands_with_its_reason_until_the_ai_is_back() -> None:
    record, _ = answered()
    arrived(record, a_message("g-2"))
    transitions.escalate(record, a_command(), NOW)
    transitions.summarised(record, "They asked about breakfast.", NOW)
    assert record.conversation.escalation is not None
    assert record.conversation.escalation.summary == "They asked about breakfast."
    transitions.return_to_ai(record, a_command(), NOW)
    assert record.snapshot().escalation is None


def test_a_conversation_that_goes_on_is_not_summed_up() -> None:
    record, _ = answered()
    transitions.resolve(record, a_command(), NOW)
    arrived(record, a_message("g-2"))
    assert (record.summary_due, record.conversation.resolution) == (False, None)
    transitions.summarised(record, "Too late", NOW)
    assert "summary" not in happened(record)


@pytest.mark.parametrize("rules", [ConversationPolicy(summaries=False), RULES])
def test_a_summary_is_wanted_where_a_guest_wrote_and_the_hotel_wants_it(rules: ConversationPolicy) -> None:
    silent, spoken = a_record(policy=rules), a_record(ESCALATED, policy=rules)
    arrived(spoken, a_message())
    for record in (silent, spoken):
        transitions.resolve(record, a_command(), NOW)
    assert (silent.summary_due, spoken.summary_due) == (False, rules.summaries)
