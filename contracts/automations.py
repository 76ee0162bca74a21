"""Automations: when something happens at a property, if it is as a rule says, then do what the rule says."""

import hashlib
from datetime import timedelta
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Discriminator, Field, StrictBool, StringConstraints, Tag

from contracts.base import A_DURATION, Body, Model, NotBlank, Timestamp
from contracts.commands import Actor
from contracts.conversations import Conversation, ConversationState
from contracts.events import Audience
from contracts.messages import Author, ChannelType, Template
from contracts.names import CONTENT_LIMIT
from contracts.property_events import EventPattern, PropertyEvent
from contracts.rules import YEAR, Priority
from contracts.tasks import Department, Task

AUTOMATION: Final = Actor(id="automation", name="Automation")
"""Who acts where a rule does."""
OWN_IDS: Final = "auto-"
"""What ids of tasks and messages begin with that automations make."""

RuleId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]
Word = Annotated[NotBlank, StringConstraints(max_length=100)]
Reference = Annotated[str, StringConstraints(min_length=1, max_length=255)]
ActionOutcome = Literal["done", "refused", "failed"]


class Conditions(Body):
    """All that are given must hold; a list holds where it names what is. What is not known is in no list."""

    channels: Annotated[list[ChannelType], Field(min_length=1)] | None = None
    languages: Annotated[list[Word], Field(min_length=1, max_length=50, description="Of the guest: `pt`.")] | None = (
        None
    )
    priorities: Annotated[list[Priority], Field(min_length=1)] | None = None
    intents: Annotated[list[Word], Field(min_length=1, max_length=100)] | None = None
    states: Annotated[list[ConversationState], Field(min_length=1)] | None = None
    departments: Annotated[list[Department], Field(min_length=1, description="Of the task.")] | None = None
    business_hours: Annotated[
        Literal["open", "closed"] | None, Field(description="Whether people were there when it happened.")
    ] = None


class CreateTask(Body):
    type: Literal["create_task"]
    department: Department
    title: Annotated[NotBlank, StringConstraints(max_length=200)]
    description: Annotated[str, Field(max_length=4096)] = ""
    priority: Priority = "normal"
    due_in: Annotated[
        Annotated[timedelta, Field(gt=timedelta(0), le=YEAR), A_DURATION] | None,
        Field(description="After what happened; `PT2H`."),
    ] = None
    assigned_to: Annotated[Reference | None, Field(description="A staff id.")] = None


class NotifyStaff(Body):
    type: Literal["notify_staff"]
    text: Annotated[NotBlank, StringConstraints(max_length=500)]
    audience: Audience = "everyone"
    staff_id: Annotated[Reference | None, Field(description="The one person whom it is for.")] = None


class SetPriority(Body):
    """Of the task where the event is one's, else of the conversation."""

    type: Literal["set_priority"]
    priority: Priority


class AssignTo(Body):
    """The task where the event is one's, else the conversation."""

    type: Literal["assign"]
    staff_id: Reference


class CallWebhook(Body):
    """Sends `automation.fired` to an endpoint of the property."""

    type: Literal["call_webhook"]
    endpoint_id: Reference


class SendMessage(Body):
    """A message to the guest, as the hotel's; refused where the guest wants none or the channel takes none now."""

    model_config = ConfigDict(
        json_schema_extra={"anyOf": [{"required": ["content"]}, {"required": ["template"]}]},
    )

    type: Literal["send_message"]
    content: Annotated[str, StringConstraints(strip_whitespace=True, max_length=CONTENT_LIMIT)] = ""
    template: Template | None = None


def _type_of(action: object) -> str | None:
    """`Body` looks at every field before it is read, so the type is looked up by hand."""
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
    """When one of `when` happens, if all of `if` hold, then do `then`, in order."""

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
    """What the conditions of rules are held against."""

    conversation: Conversation | None = None
    task: Task | None = None
    language: str | None = None
    open: bool = True
    answerable: bool = True
    """False for a message that nobody answers, as what a machine wrote: an answer would only bring the next."""


class Happening(Model):
    """What an automation runs for; nothing that a guest wrote."""

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
    """One action of a rule; `number` is its place."""

    rule_id: str
    happening: Happening
    number: int
    action: AutomationAction

    @property
    def id(self) -> str:
        """The same action for the same event has the same id, whenever it is tried."""
        happened = self.happening
        parts = (happened.property_id, str(happened.position), self.rule_id, str(self.number))
        return OWN_IDS + hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


class Acted(Model):
    """What came of an action; `reason` says why it was not done."""

    outcome: ActionOutcome
    reason: str | None = None


class ActionRefused(Exception):
    """The action cannot be done, now or later; `reason` says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class NotActed(Model):
    """Tells staff of an action that was not done."""

    act: Act
    reason: str


def is_own_effect(event: PropertyEvent) -> bool:
    """Whether an automation made this happen; nothing follows from it, so that no rule can run in a circle."""
    message, task = event.message, event.task
    # Who brings a message may give it any id.
    said = message is not None and message.author is Author.SYSTEM and message.id.startswith(OWN_IDS)
    return event.by == AUTOMATION.id or said or (task is not None and task.id.startswith(OWN_IDS))
