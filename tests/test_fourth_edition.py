"""What the fourth edition decides otherwise than the third."""

from collections.abc import Callable
from datetime import datetime, time, timedelta

import pytest

from contracts.ai import Action
from contracts.automations import AUTOMATION
from contracts.commands import Assign, ChangePolicy, SetConversationPriority, Snooze
from contracts.conversations import ConversationState
from contracts.guests import Autonomy
from contracts.messages import Author
from contracts.rules import BusinessHours, ConversationPolicy, Department, Period, PolicyChanges
from settings import Settings
from tests.records import (
    ANA,
    CONVERSATION_ID,
    NOW,
    a_command,
    a_message,
    a_record,
    a_reply,
    an_answer,
    arrived,
    happened,
    outcomes,
)
from workflows import editions, policy, promises, transitions
from workflows.owed import Arrival
from workflows.record import Record
from workflows.rules import conversation_policy

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
THIRD, FOURTH = ConversationPolicy(edition=editions.THIRD), ConversationPolicy(edition=editions.FOURTH)
BOTH = pytest.mark.parametrize(("rules", "fourth"), [(THIRD, False), (FOURTH, True)], ids=["third", "fourth"])
LATER = NOW + timedelta(minutes=5)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
DOUBT = an_answer("At six?", confidence=0.3)
UNSURE = "The AI is unsure (0.30, needs 0.70)"


def _said(record: Record) -> list[str]:
    return [each.content for each in record.window if each.author is not Author.GUEST]


def _waiting(arrivals: list[Arrival]) -> list[str]:
    return [each.message.id for each in arrivals]


def _handed_over(rules: ConversationPolicy) -> Record:
    """A conversation whose first message the AI was unsure of."""
    record = a_record(policy=rules)
    turn = arrived(record, a_message())
    transitions.conclude(record, turn, policy.after_answer(rules, DOUBT), "r-1", NOW)
    return record


# --- back to the AI -----------------------------------------------------------------------------------------------


@BOTH
def test_what_the_ai_handed_over_and_nobody_answered_goes_back_to_it(rules: ConversationPolicy, fourth: bool) -> None:
    record = _handed_over(rules)
    transitions.return_to_ai(record, a_command(), LATER)
    assert _waiting(record.queue) == (["g-1"] if fourth else [])
    if fourth:
        assert (record.queue[0].returned_at, record.conversation.draft) == (LATER, None)
        transitions.conclude(record, record.queue, policy.after_answer(rules, an_answer()), "r-2", LATER)
        assert outcomes(record) == {"g-1": ("answered", "r-2")}
        assert _said(record) == [rules.handover_text, "At seven."]


def test_what_a_person_answered_does_not_go_back() -> None:
    record = _handed_over(FOURTH)
    transitions.reply(record, a_reply(), NOW)
    transitions.return_to_ai(record, a_command(), LATER)
    assert (record.state, record.queue) == (ACTIVE, [])


def test_what_is_handed_over_again_is_told_to_staff_and_not_to_the_guest_and_goes_back_no_more() -> None:
    record = _handed_over(FOURTH)
    transitions.return_to_ai(record, a_command(), LATER)
    transitions.conclude(record, record.queue, policy.after_answer(FOURTH, DOUBT), "r-2", LATER)
    assert record.state is ESCALATED
    assert record.conversation.escalation is not None
    assert record.conversation.escalation.reason == f"Handed over again: {UNSURE}"
    assert happened(record).count("escalation") == 2
    assert record.conversation.draft is not None
    assert record.conversation.draft.id == "r-2-draft"
    assert _said(record) == [FOURTH.handover_text]
    assert outcomes(record) == {"g-1": ("handed", "r-1")}
    assert record.outcomes[0].reason == UNSURE  # as the list of knowledge gaps knows it
    assert record.wait is not None
    transitions.return_to_ai(record, a_command(), LATER)
    assert (record.state, record.queue) == (ACTIVE, [])


def test_a_turn_with_a_message_that_nobody_announced_is_announced() -> None:
    record = _handed_over(FOURTH)
    arrived(record, a_message("g-2", "And dinner?"), now=NOW)
    transitions.return_to_ai(record, a_command(), LATER)
    assert _waiting(record.queue) == ["g-1", "g-2"]
    transitions.conclude(record, record.queue, policy.after_answer(FOURTH, DOUBT), "r-2", LATER)
    assert _said(record) == [FOURTH.handover_text] * 2
    assert outcomes(record) == {"g-1": ("handed", "r-2"), "g-2": ("handed", "r-2")}
    transitions.return_to_ai(record, a_command(), LATER)
    assert _waiting(record.queue) == ["g-2"]  # which the AI has seen once


def test_an_emergency_is_announced_each_time() -> None:
    record = _handed_over(FOURTH)
    transitions.return_to_ai(record, a_command(), LATER)
    decision = policy.after_answer(FOURTH, an_answer(intent="medical"))
    transitions.conclude(record, record.queue, decision, "r-2", LATER)
    assert (_said(record)[-1], record.conversation.priority) == (FOURTH.emergency_text, "urgent")


