"""What the third edition decides otherwise than the second."""

from datetime import UTC, datetime, time, timedelta

import pytest

from contracts.ai import Action
from contracts.commands import DecideAction, Opening, SetConversationPriority, TaskDone
from contracts.conversations import ConversationState
from contracts.messages import Author
from contracts.rules import BusinessHours, ConversationPolicy, Period, SurveyRules, Weekday
from tests.records import ANA, CONVERSATION_ID, NOW, a_message, a_record, a_reply, an_answer, arrived
from workflows import editions, policy, promises, transitions
from workflows.hours import WEEKDAYS
from workflows.record import Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
SECOND, THIRD = ConversationPolicy(edition=editions.SECOND), ConversationPolicy(edition=editions.THIRD)
BOTH = pytest.mark.parametrize(("rules", "third"), [(SECOND, False), (THIRD, True)], ids=["second", "third"])
LATE = Action(id="a-1", type="request_late_checkout", params={"until": "14:00"})
TOWELS = Action(id="a-2", type="create_task", params={"department": "housekeeping", "title": "Two more towels"})
DAY = timedelta(days=1)
AFTER_HOURS = datetime(2026, 3, 1, 22, 5, tzinfo=UTC)


def _till_ten_at_night(rules: ConversationPolicy) -> ConversationPolicy:
    days: tuple[Weekday, ...] = WEEKDAYS
    hours = BusinessHours(weekly={day: [Period(opens=time(8), closes=time(22))] for day in days})
    return rules.model_copy(update={"hours": hours})


def _said(record: Record) -> list[str]:
    return [each.content for each in record.window if each.author is Author.SYSTEM]


@BOTH
def test_an_overtaken_answer_brings_its_actions_along(rules: ConversationPolicy, third: bool) -> None:
    record = a_record(ESCALATED, assigned_to="ana", policy=rules)
    arrived(record, a_message())
    transitions.overtaken(
        record, record.unread_by_ai, an_answer("Towels are on their way.", actions=[TOWELS]), "r-1", NOW
    )
    assert record.conversation.draft is not None
    assert record.conversation.draft.content == "Towels are on their way."
    assert record.steps == []  # nobody sent the answer, so staff decide even on what is done unasked otherwise
    assert [each.id for each in record.conversation.pending_actions] == (["r-1-1"] if third else [])


def _asked(rules: ConversationPolicy) -> Record:
    """The AI has asked staff for a late check-out."""
    record = a_record(ACTIVE, policy=rules)
    transitions.take_up(record, [LATE], "r-1", NOW, sure=True)
    return record


@BOTH
def test_a_conversation_stays_open_while_staff_are_asked(rules: ConversationPolicy, third: bool) -> None:
    record = _asked(rules)
    deadline = promises.next_deadline(record, NOW)
    assert deadline is not None
    assert deadline.at == NOW + (30 * DAY if third else DAY)
    promises.fall_due(record, NOW + DAY)
    assert record.state is (ACTIVE if third else RESOLVED)


def test_one_that_nobody_decided_on_closes_at_the_longer_limit_and_managers_learn_it() -> None:
    record = _asked(THIRD.model_copy(update={"survey": SurveyRules()}))
    record.figures.first_response_at = NOW
    record.route.free_text_until = NOW + 29 * DAY
    promises.fall_due(record, NOW + 30 * DAY - timedelta(seconds=1))
    assert record.state is ACTIVE
    promises.fall_due(record, NOW + 30 * DAY)
    assert record.state is RESOLVED
    assert not record.asking.due
    told = [event.notification for event in record.outbox if event.notification is not None][-1]
    assert (told.kind, told.audience) == ("system", "managers")
    assert told.text == "An undecided conversation was closed: nothing has happened for 30 days"


def test_one_that_nobody_decided_on_never_closes_without_a_longer_limit() -> None:
    record = _asked(THIRD.model_copy(update={"escalated_timeout": timedelta(0)}))
    assert promises.next_deadline(record, NOW) is None


@BOTH
def test_a_decided_conversation_is_idle_from_then(rules: ConversationPolicy, third: bool) -> None:
    record, later = _asked(rules), NOW + timedelta(hours=20)
    record.opted_out = True  # nothing is said, from which idle time would count
    command = DecideAction(conversation_id=CONVERSATION_ID, by=ANA, action_id="r-1-1", approve=False)
    assert transitions.decide(record, command, later)
    deadline = promises.next_deadline(record, later)
    assert deadline is not None
    assert deadline.at == (later if third else NOW) + DAY


@BOTH
def test_who_chats_with_a_person_after_hours_is_not_told_that_nobody_is_there(
    rules: ConversationPolicy, third: bool
) -> None:
    record = a_record(ACTIVE, policy=_till_ten_at_night(rules))
    transitions.reply(record, a_reply(), AFTER_HOURS)
    arrived(record, a_message(), now=AFTER_HOURS + timedelta(minutes=30))
    assert len(_said(record)) == (0 if third else 1)


