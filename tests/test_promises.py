"""What time alone does, row by row: promises to a guest who waits, snoozes, bursts, and closing what is idle."""

from datetime import datetime, time, timedelta
from typing import get_args

import pytest

from contracts.conversations import ConversationState, Escalation
from contracts.events import Event
from contracts.messages import Author
from contracts.rules import BusinessHours, ConversationPolicy, Period, Priority, Weekday
from tests.records import NOW, a_command, a_message, a_record, a_reply, an_answer, arrived, happened
from workflows import policy, promises, transitions
from workflows.promises import Deadline
from workflows.record import Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
A_MOMENT = timedelta(microseconds=1)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
RULES = ConversationPolicy()
LAST = NOW + HOUR
OFFICE = BusinessHours(
    time_zone="Europe/Lisbon",
    weekly={day: [Period(opens=time(9), closes=time(17))] for day in get_args(Weekday)},
)
"""NOW is a Sunday at 12:00, when somebody is there."""
EVENING = NOW + 6 * HOUR
CLOSES, DUE, REMINDS, WAKES = (
    "it closes if nothing happens",
    "an answer from staff is due",
    "staff are reminded",
    "the snooze ends",
)


def _waiting(
    priority: Priority = "normal", *, assigned_to: str | None = None, rules: ConversationPolicy = RULES
) -> Record:
    """An escalated conversation whose guest waits since NOW for the first word of a person; nothing to be told yet."""
    record = a_record(ACTIVE, policy=rules)
    record.conversation.priority = priority
    record.escalate("Doubt", NOW)
    record.assign(assigned_to, NOW)
    record.outbox = []
    return record


def _said(record: Record) -> list[str]:
    return [send.message.content for send in record.sends]


def _sla(record: Record) -> list[Event]:
    return [each for each in record.outbox if each.notification is not None and each.notification.kind == "sla"]


# --- the next deadline -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "last_message_at", "active_since", "resolved_at", "expected"),
    [
        pytest.param(NEW, None, None, None, Deadline(NOW + DAY, CLOSES), id="new, nothing said"),
        pytest.param(NEW, LAST, None, None, Deadline(LAST + DAY, CLOSES), id="new, staff wrote"),
        pytest.param(ACTIVE, None, None, None, Deadline(NOW + DAY, CLOSES), id="active, nothing said"),
        pytest.param(ACTIVE, LAST, NOW, None, Deadline(LAST + DAY, CLOSES), id="active, something said"),
        pytest.param(ACTIVE, NOW, LAST, None, Deadline(LAST + DAY, CLOSES), id="returned since"),
        pytest.param(ESCALATED, LAST, None, None, Deadline(LAST + 30 * DAY, CLOSES), id="a person's: the longer limit"),
        pytest.param(RESOLVED, LAST, LAST, LAST, Deadline(LAST + 5 * MINUTE, "it ends"), id="resolved: its window"),
        pytest.param(
            RESOLVED, LAST, LAST, None, Deadline(NOW + 5 * MINUTE, "it ends"), id="resolved, nobody knows when"
        ),
        pytest.param(RESOLVED, NOW, NOW, NOW - 5 * MINUTE, None, id="resolved, its window just over"),
        pytest.param(
            RESOLVED,
            NOW,
            NOW,
            NOW - 5 * MINUTE + A_MOMENT,
            Deadline(NOW + A_MOMENT, "it ends"),
            id="resolved, a moment left",
        ),
    ],
)
def test_next_deadline(
    state: ConversationState,
    last_message_at: datetime | None,
    active_since: datetime | None,
    resolved_at: datetime | None,
    expected: Deadline | None,
) -> None:
    record = a_record(state, policy=ConversationPolicy(resolved_window=5 * MINUTE))
    record.conversation.last_message_at = last_message_at
    record.conversation.resolved_at = resolved_at
    record.active_since = active_since
    assert promises.next_deadline(record, NOW) == expected


