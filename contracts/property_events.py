"""Events of a property as programs receive them: the entries of its log under stable type names."""

from typing import Annotated, Final, get_args

from pydantic import AfterValidator, Field

from contracts.base import Model, Timestamp
from contracts.conversations import Conversation
from contracts.events import Change, LogEntry
from contracts.messages import Author, ChannelType, Message
from contracts.tasks import Task

EVENT_TYPES: Final = (
    *(f"conversation.{change}" for change in get_args(Change)),
    "message.received",
    "message.sent",
    "message.noted",
    "message.delivery",
    "task.created",
    "task.updated",
    "task.overdue",
)
EVENT_PATTERNS: Final = ("conversation.*", "message.*", "task.*", *EVENT_TYPES)


def _known_type(name: str) -> str:
    if name not in EVENT_PATTERNS:
        raise ValueError(f"must be one of {', '.join(EVENT_PATTERNS)}")
    return name


EventPattern = Annotated[str, AfterValidator(_known_type), Field(json_schema_extra={"enum": [*EVENT_PATTERNS]})]
"""An event type, or all types of one kind such as `conversation.*`."""


class PropertyEvent(Model):
    """One event. `position` orders the events of a property; exactly one of the last three fields is set.

    Messages and overdue tasks are as they were when read from storage, everything else as it was when it happened.
    """

    type: str
    property_id: str
    position: int
    at: Timestamp
    conversation_id: str | None = None
    channel_type: ChannelType | None = None
    by: str | None = None
    """Who changed the conversation, if somebody did."""
    message: Message | None = None
    conversation: Conversation | None = None
    task: Task | None = None

    def matches(self, patterns: list[EventPattern]) -> bool:
        group = f"{self.type.partition('.')[0]}.*"
        return any(pattern in (self.type, group) for pattern in patterns)


def event_of(entry: LogEntry, overdue: Task | None = None) -> PropertyEvent | None:
    """The event of a log entry; None for entries that are only meant for people.

    `overdue` is the task that an overdue notification is about.
    """
    name = _name(entry, overdue)
    if name is None or entry.position is None or entry.at is None:
        return None
    return PropertyEvent(
        type=name,
        property_id=entry.property_id,
        position=entry.position,
        at=entry.at,
        conversation_id=entry.conversation_id,
        channel_type=entry.channel_type,
        by=entry.by,
        message=entry.message,
        conversation=entry.conversation,
        task=overdue or entry.task,
    )


def _name(entry: LogEntry, overdue: Task | None) -> str | None:
    if entry.message is not None:
        return _name_of_message(entry.message, repeats=entry.repeats)
    if entry.conversation is not None:
        return f"conversation.{entry.change}"
    if entry.task is not None:
        return "task.created" if entry.task.updated_at == entry.task.created_at else "task.updated"
    return "task.overdue" if overdue is not None else None


def _name_of_message(message: Message, *, repeats: bool) -> str:
    if repeats:
        return "message.delivery"
    if message.author is Author.GUEST:
        return "message.received"
    return "message.noted" if message.private else "message.sent"
