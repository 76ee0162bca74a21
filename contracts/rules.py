"""The rules of a conversation: thresholds, times, opening hours and texts. Given at start, changed by an update."""

from datetime import date, time, timedelta
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, StrictBool, model_validator

from contracts.base import A_DURATION, A_NUMBER, Model
from contracts.guests import Autonomy

Priority = Literal["low", "normal", "high", "urgent"]
Topic = Literal["refund", "complaint", "price_promise", "medical", "safety"]
Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Department = Literal[
    "housekeeping", "maintenance", "concierge", "front_desk", "food_and_beverage", "security", "management"
]
ActionType = Literal["create_task", "request_late_checkout", "notify_staff"]
Approval = Literal["auto", "ask"]

TOPICS: tuple[Topic, ...] = ("refund", "complaint", "price_promise", "medical", "safety")
EMERGENCIES: tuple[Topic, ...] = ("medical", "safety")
"""Topics that go to a person with the highest priority."""


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise ValueError("must be an IANA time zone, such as Europe/Lisbon") from None
    return name


TimeZone = Annotated[str, AfterValidator(_known_zone)]


class Period(Model):
    """A period of one day in local time. If `closes` is 00:00, it lasts until the end of the day."""

    opens: time
    closes: time

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.closes != time(0) and self.closes <= self.opens:
            raise ValueError("closes: must be later than opens; split a period over midnight in two")
        return self


class BusinessHours(Model):
    """When people are there to answer. Weekdays and holidays without periods are closed."""

    time_zone: TimeZone = "UTC"
    weekly: dict[Weekday, list[Period]] = {}
    holidays: dict[date, list[Period]] = {}


YEAR = timedelta(days=365)
"""The longest duration allowed: nobody waits longer, and dates must stay within the calendar."""
UpToAYear = Annotated[timedelta, Field(ge=timedelta(0), le=YEAR), A_DURATION]


class ServiceLevel(Model):
    """How long a guest may wait for a person, counted in business hours."""

    first_response: UpToAYear
    next_response: UpToAYear


class SurveyWords(Model):
    """The rating question and the thanks. None means the standard text of the language."""

    question: str | None = None
    thanks: str | None = None


class SurveyRules(Model):
    """How guests are asked for a rating when a conversation is resolved."""

    window: timedelta = Field(default=timedelta(hours=24), gt=timedelta(0))
    """How long a number from the guest counts as the rating."""
    pause: timedelta = timedelta(days=7)
    """How long a contact is not asked again after having been asked."""
    language: str = "en"
    """For guests whose language is unknown or has no texts."""
    words: dict[str, SurveyWords] = {}
    """Texts by language (ISO 639-1), which override the standard ones."""


class ConversationPolicy(Model):
    """Thresholds, times and texts of one conversation. Workflows read no other configuration."""

    edition: int = Field(default=0, ge=0)
    """The version of the decision logic that a run follows from beginning to end (workflows/editions.py)."""
    escalation_threshold: float = Field(default=0.7, ge=0, le=1)
    ai_timeout: timedelta = timedelta(seconds=30)
    max_retries: int = Field(default=3, ge=0)
    answers_at_once: bool = False
    """Asking the AI involves no network, so the worker that has the conversation does it itself."""
    debounce: timedelta = timedelta(0)
    message_age_limit: timedelta = timedelta(hours=24)
    never_ai: list[Topic] = list(TOPICS)
    autonomy: Autonomy = "auto"
    """The most that the AI may do for any guest. A guest's own setting can only lower it."""
    vip_autonomy: Autonomy = "draft"
    """The same for VIPs, known by the guest's preferences or by a stay in the hotel's system."""
    repeats_to_escalate: int = Field(default=2, ge=1)
    """After the AI has answered a question this many times, asking it again escalates to a person."""
    approvals: dict[ActionType, Approval] = {
        "create_task": "auto",
        "request_late_checkout": "ask",
        "notify_staff": "auto",
    }
    task_due_in: dict[Department, UpToAYear] = {}
    """When tasks that the AI creates are due, in business hours. Those of other departments have no due date."""
    task_reminder_lead: timedelta = timedelta(minutes=30)
    raise_overdue_tasks: bool = True
    """This and `task_reminder_lead` are passed on to tasks that the AI creates."""

    hours: BusinessHours | None = None
    """None: people are always there."""
    service_levels: dict[Priority, ServiceLevel] = {
        "low": ServiceLevel(first_response=timedelta(hours=1), next_response=timedelta(hours=2)),
        "normal": ServiceLevel(first_response=timedelta(minutes=15), next_response=timedelta(minutes=30)),
        "high": ServiceLevel(first_response=timedelta(minutes=10), next_response=timedelta(minutes=15)),
        "urgent": ServiceLevel(first_response=timedelta(minutes=5), next_response=timedelta(minutes=5)),
    }
    idle_timeout: timedelta = timedelta(hours=24)
    escalated_timeout: timedelta = timedelta(days=30)
    """When an idle escalated conversation is closed, which staff are told of. Zero means never."""
    resolved_window: timedelta = timedelta(0)
    summaries: bool = True
    """Whether the AI summarises a conversation when it is escalated and when it is resolved."""
    survey: SurveyRules | None = None
    """None: guests are not asked for ratings."""
    history_limit: int = Field(default=200, ge=20)

    fallback_text: str = (
        "I'm sorry, I can't answer that right now. I've let our team know, and someone will look at your message."
    )
    handover_text: str = "I'm passing your message to our team. Someone will reply to you here shortly."
    emergency_text: str = (
        "I'm alerting our team right now. If anyone is in danger, please also call the local emergency number."
    )
    away_text: str = "Our team is away at the moment and will reply from {back}."
    """`{back}` is when people are back, in the property's time zone."""
    breach_text: str = "I'm sorry that you are still waiting. I've reminded our team of your message."
    task_done_text: str = "Done: {title}."
    late_checkout_text: str = "Our team has confirmed your late check-out."
    no_late_checkout_text: str = "I'm sorry, our team can't offer a late check-out this time."


class PolicyChanges(Model):
    """The rules that may be changed while a conversation runs. None leaves a rule unchanged."""

    escalation_threshold: Annotated[float, Field(ge=0, le=1), A_NUMBER] | None = None
    ai_timeout: Annotated[timedelta, Field(gt=timedelta(0), le=timedelta(minutes=10)), A_DURATION] | None = None
    max_retries: Annotated[int, Field(ge=0, le=20), A_NUMBER] | None = None
    debounce: Annotated[timedelta, Field(ge=timedelta(0), le=timedelta(minutes=1)), A_DURATION] | None = None
    never_ai: list[Topic] | None = None
    autonomy: Autonomy | None = None
    approvals: dict[ActionType, Approval] | None = None
    service_levels: dict[Priority, ServiceLevel] | None = None
    idle_timeout: Annotated[timedelta, Field(ge=timedelta(minutes=1), le=YEAR), A_DURATION] | None = None
    escalated_timeout: UpToAYear | None = None
    resolved_window: UpToAYear | None = None
    summaries: StrictBool | None = None