@pytest.mark.parametrize(
    ("priority", "minutes"),
    [
        pytest.param("low", 60, id="low"),
        pytest.param("normal", 15, id="normal"),
        pytest.param("high", 10, id="high"),
        pytest.param("urgent", 5, id="urgent"),
    ],
)
def test_the_deadlines_of_a_guest_who_waits(priority: Priority, minutes: int) -> None:
    record = _waiting(priority)
    assert record.conversation.response_due_at == NOW + minutes * MINUTE
    assert promises.next_deadline(record, NOW) == Deadline(NOW + minutes * MINUTE / 2, REMINDS)
    promises.fall_due(record, NOW + minutes * MINUTE / 2)
    assert promises.next_deadline(record, NOW) == Deadline(NOW + minutes * MINUTE, DUE)
    promises.fall_due(record, NOW + minutes * MINUTE)
    record.sends = []
    assert promises.next_deadline(record, NOW) == Deadline(NOW + minutes * MINUTE + 30 * DAY, CLOSES)


def test_the_next_response_is_promised_for_later_than_the_first() -> None:
    record = _waiting()
    transitions.reply(record, a_reply(), NOW)
    assert (record.wait, record.conversation.response_due_at) == (None, None)
    arrived(record, a_message(), now=LAST)
    assert record.conversation.response_due_at == LAST + 30 * MINUTE
    arrived(record, a_message("g-2"), now=LAST + MINUTE)
    assert record.conversation.response_due_at == LAST + 30 * MINUTE, "who writes again does not wait anew"


def test_a_priority_without_a_service_level_promises_nothing() -> None:
    level = {"urgent": RULES.service_levels["urgent"]}
    record = _waiting(rules=ConversationPolicy.model_validate({"service_levels": level}))
    assert record.conversation.response_due_at is None
    promises.fall_due(record, NOW + DAY)
    assert record.outbox == []
    record.prioritise("urgent", NOW)
    assert record.conversation.response_due_at == NOW + 5 * MINUTE


def test_a_promise_is_reckoned_in_business_hours() -> None:
    record = a_record(ACTIVE, policy=ConversationPolicy(hours=OFFICE))
    record.escalate("Doubt", NOW + 5 * HOUR - 10 * MINUTE)
    assert record.conversation.response_due_at == NOW + 21 * HOUR + 5 * MINUTE
    assert promises.next_deadline(record, NOW) == Deadline(NOW + 5 * HOUR - 2.5 * MINUTE, REMINDS)


def test_nobody_is_promised_what_nobody_is_ever_there_to_keep() -> None:
    record = _waiting(rules=ConversationPolicy(hours=BusinessHours()))
    assert record.conversation.response_due_at is None
    assert promises.next_deadline(record, NOW) == Deadline(NOW + 30 * DAY, CLOSES)


def test_a_snooze_is_a_deadline() -> None:
    record = a_record(ESCALATED, assigned_to="ana")
    record.conversation.snoozed_until = LAST
    assert promises.next_deadline(record, NOW) == Deadline(LAST, WAKES)


# --- promises ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "told"),
    [
        pytest.param(7.5 * MINUTE - A_MOMENT, [], id="just before half time"),
        pytest.param(7.5 * MINUTE, ["sla"], id="exactly at half time"),
        pytest.param(15 * MINUTE - A_MOMENT, ["sla"], id="just before the end"),
        pytest.param(15 * MINUTE, ["priority", "sla", "message"], id="exactly at the end: only the breach"),
        pytest.param(DAY, ["priority", "sla", "message"], id="long after, with both missed: only the breach"),
    ],
)
def test_what_falls_due(after: timedelta, told: list[str]) -> None:
    record = _waiting()
    for _ in range(2):
        promises.fall_due(record, NOW + after)
        assert happened(record) == told, "once"


