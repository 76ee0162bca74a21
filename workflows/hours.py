"""Business hours: when people are there, and when a span of business time ends. Pure.

Time-zone rules come from the pinned tzdata package and not from the machine, so that replays agree everywhere.
"""

import zoneinfo
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from typing import get_args

from contracts.rules import BusinessHours, Period, Weekday

zoneinfo.reset_tzpath(to=[])

WEEKDAYS: tuple[Weekday, ...] = get_args(Weekday)
HORIZON = timedelta(days=400)
"""Hours that do not open within this time are taken never to open."""


def is_open(hours: BusinessHours | None, at: datetime) -> bool:
    """Whether people are there."""
    if hours is None:
        return True
    return any(opens <= at < closes for opens, closes in _periods(hours, at, at))


def opens_next(hours: BusinessHours | None, at: datetime) -> datetime | None:
    """When people are there next; `at` itself if they are there now, None if never."""
    if hours is None:
        return at
    return next((max(opens, at) for opens, closes in _periods(hours, at, at + HORIZON) if closes > at), None)


def after_open_time(hours: BusinessHours | None, start: datetime, amount: timedelta) -> datetime | None:
    """When `amount` of business time will have passed since `start`; None if never."""
    if hours is None:
        return start + amount
    left, counted_to = amount, start
    for opens, closes in _periods(hours, start, start + HORIZON):
        begins = max(opens, counted_to)
        if begins >= closes:
            continue  # before the start, or already counted in an overlapping period
        if closes - begins >= left:
            return begins + left
        left -= closes - begins
        counted_to = closes
    return None


def local_time(hours: BusinessHours | None, at: datetime) -> datetime:
    """The moment in the property's local time."""
    return at if hours is None else at.astimezone(zoneinfo.ZoneInfo(hours.time_zone))


def _periods(hours: BusinessHours, start: datetime, end: datetime) -> Iterator[tuple[datetime, datetime]]:
    """The open periods of every local day from `start` to `end`, in order, in UTC."""
    zone = zoneinfo.ZoneInfo(hours.time_zone)
    day, last = start.astimezone(zone).date(), end.astimezone(zone).date()
    while day <= last:
        moments = [
            (_moment(day, each.opens, zone), _moment(_day_of_closing(day, each), each.closes, zone))
            for each in _of_day(hours, day)
        ]
        # A period that clocks skip when they go forward is empty.
        yield from sorted((opens, closes) for opens, closes in moments if opens < closes)
        day += timedelta(days=1)


def _of_day(hours: BusinessHours, day: date) -> list[Period]:
    if day in hours.holidays:
        return hours.holidays[day]
    return hours.weekly.get(WEEKDAYS[day.weekday()], [])


def _day_of_closing(day: date, period: Period) -> date:
    return day + timedelta(days=1) if period.closes == time(0) else day


def _moment(day: date, at: time, zone: zoneinfo.ZoneInfo) -> datetime:
    """A local time in UTC. A skipped time is read as if clocks had not changed; of a repeated one the first counts."""
    return datetime.combine(day, at, zone).astimezone(UTC)
