"""The hotels."""

import re
from datetime import date, time
from typing import Annotated, get_args

from pydantic import BeforeValidator, Field

from contracts.guests import Autonomy
from contracts.rules import ActionType, Approval, Department, Period, Priority, TimeZone, Topic, Weekday
from settings.channels import PropertyChannels
from settings.conversations import Ai, Survey
from settings.section import Milliseconds, Section

_CLOCK = re.compile(r"([01]\d|2[0-3]):[0-5]\d(:[0-5]\d)?")


def _by_the_clock(period: object) -> object:
    """Refuses times without quotes: YAML reads 10:00 as the number 600, which would be ten minutes past midnight."""
    for name, at in period.items() if isinstance(period, dict) else ():
        if not isinstance(at, time) and not (isinstance(at, str) and _CLOCK.fullmatch(at)):
            raise ValueError(f'{name}: must be a time of day, in quotes, such as "08:00"')
    return period


OpenPeriod = Annotated[Period, BeforeValidator(_by_the_clock)]


class Hours(Section):
    """When people are there to answer, in the property's time zone. A day without periods is closed."""

    weekly: dict[Weekday, list[OpenPeriod]] = {}
    holidays: dict[date, list[OpenPeriod]] = {}


class ServiceLevels(Section):
    """How long a guest may wait for a person, counted in business hours."""

    first_response: Milliseconds
    next_response: Milliseconds


class Texts(Section):
    """Texts sent to guests. Unset ones keep their defaults."""

    fallback_text: str | None = None
    handover_text: str | None = None
    emergency_text: str | None = None
    away_text: str | None = None
    breach_text: str | None = None
    task_done_text: str | None = None
    late_checkout_text: str | None = None
    no_late_checkout_text: str | None = None


def _for_every_department(value: object) -> object:
    """Lets a single number stand for every department."""
    return dict.fromkeys(get_args(Department), value) if isinstance(value, int | str) else value


class Property(Section):
    """One hotel. Its `channels` override the shared ones key by key."""

    name: str
    time_zone: TimeZone = "UTC"
    knowledge: str | None = None
    """A folder of articles. If unset, the one shipped under the property's id, if any."""
    hours: Hours | None = None
    """If unset, people are always there."""
    service_levels: dict[Priority, ServiceLevels] | None = None
    never_ai: list[Topic] | None = None
    autonomy: Autonomy | None = None
    vip_autonomy: Autonomy | None = None
    repeats_to_escalate: int | None = Field(default=None, ge=1)
    approvals: dict[ActionType, Approval] | None = None
    task_due_in: Annotated[dict[Department, Milliseconds], BeforeValidator(_for_every_department)] = {}
    """Overrides `tasks.dueIn`, by department or with one number for all."""
    texts: Texts = Texts()
    channels: PropertyChannels = PropertyChannels()
    survey: Survey = Survey()
    """Overrides `conversation.survey` key by key."""
    ai: Ai = Ai()
    """Overrides `ai` key by key."""
