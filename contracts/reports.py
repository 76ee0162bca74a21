"""Reports on conversations."""

from datetime import date
from typing import Literal

from contracts.base import Model
from contracts.messages import Author, ChannelType

Grouping = Literal["day", "property", "channel"]


class Durations(Model):
    """Statistics in seconds, over the conversations that have this duration; None if none has."""

    count: int = 0
    average: float | None = None
    median: float | None = None
    p90: float | None = None


class Satisfaction(Model):
    """Ratings of resolved conversations, from 1 (bad) to 5 (very good); None if there are none."""

    ratings: int = 0
    average: float | None = None
    satisfied: float | None = None
    """The share of ratings that are 4 or 5."""


class ReportRow(Model):
    """The figures of one group. Fields that are not grouped by are None.

    `started` counts conversations by when they began, everything else by when they were resolved. Days are in the
    property's time zone.
    """

    day: date | None = None
    property_id: str | None = None
    channel_type: ChannelType | None = None
    started: int = 0
    resolved: int = 0
    messages: dict[Author, int] = {}
    """Public messages of the resolved conversations, by author."""
    first_response: Durations = Durations()
    """From the guest's first message to the first answer by the AI or a person."""
    first_person: Durations = Durations()
    """From the guest's first message to the first answer by a person."""
    resolution: Durations = Durations()
    """From the guest's first message to the resolution."""
    resolved_by_ai: int = 0
    """Resolved conversations answered by the AI alone and never escalated."""
    ai_share: float | None = None
    """`resolvedByAi` as a share of those in which the guest wrote and was answered."""
    handed: int = 0
    """Resolved conversations that were escalated to, or taken over by, a person."""
    breached: int = 0
    """Those of `handed` in which a guest waited longer for a person than the service level allows."""
    sla_kept: float | None = None
    """The share of `handed` in which the service level was kept."""
    satisfaction: Satisfaction = Satisfaction()


class ConversationReport(Model):
    """A report on the days from `from` to `to`, both included."""

    from_day: date
    to_day: date
    items: list[ReportRow]
