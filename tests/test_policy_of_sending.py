"""Decisions about trying again, row by row."""

from datetime import timedelta

import pytest

from contracts.conversations import ConversationState
from contracts.events import SendResult
from contracts.rules import ConversationPolicy
from tests.records import NOW, a_record, a_reply, a_result
from workflows import policy, transitions
from workflows.owed import PendingSend
from workflows.policy import SendVerdict

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
