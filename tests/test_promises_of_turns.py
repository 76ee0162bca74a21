"""Time around a turn, row by row: bursts, windows, messages that are forgotten, and words while nobody is there."""

from datetime import datetime, time, timedelta
from typing import get_args

import pytest

from contracts.conversations import ConversationState
from contracts.rules import BusinessHours, ConversationPolicy, Period, Weekday
from tests.records import NOW, a_command, a_message, a_record, arrived
from workflows import editions, promises, transitions

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
A_MOMENT = timedelta(microseconds=1)
SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
EVENING = NOW + 6 * HOUR


def _office(zone: str = "Europe/Lisbon") -> BusinessHours:
    """Every day from nine to five. NOW is a Sunday at 12:00 UTC."""
    weekly = {day: [Period(opens=time(9), closes=time(17))] for day in get_args(Weekday)}
    return BusinessHours(time_zone=zone, weekly=weekly)


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
    assert promises.window_is_over(record, NOW + after) is expected


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
    assert promises.debounce_left(record.policy, record.queue, NOW + now * SECOND) == expected * SECOND


@pytest.mark.parametrize(
    ("looked_up", "after", "expected"),
    [
        pytest.param(True, 3 * MINUTE + 10 * SECOND, [], id="exactly as long as a turn may take"),
        pytest.param(True, 3 * MINUTE + 10 * SECOND + A_MOMENT, ["g-1"], id="a moment longer"),
        pytest.param(False, 3 * MINUTE + 10 * SECOND, [], id="not looked up, in time"),
        pytest.param(False, 3 * MINUTE + 10 * SECOND + A_MOMENT, ["g-1"], id="not looked up, a moment longer"),
        pytest.param(True, 5 * MINUTE + A_MOMENT, ["g-1"], id="one of two"),
    ],
)
def test_unsettled(looked_up: bool, after: timedelta, expected: list[str]) -> None:
    """Five debounces of 2 s, four answers of 30 s, and a minute."""
    record = a_record(looked_up=looked_up, policy=ConversationPolicy(debounce=2 * SECOND))
    arrived(record, a_message("g-1"), a_message("g-2", received_at=NOW + 2 * MINUTE))
    assert promises.unsettled(record, NOW + after) == expected


def test_what_staff_returned_counts_from_then() -> None:
    record = a_record(ESCALATED, assigned_to="ana", policy=ConversationPolicy(edition=editions.NEWEST))
    arrived(record, a_message())
    transitions.return_to_ai(record, a_command(), NOW + DAY)
    assert promises.unsettled(record, NOW + DAY) == []
    assert promises.unsettled(record, NOW + 2 * DAY) == ["g-1"]


def test_what_is_settled_is_not_unsettled() -> None:
    record = a_record(ESCALATED)
    arrived(record, a_message())
    assert promises.unsettled(record, NOW + DAY) == []


@pytest.mark.parametrize(
    ("hours", "at", "words"),
    [
        pytest.param(None, NOW, None, id="no hours: always there"),
        pytest.param(_office(), NOW, None, id="there"),
        pytest.param(_office(), NOW + 5 * HOUR - A_MOMENT, None, id="just before closing"),
        pytest.param(_office(), NOW + 5 * HOUR, "Monday, 02 March, 09:00", id="exactly at closing"),
        pytest.param(_office("Atlantic/Azores"), EVENING, "Monday, 02 March, 09:00", id="an hour behind"),
        pytest.param(_office("Asia/Tokyo"), NOW, "Monday, 02 March, 09:00", id="in the evening of Tokyo"),
        pytest.param(
            _office(), datetime.fromisoformat("2026-03-29T06:00Z"), "Sunday, 29 March, 09:00", id="the day of a change"
        ),
        pytest.param(BusinessHours(), NOW, None, id="never there: no promise"),
    ],
)
def test_away_words(hours: BusinessHours | None, at: datetime, words: str | None) -> None:
    record = a_record(ESCALATED, policy=ConversationPolicy(hours=hours))
    told = None if words is None else f"Our team is away at the moment and will reply from {words}."
    assert promises.away_words(record, at) == told
    assert promises.away_words(record, at) is None, "told once"
    assert promises.away_words(record, at, again=True) == told


def test_away_words_are_told_once_until_somebody_is_back() -> None:
    record = a_record(ESCALATED, policy=ConversationPolicy(hours=_office(), away_text="Back at {back}"))
    assert promises.away_words(record, EVENING) == "Back at Monday, 02 March, 09:00"
    back = NOW + 21 * HOUR
    assert record.told_away_until == back
    assert promises.away_words(record, back - A_MOMENT) is None
    assert promises.away_words(record, back) is None, "somebody is there"
    assert promises.away_words(record, EVENING + DAY) == "Back at Tuesday, 03 March, 09:00"


def test_who_was_told_another_time_is_told_anew_from_then_on() -> None:
    record = a_record(ESCALATED, policy=ConversationPolicy(hours=_office(), away_text="Back at {back}"))
    record.told_away_until = EVENING
    assert promises.away_words(record, EVENING - A_MOMENT) is None
    assert promises.away_words(record, EVENING) == "Back at Monday, 02 March, 09:00"


def test_away_words_need_not_say_when() -> None:
    record = a_record(ESCALATED, policy=ConversationPolicy(hours=_office(), away_text="{nobody} is here"))
    assert promises.away_words(record, EVENING) == "{nobody} is here"