@pytest.mark.parametrize(
    ("written_at", "private", "asked_at"),
    [
        pytest.param(AFTER_HOURS, False, AFTER_HOURS + timedelta(minutes=31), id="who has gone since"),
        pytest.param(AFTER_HOURS - timedelta(minutes=6), False, AFTER_HOURS, id="who wrote last before closing"),
        pytest.param(AFTER_HOURS, True, AFTER_HOURS + timedelta(minutes=1), id="who left a note"),
    ],
)
def test_a_guest_whom_nobody_chats_with_is_told(written_at: datetime, private: bool, asked_at: datetime) -> None:
    record = a_record(ESCALATED, assigned_to="ana", policy=_till_ten_at_night(THIRD))
    transitions.reply(record, a_reply(private=private), written_at)
    arrived(record, a_message(), now=asked_at)
    assert _said(record) == ["Our team is away at the moment and will reply from Monday, 02 March, 08:00."]


def test_a_guest_whom_the_ai_hands_over_after_a_chat_is_told() -> None:
    record = a_record(ESCALATED, assigned_to="ana", policy=_till_ten_at_night(THIRD))
    transitions.reply(record, a_reply(), AFTER_HOURS)
    record.activate("returned", AFTER_HOURS)
    turn = arrived(record, a_message(), now=AFTER_HOURS)
    transitions.conclude(record, turn, policy.Handover("Doubt", "Somebody will reply shortly."), "r-1", AFTER_HOURS)
    assert _said(record) == ["Our team is away at the moment and will reply from Monday, 02 March, 08:00."]


@BOTH
def test_whom_a_failing_ai_hands_over_after_hours_learns_when_somebody_is_back(
    rules: ConversationPolicy, third: bool
) -> None:
    rules = _till_ten_at_night(rules)
    record = a_record(policy=rules)
    for number in (1, 2):
        turn = arrived(record, a_message(f"g-{number}"), now=AFTER_HOURS)
        decision = policy.after_failure(rules, number, "no answer in time")
        transitions.conclude(record, turn, decision, f"r-{number}", AFTER_HOURS)
    away = "Our team is away at the moment and will reply from Monday, 02 March, 08:00."
    assert record.state is ESCALATED
    assert _said(record) == [rules.fallback_text, away if third else rules.fallback_text]


@BOTH
def test_a_priority_set_before_the_guest_wrote_holds(rules: ConversationPolicy, third: bool) -> None:
    record = a_record(policy=rules)
    transitions.open_conversation(record, Opening(by=ANA, message_id="o-1", content="Your room is ready"), NOW)
    command = SetConversationPriority(conversation_id=CONVERSATION_ID, by=ANA, priority="high")
    transitions.prioritise(record, command, NOW)
    arrived(record, a_message())
    assert (record.state, record.conversation.priority) == (ACTIVE, "high" if third else "normal")


def test_a_conversation_that_goes_back_to_the_ai_is_of_normal_priority() -> None:
    record = a_record(ESCALATED, policy=THIRD)
    record.prioritise("high", NOW)
    record.activate("returned", NOW)
    assert record.conversation.priority == "normal"


@BOTH
@pytest.mark.parametrize(
    ("opted_out", "why"),
    [(True, "the guest has opted out of this channel"), (False, "the channel accepts only templates now")],
)
def test_staff_learn_that_a_guest_could_not_be_told(
    rules: ConversationPolicy, third: bool, opted_out: bool, why: str
) -> None:
    record = _asked(rules)
    record.opted_out, record.route.free_text_until = opted_out, NOW - DAY
    command = DecideAction(conversation_id=CONVERSATION_ID, by=ANA, action_id="r-1-1", approve=True)
    assert transitions.decide(record, command, NOW)
    transitions.task_done(record, TaskDone(conversation_id=CONVERSATION_ID, task_id="t-1", title="Towels"), NOW)
    assert record.sends == []
    told = [event.notification for event in record.outbox if event.notification is not None]
    failed = [each.text for each in told if each.kind == "delivery_failed"]
    assert failed == ([f"A message could not be delivered: {why}"] * 2 if third else [])


@BOTH
@pytest.mark.parametrize(("action", "department"), [(TOWELS, "housekeeping"), (LATE, "front desk")])
def test_staff_learn_of_a_task_that_the_ai_creates(
    rules: ConversationPolicy, third: bool, action: Action, department: str
) -> None:
    record = a_record(ACTIVE, policy=rules)
    record.steps = [action]
    assert transitions.next_step(record, NOW) is not None
    told = [event.notification for event in record.outbox if event.notification is not None]
    text = f"The AI created a task for {department}"
    assert [(each.kind, each.text, each.audience) for each in told] == ([("system", text, "everyone")] if third else [])


@BOTH
def test_a_guest_with_a_newer_conversation_is_told_in_it(rules: ConversationPolicy, third: bool) -> None:
    record = a_record(ACTIVE, policy=rules)
    done = TaskDone(conversation_id="contact-00000000", task_id="t-1", title="Two more towels")
    for _ in range(2):
        transitions.task_done(record, done, NOW)
    assert _said(record) == (["Done: Two more towels."] if third else [])