@BOTH
def test_what_a_failing_ai_left_goes_back_to_it(rules: ConversationPolicy, fourth: bool) -> None:
    record = a_record(policy=rules)
    for number in (1, 2):
        turn = arrived(record, a_message(f"g-{number}"))
        failure = policy.after_failure(rules, number, "no answer in time")
        transitions.conclude(record, turn, failure, f"r-{number}", NOW)
    transitions.return_to_ai(record, a_command(), LATER)
    assert _waiting(record.queue) == (["g-2"] if fourth else [])
    if fourth:
        failure = policy.after_failure(rules, 1, "no answer in time")
        transitions.conclude(record, record.queue, failure, "r-3", LATER)
        assert _said(record) == [rules.fallback_text] * 2  # not a third time
        assert outcomes(record)["g-2"] == ("handed", "r-2")


@pytest.mark.parametrize(
    ("text", "autonomy", "later"),
    [
        pytest.param("I want to talk to a person", "auto", ["g-2"], id="asked for a person"),
        pytest.param("I want a refund", "auto", ["g-2"], id="for people alone"),
        pytest.param("There is a fire in my room", "auto", ["g-2"], id="an emergency"),
        pytest.param("When is breakfast?", "off", ["g-2"], id="switched off"),
        pytest.param("When is breakfast?", "draft", ["g-1", "g-2"], id="only drafts, of all that is unanswered"),
    ],
)
def test_what_the_ai_would_only_hand_over_as_before_does_not_go_back(
    text: str, autonomy: Autonomy, later: list[str]
) -> None:
    for more, back in (([], []), ([a_message("g-2", "And dinner?")], later)):
        record = a_record(policy=FOURTH)
        record.profile.autonomy = autonomy
        turn = arrived(record, a_message(content=text))
        handed = policy.before_asking(FOURTH, turn, NOW, autonomy=autonomy)
        decision = handed or policy.after_answer(FOURTH, an_answer(), autonomy=autonomy)
        transitions.conclude(record, turn, decision, "r-1", NOW)
        assert record.state == ESCALATED
        for message in more:
            arrived(record, message)
        transitions.return_to_ai(record, a_command(), LATER)
        assert _waiting(record.queue) == back


def test_answers_keep_to_the_order_of_questions_after_a_return() -> None:
    record = a_record(policy=FOURTH)
    turn = arrived(record, a_message()) and arrived(record, a_message("g-2", "I want to talk to a person"))
    decision = policy.before_asking(FOURTH, turn, NOW)
    assert decision is not None
    transitions.conclude(record, turn, decision, "r-1", NOW)
    assert outcomes(record) == {"g-1": ("handed", "r-1"), "g-2": ("handed", "r-1")}
    arrived(record, a_message("g-3", "And dinner?"))
    transitions.return_to_ai(record, a_command(), LATER)
    assert _waiting(record.queue) == ["g-3"]


def test_nothing_goes_back_of_a_guest_who_has_opted_out() -> None:
    record = a_record(policy=FOURTH)
    turn = arrived(record, a_message())
    record.opted_out = True
    transitions.conclude(record, turn, policy.after_answer(FOURTH, DOUBT), "r-1", NOW)
    assert (record.unread_by_ai, record.wait) == ([], None)


def test_a_request_holds_its_turn_however_much_was_said_since() -> None:
    record = _handed_over(FOURTH)
    for number in range(25):
        transitions.reply(record, a_reply(f"n-{number}", private=True), NOW)
    for number in range(transitions.AI_MESSAGES):
        record.say(Author.SYSTEM, "Please wait.", NOW, message_id=f"w-{number}")
    arrived(record, a_message("g-2", "And dinner?"))
    transitions.return_to_ai(record, a_command(), LATER)
    request = transitions.ai_request(record, record.queue)
    assert request.context.turn_message_ids == ["g-1", "g-2"]
    assert request.context.messages[0].id == "g-1"
    assert len(request.context.messages) == transitions.AI_MESSAGES
    assert request.context.handoffs[-1].to_seq is not None


# --- closing ------------------------------------------------------------------------------------------------------

NAMED = {"conversation_id": CONVERSATION_ID, "by": ANA}
ACTS: dict[str, Callable[[Record, datetime], object]] = {
    "claim": lambda record, now: transitions.claim(record, a_command(), now),
    "assign": lambda record, now: transitions.assign(record, Assign(**NAMED, staff_id="ben", staff_name="Ben"), now),
    "unassign": lambda record, now: transitions.unassign(record, a_command(), now),
    "note": lambda record, now: transitions.reply(record, a_reply(private=True), now),
    "snooze": lambda record, now: transitions.snooze(record, Snooze(**NAMED, until=now + HOUR), now),
    "priority": lambda record, now: transitions.prioritise(
        record, SetConversationPriority(**NAMED, priority="low"), now
    ),
    "reviewed": lambda record, now: transitions.reviewed(record, a_command(), now),
    "policy": lambda record, now: transitions.change_policy(
        record, ChangePolicy(**NAMED, changes=PolicyChanges(max_retries=1)), now
    ),
}


