"""What a conversation publishes, and the inputs and results of its activities."""

from typing import Final, Literal, get_args

from pydantic import ConfigDict

from contracts.ai import AIRequest, AIResponse
from contracts.base import Model, Timestamp
from contracts.conversations import Conversation, Outcome
from contracts.guests import Autonomy, Stay
from contracts.messages import Author, ChannelType, Delivery, Message, OutboundMessage, Route
from contracts.tasks import Task

SendResultKind = Literal["sent", "retry", "failed"]
LogType = Literal["message", "conversation_update", "task_update", "notification", "typing", "presence"]
LOG_TYPES: Final[tuple[LogType, ...]] = get_args(LogType)
NotificationKind = Literal["ai_timeout", "delivery_failed", "sla", "escalation", "mention", "system"]
Change = Literal[
    "started",
    "escalated",
    "claimed",
    "unassigned",
    "returned",
    "resolved",
    "reopened",
    "surveyed",
    "rated",
    "summary",
    "draft",
    "review",
    "reviewed",
    "read",
    "priority",
    "snoozed",
    "woken",
    "policy",
    "action_asked",
    "action_done",
    "action_refused",
    "opted_out",
    "opted_in",
]
Audience = Literal["everyone", "managers"]


class Notification(Model):
    """Something staff must see. `staff_id` names the one person it is for; otherwise it is for the whole audience.

    The text contains no guest data.
    """

    id: str
    kind: NotificationKind
    text: str
    conversation_id: str | None = None
    audience: Audience = "everyone"
    staff_id: str | None = None
    at: Timestamp
    read_at: Timestamp | None = None

    def is_for(self, staff_id: str, *, manages: bool) -> bool:
        """Whether somebody sees it. Managers see all, others what is for everyone or for them personally."""
        return manages or self.staff_id == staff_id or (self.staff_id is None and self.audience == "everyone")


class Event(Model):
    """One change of a conversation. Exactly one of `message`, `change` and `notification` is set.

    Only the workflow allocates `seq`, without gaps. A `change` is published with the conversation as it is at the end
    of its batch.
    """

    seq: int
    at: Timestamp
    message: Message | None = None
    change: Change | None = None
    by: str | None = None
    reason: str | None = None
    """Why somebody made the change, in their own words."""
    notification: Notification | None = None


class MessageDelivery(Model):
    message_id: str
    delivery: Delivery


class Publication(Model):
    """A batch of events in order of `seq`, with the conversation as it is after them.

    Events up to `told` already went out live while storage was away. `opted_out` is None if the conversation does not
    know; storage then keeps its value.
    """

    conversation: Conversation
    contact_key: str
    route: Route
    told: int = 0
    opted_out: bool | None = None
    events: list[Event] = []
    outcomes: list[Outcome] = []
    deliveries: list[MessageDelivery] = []
    """New delivery states of messages published earlier."""


class Send(Model):
    """One attempt to hand a message to a channel. `received_at` is when the oldest message it answers arrived."""

    message: OutboundMessage
    adapter: str
    attempt: int
    author: Author
    received_at: Timestamp | None = None


class SendResult(Model):
    """The outcome of one attempt. `retry`: the channel may accept it later, after at least `retry_after` seconds.

    `noted`: storage has recorded it already.
    """

    message_id: str
    result: SendResultKind
    reason: str | None = None
    retry_after: float | None = None
    unsure: bool = False
    """The message may have been sent all the same."""
    opted_out: bool = False
    """The provider refused because the guest opted out of this channel."""
    noted: bool = False


class DeliverAndPublish(Model):
    publication: Publication
    sends: list[Send] = []


class Published(Model):
    """`stored` is false while PostgreSQL is away; the batch then stays in the outbox. `told`: it went out live."""

    stored: bool
    told: bool


class DeliverAndPublishResult(Model):
    published: Published
    sends: list[SendResult] = []


class Summarise(Model):
    """Asks for a summary of a conversation in a few sentences. `messages` are its newest ones."""

    conversation: Conversation
    messages: list[Message]


class Ask(Model):
    """Asks the AI to answer one turn. A `publication` given along is published while the engine thinks."""

    turn_id: str
    request: AIRequest
    publication: Publication | None = None


class Answer(Model):
    """The AI's answer. `vip` is what the hotel's system says of the guest; None without one, or if it does not say."""

    response: AIResponse
    published: Published | None = None
    vip: bool | None = None


class ContactLookup(Model):
    """Asks, once at the start of a conversation, what storage knows of the contact and of these message ids."""

    property_id: str
    channel_type: ChannelType
    sender_id: str
    contact_key: str
    conversation_id: str
    message_ids: list[str]


class ContactFacts(Model):
    known_message_ids: list[str] = []
    guest_id: str | None = None
    guest_name: str | None = None
    language: str | None = None
    preferences: dict[str, str] = {}
    stays: list[Stay] = []
    autonomy: Autonomy = "auto"
    opted_out: bool = False
    surveyed_at: Timestamp | None = None
    """When the contact was last asked for a rating."""
    previous_conversation_id: str | None = None
    previous_messages: list[Message] = []


class Typing(Model):
    """Somebody is typing, or has stopped. Never stored."""

    author: Author
    author_id: str | None = None
    author_name: str | None = None
    typing: bool = True


class Viewer(Model):
    """A member of staff who views a conversation on one socket. Never stored."""

    model_config = ConfigDict(frozen=True)

    conversation_id: str
    socket_id: str
    staff_id: str
    name: str


class LogEntry(Model):
    """One entry of a property's log, as storage keeps it and the live stream carries it.

    `position` is None for what is not stored: typing, presence, and events that went out live while PostgreSQL was
    away. `repeats` marks a message published again because its delivery state changed. `at`, the `change` of a
    conversation and who made it are only set on entries read from storage.
    """

    property_id: str
    type: LogType
    position: int | None = None
    at: Timestamp | None = None
    change: Change | None = None
    by: str | None = None
    contact_key: str | None = None
    conversation_id: str | None = None
    channel_type: ChannelType | None = None
    seq: int | None = None
    repeats: bool = False
    message: Message | None = None
    unread: int | None = None
    """With a message: the number of messages in the conversation that staff have not read, if known."""
    conversation: Conversation | None = None
    task: Task | None = None
    notification: Notification | None = None
    typing: Typing | None = None
    viewer: Viewer | None = None
    looking: bool = False
    """With a viewer: whether they begin or stop viewing."""


def live_stream(property_id: str) -> str:
    """Redis key of a property's live stream; each entry has one field, `entry`, a LogEntry as JSON."""
    return f"gateway:live:{property_id}"


def viewers_key(property_id: str) -> str:
    """Redis key of a property's viewers: a sorted set of Viewer as JSON, scored by expiry."""
    return f"gateway:viewers:{property_id}"
