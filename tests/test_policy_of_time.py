"""Decisions about trying again, waiting and closing, row by row; and what operators read of it."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.conversations import ConversationState, Outcome
from contracts.events import SendResult
from contracts.rules import ConversationPolicy
from tests.records import BEN, CONVERSATION_ID, NOW, a_message, a_record, a_reply, a_result, an_answer, arrived
from workflows import policy, transitions
from workflows.policy import SendVerdict
from workflows.record import PendingSend, Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
A_MOMENT = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
RULES = ConversationPolicy()

# --- sending -----------------------------------------------------------------------------------------------------


def _pending(attempts: int, *, since: timedelta | None = timedelta(0), told_staff: bool = False) -> PendingSend:
    record = a_record(ESCALATED)
    pending = PendingSend(message=transitions.reply(record, a_reply(), NOW), attempts=attempts, told_staff=told_staff)
    pending.first_attempt_at = None if since is None else NOW - since
    return pending


def _again(seconds: float, *, tell_staff: bool = False) -> SendVerdict:
    return SendVerdict(again_at=NOW + timedelta(seconds=seconds), tell_staff=tell_staff)


def _given_up(attempts: int) -> SendVerdict:
    return SendVerdict(failed=f"given up after {attempts} tries: busy", tell_staff=True)


RETRY = a_result("s-1", "retry", reason="busy")
GIVES_UP = policy.SEND_GIVES_UP_AFTER


@pytest.mark.parametrize(
    ("pending", "result", "expected"),
    [
        pytest.param(_pending(1), a_result("s-1"), SendVerdict(done=True), id="sent"),
        pytest.param(_pending(9, since=GIVES_UP), a_result("s-1"), SendVerdict(done=True), id="sent at the last try"),
        pytest.param(
            _pending(1),
            a_result("s-1", "failed", reason="opted out"),
            SendVerdict(failed="opted out", tell_staff=True),
            id="refused for good",
        ),
        pytest.param(
            _pending(1),
            a_result("s-1", "failed"),
            SendVerdict(failed="the channel gave no reason", tell_staff=True),
            id="refused without a word",
        ),
        pytest.param(_pending(1), RETRY, _again(1), id="the first try"),
        pytest.param(_pending(1, since=None), RETRY, _again(1), id="a first try whose time is not known"),
        pytest.param(_pending(2), RETRY, _again(2), id="the second try"),
        pytest.param(_pending(3), RETRY, _again(4), id="as many tries as retries are quiet"),
        pytest.param(_pending(4), RETRY, _again(8, tell_staff=True), id="one try more is told"),
        pytest.param(_pending(5, told_staff=True), RETRY, _again(16), id="told once only"),
        pytest.param(_pending(6, told_staff=True), RETRY, _again(32), id="just below the longest wait"),
        pytest.param(_pending(7, told_staff=True), RETRY, _again(60), id="the longest wait"),
        pytest.param(_pending(999, told_staff=True), RETRY, _again(60), id="very many tries"),
        pytest.param(_pending(7, since=GIVES_UP - A_MOMENT), RETRY, _again(60, tell_staff=True), id="just in time"),
        pytest.param(_pending(7, since=GIVES_UP), RETRY, _given_up(7), id="exactly when it gives up"),
        pytest.param(_pending(7, since=GIVES_UP, told_staff=True), RETRY, _given_up(7), id="giving up is told again"),
        pytest.param(_pending(3), a_result("s-1", "retry", retry_after=1), _again(4), id="asks for less than we wait"),
        pytest.param(_pending(3), a_result("s-1", "retry", retry_after=5), _again(5), id="asks for more"),
        pytest.param(_pending(3), a_result("s-1", "retry", retry_after=0), _again(4), id="asks for nothing"),
        pytest.param(_pending(3), a_result("s-1", "retry", retry_after=86400), _again(900), id="asks for a day"),
        pytest.param(_pending(3), a_result("s-1", "retry", retry_after=1e300), _again(900), id="asks for ever"),
        pytest.param(
            _pending(3), a_result("s-1", "retry", retry_after=float("inf")), _again(900), id="asks for infinity"
        ),
    ],
)
def test_after_attempt(pending: PendingSend, result: SendResult, expected: SendVerdict) -> None:
    assert policy.after_attempt(pending, result, RULES, NOW) == expected


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        pytest.param(1, 1, id="the first failure"),
        pytest.param(2, 2, id="the second"),
        pytest.param(5, 16, id="the last below the longest"),
        pytest.param(6, 30, id="the longest"),
        pytest.param(10_000, 30, id="an outage of days"),
    ],
)
def test_storage_backoff(failures: int, seconds: int) -> None:
    assert policy.storage_backoff(failures) == timedelta(seconds=seconds)


# --- time --------------------------------------------------------------------------------------------------------

DAY = timedelta(hours=24)
LAST = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("state", "last_message_at", "active_since", "resolved_at", "expected"),
    [
        pytest.param(NEW, None, None, None, None, id="new"),
        pytest.param(ACTIVE, None, None, None, NOW + DAY, id="active, nothing said"),
        pytest.param(ACTIVE, LAST, NOW, None, LAST + DAY, id="active, something said"),
        pytest.param(ACTIVE, NOW, LAST, None, LAST + DAY, id="returned since"),
        pytest.param(ESCALATED, LAST, LAST, None, None, id="a person's: waits for them"),
        pytest.param(RESOLVED, LAST, LAST, LAST, LAST + 5 * MINUTE, id="resolved: its window"),
        pytest.param(RESOLVED, LAST, LAST, None, NOW + 5 * MINUTE, id="resolved, nobody knows when"),
    ],
)
def test_next_deadline(
    state: ConversationState,
    last_message_at: datetime | None,
    active_since: datetime | None,
    resolved_at: datetime | None,
    expected: datetime | None,
) -> None:
    record = a_record(state, policy=ConversationPolicy(resolved_window=5 * MINUTE))
    record.conversation.last_message_at = last_message_at
    record.conversation.resolved_at = resolved_at
    record.active_since = active_since
    assert policy.next_deadline(record) == expected


@pytest.mark.parametrize(
    ("state", "after", "expected"),
    [
        pytest.param(ACTIVE, DAY - A_MOMENT, False, id="just before"),
        pytest.param(ACTIVE, DAY, True, id="exactly at the time-out"),
        pytest.param(ACTIVE, 2 * DAY, True, id="long after"),
        pytest.param(NEW, 2 * DAY, False, id="a new one does not close"),
        pytest.param(ESCALATED, 2 * DAY, False, id="a person's does not close"),
        pytest.param(RESOLVED, 2 * DAY, False, id="a resolved one is closed already"),
    ],
)
def test_is_idle(state: ConversationState, after: timedelta, expected: bool) -> None:
    assert policy.is_idle(a_record(state), NOW + after) is expected


def _waiting(what: str) -> Record:
    record = a_record(looked_up=what != "unchecked")
    arrived(record, a_message())
    if what == "unchecked":
        record.activate("started", NOW)
    if what == "unsent":
        transitions.conclude(record, record.queue, policy.after_answer(RULES, an_answer()), "r-1", NOW)
    return record


@pytest.mark.parametrize("what", ["unchecked", "unanswered", "unsent"])
def test_a_conversation_that_owes_a_reply_is_not_idle(what: str) -> None:
    record = _waiting(what)
    assert record.state is ACTIVE
    assert not policy.is_idle(record, NOW + 2 * DAY)


@pytest.mark.parametrize(
    ("window", "after", "expected"),
    [
        pytest.param(timedelta(0), timedelta(0), True, id="no window"),
        pytest.param(MINUTE, MINUTE - A_MOMENT, False, id="just before its end"),
        pytest.param(MINUTE, MINUTE, True, id="exactly at its end"),
    ],
)
def test_window_is_over(window: timedelta, after: timedelta, expected: bool) -> None:
    record = a_record(RESOLVED, policy=ConversationPolicy(resolved_window=window))
    assert policy.window_is_over(record, NOW + after) is expected


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("debounce", "written_at", "now", "expected"),
    [
        pytest.param(2, [], 0, 0, id="nobody waits"),
        pytest.param(0, [0], 0, 0, id="no debounce"),
        pytest.param(2, [0], 0, 2, id="just written"),
        pytest.param(2, [0], 1, 1, id="half over"),
        pytest.param(2, [0], 2, 0, id="exactly over"),
        pytest.param(2, [0], 3, -1, id="over since a second"),
        pytest.param(2, [0, 1], 1, 2, id="a second message begins it anew"),
        pytest.param(2, [0, 2, 4, 6, 8], 8, 2, id="the last full one"),
        pytest.param(2, [0, 2, 4, 6, 8, 9], 9, 1, id="cut at five since the oldest"),
        pytest.param(2, [0, 2, 4, 6, 8, 10], 10, 0, id="not for ever"),
    ],
)
def test_debounce_left(debounce: int, written_at: list[int], now: int, expected: int) -> None:
    record = a_record(policy=ConversationPolicy(debounce=debounce * SECOND))
    for at in written_at:
        arrived(record, a_message(f"g-{at}"), now=NOW + at * SECOND)
    assert policy.debounce_left(record, NOW + now * SECOND) == expected * SECOND


# --- details -----------------------------------------------------------------------------------------------------


def test_details_of_a_new_conversation() -> None:
    assert policy.details(a_record()).splitlines() == [
        "**NEW** · hotel · webchat",
        f"- Conversation: `{CONVERSATION_ID}`",
        "- Owner: nobody",
    ]


def test_details_of_a_conversation_that_waits() -> None:
    record = a_record()
    arrived(record, a_message())
    assert policy.details(record).splitlines()[2:] == [
        "- Owner: the AI",
        "- Waits for the AI: 1 message(s)",
        "- Not stored yet: 2 event(s)",
        "- Closes: 2026-03-02 12:00 UTC, if nothing happens",
    ]


def test_details_of_a_conversation_with_a_person() -> None:
    record = a_record()
    arrived(record, a_message())
    record.escalate("Doubt", NOW)
    assert "- Owner: nobody yet" in policy.details(record)
    transitions.reply(record, a_reply(by=BEN), NOW)
    transitions.attempt(record, record.sends[0], NOW)
    assert policy.details(record).splitlines()[2:] == [
        "- Owner: ben",
        "- Escalated: 2026-03-01 12:00 UTC",
        "- Waits to be sent: 1 message(s), 1 attempt(s)",
        f"- Not stored yet: {record.conversation.seq} event(s)",
    ]


def test_details_of_a_stored_conversation_say_nothing_of_storage() -> None:
    record = a_record(RESOLVED)
    record.settle(Outcome(message_id="g-1", outcome="handed", reason="Doubt", at=NOW))
    assert "- Not stored yet: 0 event(s)" in policy.details(record)
    record.stored(record.publication())
    assert policy.details(record).splitlines()[2:] == [
        "- Owner: nobody",
        "- Closes: 2026-03-01 12:00 UTC, if nothing happens",
    ]


def test_details_hold_nothing_of_the_guest() -> None:
    record = a_record()
    record.route.sender_id = "+351900000000"
    arrived(record, a_message(content="A secret wish", guest_name="Rosa Mota"))
    record.escalate("Doubt", datetime(2026, 3, 1, tzinfo=UTC))
    shown = policy.details(record)
    assert not any(word in shown for word in ("secret", "Rosa", "Mota", "351900000000", "visitor"))