@pytest.mark.parametrize(
    ("holder", "audience"),
    [pytest.param("ana", "ana", id="assigned: whoever has it"), pytest.param(None, None, id="unassigned: everyone")],
)
def test_a_reminder(holder: str | None, audience: str | None) -> None:
    record = _waiting(assigned_to=holder)
    promises.fall_due(record, NOW + 8 * MINUTE)
    (event,) = record.outbox
    assert event.notification is not None
    told = event.notification
    assert (told.kind, told.text) == ("sla", "Half the time to answer a guest has passed")
    assert (told.audience, told.staff_id, told.at) == ("everyone", audience, NOW + 8 * MINUTE)
    assert record.wait is not None
    assert (record.wait.reminded, record.wait.breached) == (True, False)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("low", "normal", id="low"),
        pytest.param("normal", "high", id="normal"),
        pytest.param("high", "urgent", id="high"),
        pytest.param("urgent", "urgent", id="urgent already"),
    ],
)
def test_a_breach_raises_the_priority_one_step_and_tells_managers_and_the_guest(
    before: Priority, after: Priority
) -> None:
    record = _waiting(before)
    due = record.conversation.response_due_at
    promises.fall_due(record, NOW + HOUR)
    (event,) = _sla(record)
    assert event.notification is not None
    assert event.notification.text == "A guest has waited longer than promised"
    assert (event.notification.audience, event.notification.staff_id) == ("managers", None)
    assert record.conversation.priority == after
    assert record.conversation.response_due_at == due, "a broken promise is not made anew"
    assert [(send.message.author, send.message.content) for send in record.sends] == [
        (Author.SYSTEM, RULES.breach_text)
    ]


def test_the_guest_is_told_of_a_breach_once_per_hand_over() -> None:
    record = _waiting()
    promises.fall_due(record, NOW + HOUR)
    transitions.reply(record, a_reply(), NOW + HOUR)
    arrived(record, a_message(), now=NOW + HOUR)
    promises.fall_due(record, NOW + 2 * HOUR)
    assert len(_sla(record)) == 2
    assert _said(record).count(RULES.breach_text) == 1
    transitions.return_to_ai(record, a_command(), NOW + 2 * HOUR)
    transitions.escalate(record, a_command(), NOW + 2 * HOUR)
    promises.fall_due(record, NOW + 3 * HOUR)
    assert len(_sla(record)) == 3
    assert _said(record).count(RULES.breach_text) == 2


@pytest.mark.parametrize(
    ("opted_out", "until", "said"),
    [
        pytest.param(False, None, [RULES.breach_text], id="an open channel"),
        pytest.param(True, None, [], id="opted out"),
        pytest.param(False, NOW, [], id="free text no more"),
    ],
)
def test_a_guest_whose_channel_takes_nothing_is_not_told(
    opted_out: bool, until: datetime | None, said: list[str]
) -> None:
    record = _waiting()
    record.opted_out, record.route.free_text_until = opted_out, until
    promises.fall_due(record, NOW + HOUR)
    assert (len(_sla(record)), _said(record), record.told_of_breach) == (1, said, bool(said))


def test_without_a_promise_nothing_falls_due() -> None:
    record = a_record(ESCALATED, assigned_to="ana")
    promises.fall_due(record, NOW + DAY)
    assert record.outbox == []


def test_an_answer_ends_the_wait() -> None:
    record = _waiting()
    transitions.reply(record, a_reply(), NOW + MINUTE)
    record.outbox = []
    promises.fall_due(record, NOW + DAY)
    assert record.outbox == []


# --- snoozes -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "told"),
    [
        pytest.param(HOUR - A_MOMENT, [], id="just before"),
        pytest.param(HOUR, ["woken", "system"], id="exactly at its end"),
        pytest.param(2 * DAY, ["woken", "system"], id="long after"),
    ],
)
@pytest.mark.parametrize("holder", [None, "ana"])
def test_the_end_of_a_snooze(holder: str | None, after: timedelta, told: list[str]) -> None:
    record = a_record(ESCALATED, assigned_to=holder)
    record.conversation.snoozed_until = LAST
    for _ in range(2):
        promises.fall_due(record, NOW + after)
        assert happened(record) == told, "once"
    assert (record.conversation.snoozed_until is None) == bool(told)
    notices = [event.notification for event in record.outbox if event.notification is not None]
    assert [(each.text, each.staff_id) for each in notices] == (
        [("The snooze of a conversation has ended", holder)] if told else []
    )


