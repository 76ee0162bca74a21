"""Automations: rules that carry out actions when something happens at a property and their conditions hold."""

import hashlib
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Discriminator, Field, StrictBool, StringConstraints, Tag

from contracts.base import A_DURATION, Body, Model, NotBlank, Timestamp
from contracts.commands import Actor
from contracts.conversations import Conversation, ConversationState
from contracts.events import Audience
from contracts.messages import Author, ChannelType, GivenTemplate
from contracts.names import CONTENT_LIMIT
from contracts.property_events import EventPattern, PropertyEvent
from contracts.rules import YEAR, Department, Priority
from contracts.tasks import Task

AUTOMATION: Final = Actor(id="automation", name="Automation")
"""The actor of everything that rules do."""
OWN_IDS: Final = "auto-"
"""Prefix of the ids of tasks and messages that automations create."""

RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Word = Annotated[NotBlank, StringConstraints(max_length=100)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ActionOutcome = Literal["done", "refused", "failed"]


class Conditions(Body):
    """All conditions that are set must hold. A list must contain the actual value; an unknown value never matches."""

    channels: Annotated[list[ChannelType], Field(min_length=1)] | None = None
    languages: (
        Annotated[list[Word], Field(min_length=1, max_length=50, description="The guest's language, such as `pt`.")]
        | None
    ) = None
    priorities: Annotated[list[Priority], Field(min_length=1)] | None = None
    intents: Annotated[list[Word], Field(min_length=1, max_length=100)] | None = None
    states: Annotated[list[ConversationState], Field(min_length=1)] | None = None
    departments: Annotated[list[Department], Field(min_length=1, description="The department of the task.")] | None = (
        None
    )
    business_hours: Annotated[
        Literal["open", "closed"] | None, Field(description="Whether the event happened within business hours.")
    ] = None


class CreateTask(Body):
    type: Literal["create_task"]
    department: Department
    title: Annotated[NotBlank, StringConstraints(max_length=200)]
    description: Annotated[str, Field(max_length=4096)] = ""
    priority: Priority = "normal"
    due_in: Annotated[
        Annotated[timedelta, Field(gt=timedelta(0), le=YEAR), A_DURATION] | None,
        Field(description="How long after the event the task is due, such as `PT2H`."),
    ] = None
    assigned_to: Annotated[Reference | None, Field(description="A staff id.")] = None


class NotifyStaff(Body):
    type: Literal["notify_staff"]
    text: Annotated[NotBlank, StringConstraints(max_length=500)]
    audience: Audience = "everyone"
    staff_id: Annotated[Reference | None, Field(description="The only person to notify.")] = None


class SetPriority(Body):
    """Sets the priority of the event's task or, if it has none, of its conversation."""

    type: Literal["set_priority"]
    priority: Priority


class AssignTo(Body):
    """Assigns the event's task or, if it has none, its conversation."""

    type: Literal["assign"]
    staff_id: Reference


class CallWebhook(Body):
    """Sends `automation.fired` to an endpoint of the property."""

    type: Literal["call_webhook"]
    endpoint_id: Reference


class SendMessage(Body):
    """Sends the guest a message from the hotel. Refused if the guest opted out or the channel accepts none now."""

    model_config = ConfigDict(
        json_schema_extra={"not": {"properties": {"content": {"pattern": r"^\s*$"}, "template": {"type": "null"}}}},
    )

    type: Literal["send_message"]
    content: Annotated[str, StringConstraints(strip_whitespace=True, max_length=CONTENT_LIMIT)] = ""
    template: GivenTemplate | None = None


def _type_of(action: object) -> str | None:
    """Finds an action's type before it is parsed, because `Body` checks the fields first."""
    found = action.get("type") if isinstance(action, dict) else getattr(action, "type", None)
    return found if isinstance(found, str) else None


AutomationAction = Annotated[
    Annotated[CreateTask, Tag("create_task")]
    | Annotated[NotifyStaff, Tag("notify_staff")]
    | Annotated[SetPriority, Tag("set_priority")]
    | Annotated[AssignTo, Tag("assign")]
    | Annotated[CallWebhook, Tag("call_webhook")]
    | Annotated[SendMessage, Tag("send_message")],
    Discriminator(
        _type_of,
        custom_error_type="action_type",
        custom_error_message="must be create_task, notify_staff, set_priority, assign, call_webhook or send_message",
    ),
]


class AutomationRule(Body):
    """When one of the events in `when` happens and all conditions in `if` hold, the actions in `then` run in order."""

    id: RuleId
    name: Word
    enabled: StrictBool = True
    when: Annotated[list[EventPattern], Field(min_length=1, max_length=20)]
    conditions: Annotated[Conditions, Field(alias="if")] = Conditions()
    then: Annotated[list[AutomationAction], Field(min_length=1, max_length=10)]


class Automations(Model):
    """The rules of a property."""

    property_id: str
    rules: list[AutomationRule] = []
    version: int = 0
    updated_at: Timestamp | None = None
    updated_by: str | None = None


class Facts(Model):
    """What conditions are checked against."""

    conversation: Conversation | None = None
    task: Task | None = None
    language: str | None = None
    open: bool = True
    answerable: bool = True
    """False for a message that must not be answered, such as automatic mail, which could answer in turn forever."""


class Happening(Model):
    """The event that an automation runs for, without anything that a guest wrote."""

    property_id: str
    position: int
    type: str
    at: Timestamp
    conversation_id: str | None = None
    task_id: str | None = None

    @classmethod
    def of(cls, event: PropertyEvent) -> "Happening":
        return cls(
            property_id=event.property_id,
            position=event.position,
            type=event.type,
            at=event.at,
            conversation_id=event.conversation_id,
            task_id=event.task.id if event.task is not None else None,
        )


class AutomationStart(Model):
    rule: AutomationRule
    happening: Happening


class Act(Model):
    """One action of a rule for one event. `number` is its index in the rule."""

    rule_id: str
    happening: Happening
    number: int
    action: AutomationAction

    @property
    def id(self) -> str:
        """An id that is the same in every attempt at this action for this event."""
        happened = self.happening
        parts = (happened.property_id, str(happened.position), self.rule_id, str(self.number))
        return OWN_IDS + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


class Acted(Model):
    """The outcome of an action. `reason` says why it was not done."""

    outcome: ActionOutcome
    reason: str | None = None


class ActionRefused(Exception):
    """The action can never be done; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotActed(Model):
    """An action that was not done, for staff to be told."""

    act: Act
    reason: str


def is_own_effect(event: PropertyEvent) -> bool:
    """Whether an automation caused this event. Such events trigger no rules, so that rules cannot loop."""
    message, task = event.message, event.task
    # Checking the author, too, because guests' channels choose the ids of their messages.
    said = message is not None and message.author is Author.SYSTEM and message.id.startswith(OWN_IDS)
    return event.by == AUTOMATION.id or said or (task is not None and task.id.startswith(OWN_IDS))
