"""Business time, row by row: when somebody is there, when next, and how far into it a promise reaches."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest

from contracts.rules import BusinessHours, Period, Weekday
from workflows.hours import HORIZON, WEEKDAYS, after_open_time, is_open, local_time, opens_next

A_MOMENT = timedelta(microseconds=1)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def _periods(*times: str) -> list[Period]:
    """From `09:00-17:30`."""
    return [
        Period(opens=time.fromisoformat(opens), closes=time.fromisoformat(closes))
        for opens, _, closes in (each.partition("-") for each in times)
    ]


def _daily(*times: str, zone: str = "UTC", holidays: dict[date, list[Period]] | None = None) -> BusinessHours:
    weekly: dict[Weekday, list[Period]] = {day: _periods(*times) for day in WEEKDAYS}
    return BusinessHours(time_zone=zone, weekly=weekly, holidays=holidays or {})


def _utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


SPLIT = _daily("08:00-12:00", "14:00-18:00", holidays={date(2026, 3, 3): [], date(2026, 3, 4): _periods("10:00-11:00")})
"""Every day in two periods, but for a holiday on the 3rd and a short day on the 4th."""
EVENING = _daily("18:00-00:00")
OVERLAPPING = _daily("10:00-13:00", "08:00-12:00", "09:00-10:00")
ALWAYS = _daily("00:00-00:00")
WEEKDAYS_ONLY = BusinessHours(
    weekly={"monday": _periods("09:00-17:00"), "tuesday": _periods("09:00-17:00"), "friday": _periods("09:00-17:00")}
)
NEVER = BusinessHours()
LISBON = _daily("00:30-03:30", "09:00-17:00", zone="Europe/Lisbon")
"""Clocks go forward at 01:00 on 29 March 2026, and back at 02:00 on 25 October."""
IN_THE_GAP = _daily("01:00-02:00", "09:00-17:00", zone="Europe/Lisbon")
ACROSS_THE_GAP = _daily("01:30-02:15", "02:00-04:00", zone="Europe/Lisbon")
SYDNEY = _daily("01:30-02:30", "09:00-17:00", zone="Australia/Sydney")
"""Clocks go back at 03:00 on 5 April 2026, and forward at 02:00 on 4 October."""

LOS_ANGELES = _daily("17:00-20:00", zone="America/Los_Angeles")


@pytest.mark.parametrize(
    ("hours", "at", "expected"),
    [
        pytest.param(None, "2026-03-02T03:00", True, id="no hours: always"),
        pytest.param(SPLIT, "2026-03-02T08:00", True, id="exactly when it opens"),
        pytest.param(SPLIT, "2026-03-02T07:59:59.999999", False, id="just before"),
        pytest.param(SPLIT, "2026-03-02T11:59:59.999999", True, id="just before the break"),
        pytest.param(SPLIT, "2026-03-02T12:00", False, id="exactly at the break"),
        pytest.param(SPLIT, "2026-03-02T14:00", True, id="exactly after the break"),
        pytest.param(SPLIT, "2026-03-02T18:00", False, id="exactly when it closes"),
        pytest.param(SPLIT, "2026-03-03T10:00", False, id="a holiday"),
        pytest.param(SPLIT, "2026-03-04T10:00", True, id="a short day"),
        pytest.param(SPLIT, "2026-03-04T11:00", False, id="a short day is over"),
        pytest.param(SPLIT, "2026-03-04T15:00", False, id="a short day has none of the usual periods"),
        pytest.param(EVENING, "2026-03-02T23:59:59.999999", True, id="just before midnight"),
        pytest.param(EVENING, "2026-03-03T00:00", False, id="exactly at midnight"),
        pytest.param(ALWAYS, "2026-03-03T00:00", True, id="all day, at midnight"),
        pytest.param(ALWAYS, "2026-03-03T23:59:59.999999", True, id="all day, at its end"),
        pytest.param(OVERLAPPING, "2026-03-02T12:30", True, id="in the longer of two"),
        pytest.param(OVERLAPPING, "2026-03-02T13:00", False, id="after both of two"),
        pytest.param(NEVER, "2026-03-02T12:00", False, id="never"),
        pytest.param(WEEKDAYS_ONLY, "2026-03-04T12:00", False, id="a day without periods"),
        pytest.param(LISBON, "2026-03-28T09:00", True, id="Lisbon in winter"),
        pytest.param(LISBON, "2026-03-28T08:59:59.999999", False, id="Lisbon in winter, just before"),
        pytest.param(LISBON, "2026-03-30T08:00", True, id="Lisbon in summer opens an hour before"),
        pytest.param(LISBON, "2026-03-30T16:00", False, id="Lisbon in summer closes an hour before"),
        pytest.param(IN_THE_GAP, "2026-03-29T01:00", False, id="a period that clocks pass over"),
        pytest.param(ACROSS_THE_GAP, "2026-03-29T01:20", True, id="a period behind one that clocks cut short"),
        pytest.param(LOS_ANGELES, "2026-03-03T01:30", True, id="Los Angeles, a day behind UTC"),
        pytest.param(LOS_ANGELES, "2026-03-03T00:59:59.999999", False, id="Los Angeles, just before"),
        pytest.param(SYDNEY, "2026-04-03T14:30", True, id="Sydney, a day ahead of UTC"),
        pytest.param(SYDNEY, "2026-04-04T14:30", True, id="Sydney on the night when clocks go back"),
        pytest.param(SYDNEY, "2026-04-04T15:29:59.999999", True, id="Sydney until the first 02:30"),
        pytest.param(SYDNEY, "2026-04-04T15:30", False, id="Sydney at the first 02:30"),
        pytest.param(SYDNEY, "2026-04-04T16:00", False, id="Sydney at the second 02:00"),
    ],
)
def test_is_open(hours: BusinessHours | None, at: str, expected: bool) -> None:
    assert is_open(hours, _utc(at)) is expected
    assert (opens_next(hours, _utc(at)) == _utc(at)) is expected


@pytest.mark.parametrize(
    ("hours", "at", "expected"),
    [
        pytest.param(None, "2026-03-02T03:00", "2026-03-02T03:00", id="no hours: now"),
        pytest.param(SPLIT, "2026-03-02T07:00", "2026-03-02T08:00", id="today"),
        pytest.param(SPLIT, "2026-03-02T09:00", "2026-03-02T09:00", id="open: now"),
        pytest.param(SPLIT, "2026-03-02T12:00", "2026-03-02T14:00", id="in the break"),
        pytest.param(SPLIT, "2026-03-02T18:00", "2026-03-04T10:00", id="over a holiday, to a short day"),
        pytest.param(SPLIT, "2026-03-04T11:00", "2026-03-05T08:00", id="after a short day"),
        pytest.param(EVENING, "2026-03-03T00:00", "2026-03-03T18:00", id="from midnight"),
        pytest.param(OVERLAPPING, "2026-03-02T07:00", "2026-03-02T08:00", id="the earliest, in whatever order"),
        pytest.param(OVERLAPPING, "2026-03-02T11:00", "2026-03-02T11:00", id="in the overlap: now"),
        pytest.param(WEEKDAYS_ONLY, "2026-03-06T17:00", "2026-03-09T09:00", id="over a weekend"),
        pytest.param(WEEKDAYS_ONLY, "2026-03-03T17:00", "2026-03-06T09:00", id="to Friday"),
        pytest.param(NEVER, "2026-03-02T12:00", None, id="never"),
        pytest.param(LISBON, "2026-03-28T18:00", "2026-03-29T00:30", id="into the night of the change"),
        pytest.param(LISBON, "2026-03-29T02:30", "2026-03-29T08:00", id="after the change, by summer time"),
        pytest.param(LISBON, "2026-10-25T03:30", "2026-10-25T09:00", id="after the change back, by winter time"),
        pytest.param(IN_THE_GAP, "2026-03-28T18:00", "2026-03-29T08:00", id="not to a period that clocks pass over"),
        pytest.param(ACROSS_THE_GAP, "2026-03-29T00:00", "2026-03-29T01:00", id="not to what clocks cut away"),
        pytest.param(SYDNEY, "2026-04-04T15:30", "2026-04-04T23:00", id="Sydney after clocks went back"),
        pytest.param(SYDNEY, "2026-10-03T07:00", "2026-10-03T15:30", id="Sydney, 01:30 before clocks go forward"),
        pytest.param(SYDNEY, "2026-10-04T06:00", "2026-10-04T14:30", id="Sydney, the night after"),
    ],
)
def test_opens_next(hours: BusinessHours | None, at: str, expected: str | None) -> None:
    opens = opens_next(hours, _utc(at))
    assert opens == (None if expected is None else _utc(expected))
    assert opens is None or opens.tzinfo is UTC


@pytest.mark.parametrize(
    ("hours", "start", "amount", "expected"),
    [
        pytest.param(None, "2026-03-02T23:50", HOUR, "2026-03-03T00:50", id="no hours: by the clock"),
        pytest.param(SPLIT, "2026-03-02T09:00", timedelta(0), "2026-03-02T09:00", id="nothing, while open"),
        pytest.param(SPLIT, "2026-03-02T07:00", timedelta(0), "2026-03-02T08:00", id="nothing, while closed"),
        pytest.param(SPLIT, "2026-03-02T12:00", timedelta(0), "2026-03-02T14:00", id="nothing, exactly at the break"),
        pytest.param(SPLIT, "2026-03-02T09:00", HOUR, "2026-03-02T10:00", id="within a period"),
        pytest.param(SPLIT, "2026-03-02T07:00", HOUR, "2026-03-02T09:00", id="begun before it opens"),
        pytest.param(SPLIT, "2026-03-02T11:00", HOUR, "2026-03-02T12:00", id="to the very end of a period"),
        pytest.param(
            SPLIT, "2026-03-02T11:00", HOUR + A_MOMENT, "2026-03-02T14:00:00.000001", id="a moment over the break"
        ),
        pytest.param(
            SPLIT, "2026-03-02T11:00", HOUR - A_MOMENT, "2026-03-02T11:59:59.999999", id="a moment before the break"
        ),
        pytest.param(SPLIT, "2026-03-02T12:00", HOUR, "2026-03-02T15:00", id="begun exactly at the break"),
        pytest.param(SPLIT, "2026-03-02T17:30", HOUR, "2026-03-04T10:30", id="over a holiday, into a short day"),
        pytest.param(SPLIT, "2026-03-02T17:30", 2 * HOUR, "2026-03-05T08:30", id="over a holiday and a short day"),
        pytest.param(EVENING, "2026-03-02T23:30", HOUR, "2026-03-03T18:30", id="over midnight, closed after it"),
        pytest.param(ALWAYS, "2026-03-02T23:30", HOUR, "2026-03-03T00:30", id="over midnight, open after it"),
        pytest.param(ALWAYS, "2026-03-02T00:00", 40 * DAY, "2026-04-11T00:00", id="weeks, always open"),
        pytest.param(OVERLAPPING, "2026-03-02T07:00", 5 * HOUR, "2026-03-02T13:00", id="overlaps count once"),
        pytest.param(OVERLAPPING, "2026-03-02T07:00", 6 * HOUR, "2026-03-03T09:00", id="overlaps, and the next day"),
        pytest.param(OVERLAPPING, "2026-03-02T09:30", 3 * HOUR, "2026-03-02T12:30", id="begun where three overlap"),
        pytest.param(WEEKDAYS_ONLY, "2026-03-06T16:00", 2 * HOUR, "2026-03-09T10:00", id="over a weekend"),
        pytest.param(NEVER, "2026-03-02T12:00", MINUTE, None, id="never"),
        pytest.param(LISBON, "2026-03-28T16:30", HOUR, "2026-03-29T01:00", id="to the very change"),
        pytest.param(LISBON, "2026-03-29T00:30", 2 * HOUR, "2026-03-29T02:30", id="a night that is an hour short"),
        pytest.param(LISBON, "2026-03-29T00:30", 2 * HOUR + MINUTE, "2026-03-29T08:01", id="and on in the morning"),
        pytest.param(LISBON, "2026-10-24T23:30", 4 * HOUR, "2026-10-25T03:30", id="a night that is an hour long"),
        pytest.param(LISBON, "2026-10-24T23:30", 4 * HOUR + MINUTE, "2026-10-25T09:01", id="and on by winter time"),
        pytest.param(IN_THE_GAP, "2026-03-28T16:00", 2 * HOUR, "2026-03-29T09:00", id="what clocks pass over is none"),
        pytest.param(
            ACROSS_THE_GAP, "2026-03-28T05:00", HOUR, "2026-03-29T02:00", id="what clocks cut short counts as it is"
        ),
        pytest.param(SYDNEY, "2026-04-04T07:00", HOUR, "2026-04-04T15:30", id="Sydney: one 02:00 to 02:30 of two"),
        pytest.param(SYDNEY, "2026-04-04T07:00", HOUR + MINUTE, "2026-04-04T23:01", id="Sydney: and on by winter time"),
        pytest.param(SYDNEY, "2026-10-03T07:00", HOUR, "2026-10-03T16:30", id="Sydney: to a 02:30 that no clock shows"),
        pytest.param(SYDNEY, "2026-10-03T07:00", HOUR + MINUTE, "2026-10-03T22:01", id="Sydney: and on by summer time"),
    ],
)
def test_after_open_time(hours: BusinessHours | None, start: str, amount: timedelta, expected: str | None) -> None:
    assert after_open_time(hours, _utc(start), amount) == (None if expected is None else _utc(expected))


def _only_on(day: date) -> BusinessHours:
    return BusinessHours(holidays={day: _periods("09:00-10:00")})


@pytest.mark.parametrize(
    ("days", "found"),
    [
        pytest.param(0, True, id="on the last day that is looked at"),
        pytest.param(1, False, id="a day later"),
    ],
)
def test_who_does_not_open_within_the_horizon_never_opens(days: int, found: bool) -> None:
    start = _utc("2026-03-02T12:00")
    opens = _utc("2026-03-02T09:00") + HORIZON + days * DAY
    hours = _only_on(opens.date())
    assert opens_next(hours, start) == (opens if found else None)
    assert after_open_time(hours, start, MINUTE) == (opens + MINUTE if found else None)


def test_a_promise_may_reach_as_far_as_the_horizon_and_no_further() -> None:
    hours, start = _daily("09:00-10:00"), _utc("2026-03-02T12:00")
    assert after_open_time(hours, start, 400 * HOUR) == _utc("2026-03-02T10:00") + HORIZON
    assert after_open_time(hours, start, 400 * HOUR + A_MOMENT) is None


def test_the_moment_need_not_be_given_in_utc() -> None:
    at = datetime(2026, 3, 30, 9, tzinfo=ZoneInfo("Europe/Lisbon"))
    assert is_open(LISBON, at)
    assert not is_open(LISBON, at - A_MOMENT)


@pytest.mark.parametrize(
    ("hours", "at", "shown"),
    [
        pytest.param(None, "2026-07-01T12:00", "12:00 UTC", id="no hours"),
        pytest.param(LISBON, "2026-07-01T12:00", "13:00 WEST", id="Lisbon in summer"),
        pytest.param(LISBON, "2026-12-01T12:00", "12:00 WET", id="Lisbon in winter"),
        pytest.param(SYDNEY, "2026-07-01T12:00", "22:00 AEST", id="Sydney in its winter"),
        pytest.param(SYDNEY, "2026-12-01T12:00", "23:00 AEDT", id="Sydney in its summer"),
    ],
)
def test_local_time(hours: BusinessHours | None, at: str, shown: str) -> None:
    assert f"{local_time(hours, _utc(at)):%H:%M %Z}" == shown