# --- closing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "after", "told", "reason"),
    [
        pytest.param(NEW, DAY - A_MOMENT, [], None, id="new, just before"),
        pytest.param(NEW, DAY, ["resolved"], "The guest never wrote", id="new, exactly at the limit"),
        pytest.param(ACTIVE, DAY - A_MOMENT, [], None, id="the AI's, just before"),
        pytest.param(ACTIVE, DAY, ["resolved"], "Nobody has written for a while", id="the AI's, exactly at the limit"),
        pytest.param(ACTIVE, 9 * DAY, ["resolved"], "Nobody has written for a while", id="the AI's, long after"),
        pytest.param(ESCALATED, 30 * DAY - A_MOMENT, [], None, id="a person's, just before"),
        pytest.param(
            ESCALATED,
            30 * DAY,
            ["system", "resolved"],
            "Nothing has happened for 30 days",
            id="a person's, at the limit",
        ),
        pytest.param(RESOLVED, 90 * DAY, [], None, id="a resolved one is closed already"),
    ],
)
def test_closing(state: ConversationState, after: timedelta, told: list[str], reason: str | None) -> None:
    record = a_record(state)
    promises.fall_due(record, NOW + after)
    assert happened(record) == told
    resolution = record.conversation.resolution
    assert (resolution.reason if resolution else None) == reason
    assert record.state is (RESOLVED if told else state)
    if state is ESCALATED and told:
        notice = record.outbox[0].notification
        assert notice is not None
        assert notice.text == "An escalated conversation was closed: nothing has happened for 30 days"
        assert notice.audience == "managers"


def test_an_escalated_conversation_may_be_told_never_to_close() -> None:
    record = a_record(ESCALATED, policy=ConversationPolicy(escalated_timeout=timedelta(0)))
    assert promises.next_deadline(record, NOW) is None
    promises.fall_due(record, NOW + 999 * DAY)
    assert record.state is ESCALATED


def test_half_days_are_told_as_they_are() -> None:
    record = a_record(ESCALATED, policy=ConversationPolicy(escalated_timeout=36 * HOUR))
    promises.fall_due(record, NOW + 36 * HOUR)
    assert record.conversation.resolution is not None
    assert record.conversation.resolution.reason == "Nothing has happened for 1.5 days"


@pytest.mark.parametrize(
    ("escalated_at", "snoozed_until", "expected"),
    [
        pytest.param(LAST, None, LAST + 30 * DAY, id="since it was escalated"),
        pytest.param(None, None, NOW + 30 * DAY, id="nobody knows since when: since it began"),
        pytest.param(NOW, NOW + 40 * DAY, NOW + 70 * DAY, id="since a snooze ends"),
    ],
)
def test_when_an_escalated_conversation_closes(
    escalated_at: datetime | None, snoozed_until: datetime | None, expected: datetime
) -> None:
    record = a_record(ESCALATED)
    record.conversation.escalation = None if escalated_at is None else Escalation(reason="Doubt", at=escalated_at)
    record.conversation.snoozed_until = snoozed_until
    for at in (snoozed_until or NOW, expected - A_MOMENT):
        promises.fall_due(record, at)
        assert record.state is ESCALATED
    promises.fall_due(record, expected)
    assert record.state is RESOLVED


@pytest.mark.parametrize("what", ["unchecked", "unanswered", "unsent"])
def test_a_conversation_that_owes_a_reply_is_not_idle(what: str) -> None:
    record = a_record(looked_up=what != "unchecked")
    arrived(record, a_message())
    if what == "unchecked":
        record.activate("started", NOW)
    if what == "unsent":
        transitions.conclude(record, record.queue, policy.after_answer(RULES, an_answer()), "r-1", NOW)
    assert record.state is ACTIVE
    assert promises.next_deadline(record, NOW) is None
    promises.fall_due(record, NOW + 2 * DAY)
    assert record.state is ACTIVE
