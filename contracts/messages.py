"""Messages: what guests send in, what everybody sees, what leaves by a channel."""

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, JsonValue, StringConstraints

from contracts.base import A_NUMBER, Model, Timestamp

ChannelType = Literal["whatsapp", "sms", "email", "webchat"]
MessageId = Annotated[str, StringConstraints(min_length=1, max_length=128, pattern=r"^[\x21-\x7e]+$")]


class Author(StrEnum):
    GUEST = "guest"
    AI = "ai"
    STAFF = "staff"
    SYSTEM = "system"


class DeliveryState(StrEnum):
    """How far a message got. `rank` orders them: a report may only move a message upwards.

    A provider that took a message may still fail to deliver it; one that delivered it has not failed.
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
    """A file by reference; `size` in bytes, 0 where the provider did not say."""

    id: str
    name: str
    content_type: str
    size: Annotated[int, Field(ge=0), A_NUMBER] = 0
    url: str

    @property
    def characters(self) -> int:
        return len(self.id) + len(self.name) + len(self.content_type) + len(self.url)


class GivenAttachment(Attachment):
    """One that others name to us. What we make ourselves is short."""

    id: Annotated[str, StringConstraints(max_length=256)]
    name: Annotated[str, StringConstraints(max_length=256)]
    content_type: Annotated[str, StringConstraints(max_length=256)]
    url: Annotated[str, StringConstraints(max_length=2048)]


class AIInfo(Model):
    """How the AI came to a message; shown to staff only."""

    confidence: float
    intent: str
    sources: list[str] = []
    model: str | None = None


class Template(Model):
    """A message that a channel's provider has approved beforehand; `parameters` fill its gaps in their order."""

    name: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    language: Annotated[str, StringConstraints(min_length=2, max_length=16)] = "en"
    parameters: Annotated[list[Annotated[str, StringConstraints(max_length=1024)]], Field(max_length=50)] = []


class Message(Model):
    """One message of a conversation, the same on REST, events and sockets."""

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
        """The message as its guest may see it: without what the AI thought of it."""
        return self.model_copy(update={"ai": None})

    @property
    def visible_to_guest(self) -> bool:
        """A note is never shown to the guest, nor a message that has not left yet."""
        held = (DeliveryState.QUEUED, DeliveryState.UNKNOWN, DeliveryState.FAILED)
        return not self.private and (self.author is Author.GUEST or self.delivery.state not in held)


class InboundMessage(Model):
    """What a channel hands to the gateway (the seed's contract)."""

    channel_id: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    channel_type: ChannelType
    sender_id: Annotated[str, StringConstraints(min_length=1, max_length=256)]
    content: str
    metadata: dict[str, JsonValue] = {}
    timestamp: Timestamp


class Route(Model):
    """The way back to a guest: an adapter, the hotel's end of the channel, and the guest's.

    `context` is the adapter's own (an e-mail's thread, say) and comes back with every send.
    """

    adapter: str
    channel_id: str
    sender_id: str
    context: dict[str, str] = {}
    free_text_until: Timestamp | None = None
    """Until when the channel takes free text; after that only templates, None where it always does."""


class GuestMessage(Model):
    """The signal a conversation gets for one guest message. `id` is what it is deduplicated by."""

    id: MessageId
    route: Route
    content: str
    attachments: list[Attachment] = []
    guest_name: str | None = None
    sent_at: Timestamp
    received_at: Timestamp
    suppressed: str | None = None
    """Why nobody may answer this message (automatic mail, say); it is kept and shown all the same."""
    opts: Literal["in", "out"] | None = None
    """The guest wants messages on this channel again, or none any more."""

    @property
    def characters(self) -> int:
        return len(self.content) + sum(each.characters for each in self.attachments)


class OutboundMessage(Model):
    """What leaves by a channel. `message_id` is the same on every attempt, so that a receiver can drop repeats.

    `unsure`: an earlier attempt may have left, so ask the provider first where it can tell.
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
