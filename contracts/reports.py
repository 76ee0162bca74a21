"""What reports tell of conversations."""

from datetime import date
from typing import Literal

from contracts.base import Model
from contracts.messages import Author, ChannelType

Grouping = Literal["day", "property", "channel"]


class Durations(Model):
    """In seconds, of those conversations that have the duration; None where none has it."""

    count: int = 0
    average: float | None = None
    median: float | None = None
    p90: float | None = None


class Satisfaction(Model):
    """Ratings of resolved conversations, 1 (bad) to 5 (very good); None where there are none."""

    ratings: int = 0
    average: float | None = None
    satisfied: float | None = None
    """The share of those that are 4 or 5."""


class ReportRow(Model):
    """The figures of one group. What is not grouped by is None.

    `started` counts conversations by when they began, all else by when they were resolved; days are the property's.
    """

    day: date | None = None
    property_id: str | None = None
    channel_type: ChannelType | None = None
    started: int = 0
    resolved: int = 0
    messages: dict[Author, int] = {}
    """Public messages of the resolved conversations, by who wrote them."""
    first_response: Durations = Durations()
    """From the guest's first message to the first answer of the AI or of a person."""
    first_person: Durations = Durations()
    """The same to the first answer of a person."""
    resolution: Durations = Durations()
    """The same to the end."""
    resolved_by_ai: int = 0
    """Resolved conversations that the AI answered and nobody else, and no person was asked for."""
    ai_share: float | None = None
    """`resolvedByAi` of those in which the guest wrote and was answered."""
    handed: int = 0
    """Resolved conversations that a person was asked for, or took."""
    breached: int = 0
    """Of those handed, the ones in which a guest waited longer for a person than promised."""
    sla_kept: float | None = None
    """The share of those handed in which no promise was broken."""
    satisfaction: Satisfaction = Satisfaction()


class ConversationReport(Model):
    """`from` and `to` are days, both included."""

    from_day: date
    to_day: date
    items: list[ReportRow]
