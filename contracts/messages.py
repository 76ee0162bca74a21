"""Messages as they come in, as clients see them, and as they go out by a channel."""

from enum import StrEnum
from typing import Annotated, Final, Literal

from pydantic import ConfigDict, Field, JsonValue, StringConstraints, model_validator

from contracts.base import A_NUMBER, Body, Model, Moment, Timestamp

ChannelType = Literal["whatsapp", "sms", "email", "webchat"]
MessageId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]


class Author(StrEnum):
    GUEST = "guest"
    AI = "ai"
    STAFF = "staff"
    SYSTEM = "system"


class DeliveryState(StrEnum):
    """How far a message got. Reports may only move a message to a higher `rank`.

    So a message that was sent may still fail, but not one that was delivered.
    """

    QUEUED = "queued"
    UNKNOWN = "unknown"
    SENT = "sent"
    FAILED = "failed"
    DELIVERED = "delivered"
    READ = "read"

    @property
    def rank(self) -> int:
        return list(DeliveryState).index(self)


class Delivery(Model):
    state: DeliveryState
    reason: str | None = None


class Attachment(Model):
    """A file by reference. `size` is in bytes, 0 if the provider did not say."""

    id: str
    name: str
    content_type: str
    size: Annotated[int, Field(ge=0), A_NUMBER] = 0
    url: str

    @property
    def characters(self) -> int:
        return len(self.id) + len(self.name) + len(self.content_type) + len(self.url)


class GivenAttachment(Attachment):
    """An attachment given by a client, with limits on its fields."""

    id: Annotated[str, StringConstraints(max_length=256)]
    name: Annotated[str, StringConstraints(max_length=256)]
    content_type: Annotated[str, StringConstraints(max_length=256)]
    url: Annotated[str, StringConstraints(max_length=2048)]


class AIInfo(Model):
    """How the AI arrived at a message. Shown only to staff."""

    confidence: float
    intent: str
    sources: list[str] = []
    model: str | None = None


ParameterText = Annotated[str, StringConstraints(max_length=1024)]
ParameterName = Annotated[str, StringConstraints(min_length=1, max_length=64)]
ButtonIndex = Literal["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]
_BOTH: Final[dict[str, JsonValue]] = {
    "required": ["parameters", "namedParameters"],
    "properties": {"parameters": {"minItems": 1}, "namedParameters": {"minProperties": 1}},
}


class Template(Model):
    """A message template that the channel's provider has approved. The message's file, if any, is its header.

    `parameters` fill its placeholders in order, or `namedParameters` by name. `buttonLinks` complete the links of
    buttons, by the number of the button from 0.
    """

    model_config = ConfigDict(json_schema_extra={"not": _BOTH})

    name: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    language: Annotated[str, StringConstraints(min_length=2, max_length=16)] = "en"
    parameters: Annotated[list[ParameterText], Field(max_length=50)] = []
    named_parameters: Annotated[dict[ParameterName, ParameterText], Field(max_length=50)] = {}
    button_links: dict[ButtonIndex, ParameterText] = {}

    @model_validator(mode="after")
    def _in_order_or_by_name(self) -> "Template":
        if self.parameters and self.named_parameters:
            raise ValueError("must have either parameters or namedParameters")
        return self

    @property
    def texts(self) -> list[str]:
        """All that fills it."""
        return [*self.parameters, *self.named_parameters.values(), *self.button_links.values()]


class GivenTemplate(Template, Body):
    """A template given by a client. Unknown keys are refused: a misspelt one would leave gaps in the message."""


class Message(Model):
    """One message of a conversation, the same in REST, events and sockets."""

    id: str
    conversation_id: str
    seq: int
    author: Author
    author_name: str | None = None
    content: str
    attachments: list[Attachment] = []
    private: bool = False
    created_at: Timestamp
    delivery: Delivery
    ai: AIInfo | None = None

    @property
    def characters(self) -> int:
        named = sum(map(len, self.ai.sources)) if self.ai is not None else 0
        return len(self.content) + sum(each.characters for each in self.attachments) + named

    def for_guest(self) -> "Message":
        """The message as its guest may see it, without the AI's details."""
        return self.model_copy(update={"ai": None})

    @property
    def visible_to_guest(self) -> bool:
        """Whether the guest may see it: not if it is a private note or has not been sent yet."""
        held = (DeliveryState.QUEUED, DeliveryState.UNKNOWN, DeliveryState.FAILED)
        return not self.private and (self.author is Author.GUEST or self.delivery.state not in held)


class InboundMessage(Model):
    """A message as the generic channel posts it (the specification's contract)."""

    channel_id: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    channel_type: ChannelType
    sender_id: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    content: str
    metadata: dict[str, JsonValue] = {}
    timestamp: Moment


class Route(Model):
    """How to reach a guest: the adapter, the hotel's address on the channel, and the guest's.

    `context` belongs to the adapter (for example an e-mail's thread) and is passed back to it with every send.
    """

    adapter: str
    channel_id: str
    sender_id: str
    context: dict[str, str] = {}
    free_text_until: Timestamp | None = None
    """Until when the channel accepts free text, and afterwards only templates. None if it always does."""


class GuestMessage(Model):
    """The signal that brings a conversation one guest message. Repeats are recognised by `id`."""

    id: MessageId
    route: Route
    content: str
    attachments: list[Attachment] = []
    guest_name: str | None = None
    sent_at: Timestamp
    received_at: Timestamp
    suppressed: str | None = None
    """Why this message must not be answered (automatic mail, for example). It is stored and shown all the same."""
    opts: Literal["in", "out"] | None = None
    """The guest opts in to messages on this channel, or out of them."""

    @property
    def characters(self) -> int:
        return len(self.content) + sum(each.characters for each in self.attachments)


class OutboundMessage(Model):
    """A message to send by a channel. `message_id` is the same on every attempt, so that receivers can drop repeats.

    `unsure`: an earlier attempt may have succeeded, so ask the provider first if it can tell.
    """

    message_id: str
    conversation_id: str
    recipient_id: str
    channel_id: str
    channel_type: ChannelType
    content: str
    attachments: list[Attachment] = []
    in_reply_to: list[str] = []
    author: Author = Author.SYSTEM
    template: Template | None = None
    context: dict[str, str] = {}
    unsure: bool = False
