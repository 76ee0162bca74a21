"""Frames of the two sockets, `/ws` for staff and `/chat/{propertyId}` for guests."""

from enum import IntEnum
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from contracts.base import Body, Model
from contracts.conversations import Conversation, GuestConversation
from contracts.events import Notification
from contracts.messages import ChannelType, Message
from contracts.staff import Staff
from contracts.tasks import Task

ClientType = Literal["auth", "subscribe", "unsubscribe", "send_message", "typing", "delivered", "read", "ping"]
ServerType = Literal[
    "session",
    "message",
    "conversation_update",
    "task_update",
    "notification",
    "typing",
    "presence",
    "resync",
    "ack",
    "error",
]


FrameId = Annotated[str, StringConstraints(min_length=1, max_length=128)]


class CloseCode(IntEnum):
    SESSION_ENDED = 4401
    FORBIDDEN = 4403
    NO_PONG = 4408
    TOO_SLOW = 4413
    FULL = 4429


class ClientPayload(Body):
    """The payload of client frames. Each frame type reads its own fields and ignores the rest."""

    model_config = ConfigDict(extra="ignore")

    token: str | None = None
    identity: str | None = None
    conversation_id: str | None = None
    property_id: str | None = None
    content: str | None = None
    attachments: Annotated[list[str], Field(max_length=10)] = []
    """Ids of files that the guest has uploaded."""
    message_id: str | None = None
    channel: ChannelType | None = None
    after: str | None = None
    client_message_id: str | None = None
    private: bool = False
    typing: bool = True


class ClientFrame(Model):
    type: ClientType
    payload: ClientPayload = Field(default_factory=ClientPayload)
    id: FrameId | None = None


class Person(Model):
    id: str
    name: str


class ServerPayload(Model):
    """The payload of server frames. Null keys are not sent."""

    conversation_id: str | None = None
    property_id: str | None = None
    message: Message | None = None
    unread: int | None = None
    """With a message, for staff: the number of unread messages in its conversation."""
    viewers: list[Person] | None = None
    """With `presence`, for staff: who is viewing the conversation, including oneself."""
    conversation: Conversation | GuestConversation | None = None
    task: Task | None = None
    notification: Notification | None = None
    message_id: str | None = None
    token: str | None = None
    visitor_id: str | None = None
    staff: Staff | None = None
    author: str | None = None
    author_name: str | None = None
    typing: bool | None = None
    live: bool | None = None
    code: str | None = None
    detail: str | None = None
    field: str | None = None


class ServerFrame(Model):
    """A server frame. `cursor` is a position in the property's log; `seq` orders events within a conversation."""

    type: ServerType
    payload: ServerPayload = Field(default_factory=ServerPayload)
    seq: int | None = None
    cursor: str | None = None
    id: str | None = None
