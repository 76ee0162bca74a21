"""Events as webhook endpoints receive them: the bodies of outgoing webhooks."""

from typing import Annotated, Final, Literal

from pydantic import Field

from contracts.base import Model, Timestamp
from contracts.conversations import Conversation
from contracts.messages import Message
from contracts.property_events import EVENT_TYPES, PropertyEvent
from contracts.tasks import Task

FIRED: Final = "automation.fired"
TEST: Final = "webhook.test"

Sequence = Annotated[int, Field(description="Orders the property's events.")]
By = Annotated[
    str | None, Field(description="Who did it, if somebody did: the id of a person or an API key, or `automation`.")
]


def _of_kind(kind: str) -> list[str]:
    return [name for name in EVENT_TYPES if name.startswith(f"{kind}.")]


class MessageData(Model):
    property_id: str
    sequence: Sequence
    conversation_id: str
    message: Message


class ConversationData(Model):
    property_id: str
    sequence: Sequence
    conversation_id: str
    by: By = None
    conversation: Conversation


class TaskData(Model):
    property_id: str
    sequence: Sequence
    conversation_id: str | None = None
    by: By = None
    task: Task


class FiredData(Model):
    """Which rule fired, and for which event: its type, its `sequence`, and what it is about."""

    property_id: str
    rule_id: str
    event: str
    sequence: Sequence
    conversation_id: str | None = None
    task_id: str | None = None


class WebhookTestData(Model):
    property_id: str
    endpoint_id: str


class MessageEvent(Model):
    """Something was said, or a message's delivery state changed."""

    type: Annotated[str, Field(json_schema_extra={"enum": _of_kind("message")})]
    timestamp: Timestamp
    data: MessageData


class ConversationEvent(Model):
    """A conversation changed; it is shown as it was then."""

    type: Annotated[str, Field(json_schema_extra={"enum": _of_kind("conversation")})]
    timestamp: Timestamp
    data: ConversationData


class TaskEvent(Model):
    """A task was created, changed, or became overdue."""

    type: Annotated[str, Field(json_schema_extra={"enum": _of_kind("task")})]
    timestamp: Timestamp
    data: TaskData


class FiredEvent(Model):
    """An automation with the action `call_webhook` fired."""

    type: Literal["automation.fired"] = FIRED
    timestamp: Timestamp
    data: FiredData


class WebhookTestEvent(Model):
    """Somebody tested the endpoint."""

    type: Literal["webhook.test"] = TEST
    timestamp: Timestamp
    data: WebhookTestData


WebhookEvent = MessageEvent | ConversationEvent | TaskEvent | FiredEvent | WebhookTestEvent


def webhook_event(event: PropertyEvent) -> WebhookEvent:
    """A property's event as its endpoints receive it."""
    name, at, hotel, sequence = event.type, event.at, event.property_id, event.position
    if (message := event.message) is not None:
        said = MessageData(
            property_id=hotel, sequence=sequence, conversation_id=message.conversation_id, message=message
        )
        return MessageEvent(type=name, timestamp=at, data=said)
    if (conversation := event.conversation) is not None:
        changed = ConversationData(
            property_id=hotel,
            sequence=sequence,
            conversation_id=conversation.conversation_id,
            by=event.by,
            conversation=conversation,
        )
        return ConversationEvent(type=name, timestamp=at, data=changed)
    assert event.task is not None, "an event is about one of three"
    done = TaskData(
        property_id=hotel,
        sequence=sequence,
        conversation_id=event.task.conversation_id,
        by=event.by,
        task=event.task,
    )
    return TaskEvent(type=name, timestamp=at, data=done)