def _closes(record: Record) -> datetime:
    deadline = promises.next_deadline(record.model_copy(deep=True, update={"wait": None}), NOW)
    assert deadline is not None
    return deadline.at


@BOTH
@pytest.mark.parametrize("act", ACTS)
def test_where_a_person_is_there_the_conversation_is_not_idle(
    rules: ConversationPolicy, fourth: bool, act: str
) -> None:
    record, later = a_record(ESCALATED, assigned_to="ana", policy=rules), NOW + 20 * DAY
    ACTS[act](record, later)
    record.conversation.snoozed_until = None
    assert _closes(record) == (later if fourth else NOW) + 30 * DAY


def test_reading_and_what_a_rule_does_do_not_count() -> None:
    record, later = a_record(ESCALATED, assigned_to="ana", policy=FOURTH), NOW + 20 * DAY
    transitions.read(record, a_command(), later)
    transitions.prioritise(record, SetConversationPriority(**NAMED | {"by": AUTOMATION}, priority="low"), later)
    transitions.reply(record, a_reply(by=AUTOMATION, private=True), later)
    assert _closes(record) == NOW + 30 * DAY


def test_a_note_keeps_an_undecided_conversation_open_and_no_other_of_the_ai() -> None:
    for actions, closes in (([], NOW + DAY), ([Action(id="a-1", type="request_late_checkout")], NOW + 50 * DAY)):
        record = a_record(ACTIVE, policy=FOURTH)
        record.conversation.pending_actions = actions
        transitions.reply(record, a_reply(private=True), NOW + 20 * DAY)
        assert _closes(record) == closes


# --- tasks --------------------------------------------------------------------------------------------------------

BY_DEPARTMENT: dict[Department, timedelta] = {"housekeeping": HOUR, "front_desk": 2 * HOUR}
TOWELS = Action(id="a-1", type="create_task", params={"department": "housekeeping", "title": "Two more towels"})
LATE = Action(id="a-2", type="request_late_checkout", params={"until": "14:00"})
TAP = Action(id="a-3", type="create_task", params={"department": "maintenance", "title": "A dripping tap"})
UNTIL_HALF_PAST = BusinessHours(
    weekly={"sunday": [Period(opens=time(8), closes=time(12, 30))], "monday": [Period(opens=time(8), closes=time(12))]}
)


@BOTH
@pytest.mark.parametrize(
    ("action", "hours", "due_at"),
    [
        pytest.param(TOWELS, None, NOW + HOUR, id="by department"),
        pytest.param(LATE, None, NOW + 2 * HOUR, id="of a late check-out"),
        pytest.param(TAP, None, None, id="a department without one"),
        pytest.param(TOWELS, UNTIL_HALF_PAST, NOW + 20 * HOUR + HOUR / 2, id="in business hours"),
        pytest.param(TOWELS, BusinessHours(), None, id="where nobody ever is"),
    ],
)
def test_when_a_task_of_the_ai_is_due(
    rules: ConversationPolicy, fourth: bool, action: Action, hours: BusinessHours | None, due_at: datetime | None
) -> None:
    record = a_record(ACTIVE, policy=rules.model_copy(update={"task_due_in": BY_DEPARTMENT, "hours": hours}))
    record.steps = [action]
    task = transitions.next_step(record, NOW)
    assert task is not None
    assert task.due_at == (due_at if fourth else None)


@pytest.mark.parametrize(
    ("shared", "own", "housekeeping", "security"),
    [
        pytest.param({}, {}, HOUR, HOUR, id="by default"),
        pytest.param({"due_in": 60_000}, {}, MINUTE, MINUTE, id="for all hotels"),
        pytest.param({}, {"task_due_in": 60_000}, MINUTE, MINUTE, id="a hotel's own"),
        pytest.param({}, {"task_due_in": {"security": 60_000}}, HOUR, MINUTE, id="a department's own"),
        pytest.param({"due_in": 0}, {"task_due_in": {"security": 60_000}}, None, MINUTE, id="only one department's"),
        pytest.param({}, {"task_due_in": 0}, None, None, id="off"),
    ],
)
def test_hotels_say_when_tasks_are_due(
    shared: dict[str, object],
    own: dict[str, object],
    housekeeping: timedelta | None,
    security: timedelta | None,
) -> None:
    settings = Settings.model_validate({"tasks": shared, "properties": {"hotel": {"name": "Hotel", **own}}})
    due_in = conversation_policy(settings, "hotel", "sms").task_due_in
    assert (due_in.get("housekeeping"), due_in.get("security")) == (housekeeping, security)
