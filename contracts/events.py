"""What a conversation publishes, and the activity that carries it."""

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
    """What staff must see. `staff_id` names the one person it is for; else it is for all of the audience.

    The text holds nothing of a guest's.
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
        """Whether somebody sees it: managers see all, others what is for everyone or for them alone."""
        return manages or self.staff_id == staff_id or (self.staff_id is None and self.audience == "everyone")


class Event(Model):
    """One change of a conversation. Exactly one of `message`, `change` and `notification` is set.

    `seq` is allocated by the workflow alone, without gaps. A `change` is told with the conversation as it is at the
    end of the batch that carries it.
    """

    seq: int
    at: Timestamp
    message: Message | None = None
    change: Change | None = None
    by: str | None = None
    reason: str | None = None
    """Why somebody made the change, in their words."""
    notification: Notification | None = None


class MessageDelivery(Model):
    message_id: str
    delivery: Delivery


class Publication(Model):
    """A batch of events with the conversation as it stands after them, in order of `seq`.

    Events up to `told` were told live before, while storage was away. `opted_out` is None where the conversation does
    not know: what storage has stays.
    """

    conversation: Conversation
    contact_key: str
    route: Route
    told: int = 0
    opted_out: bool | None = None
    events: list[Event] = []
    outcomes: list[Outcome] = []
    deliveries: list[MessageDelivery] = []
    """How far messages got that were published earlier."""


class Send(Model):
    """One attempt to hand a message to a channel. `received_at` is when the oldest message it answers came in."""

    message: OutboundMessage
    adapter: str
    attempt: int
    author: Author
    received_at: Timestamp | None = None


class SendResult(Model):
    """What came of one attempt. `retry`: the channel may take it later, after `retry_after` seconds at the least.

    `noted`: storage knows of it already.
    """

    message_id: str
    result: SendResultKind
    reason: str | None = None
    retry_after: float | None = None
    unsure: bool = False
    """The message may have left all the same."""
    opted_out: bool = False
    """The provider refuses because the guest wants no messages on this channel."""
    noted: bool = False


class DeliverAndPublish(Model):
    publication: Publication
    sends: list[Send] = []


class Published(Model):
    """`stored` is false while PostgreSQL is away: the batch then stays in the outbox. `told`: it went out live."""

    stored: bool
    told: bool


class DeliverAndPublishResult(Model):
    published: Published
    sends: list[SendResult] = []


class Summarise(Model):
    """Asks for a few sentences on a conversation that has ended; `messages` are its newest."""

    conversation: Conversation
    messages: list[Message]


class Ask(Model):
    """One turn for the AI. `publication`, where given, is published while the engine thinks."""

    turn_id: str
    request: AIRequest
    publication: Publication | None = None


class Answer(Model):
    """`vip` is what the hotel's system says of the guest; None where there is none, or it says nothing."""

    response: AIResponse
    published: Published | None = None
    vip: bool | None = None


class ContactLookup(Model):
    """Asked once at the start of a conversation: what storage knows of the contact and these message ids."""

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
    """When the contact was last asked how the help was."""
    previous_conversation_id: str | None = None
    previous_messages: list[Message] = []


class Typing(Model):
    """Somebody is writing, or has stopped; never stored."""

    author: Author
    author_id: str | None = None
    author_name: str | None = None
    typing: bool = True


class Viewer(Model):
    """A member of staff who looks at a conversation, by one socket; never stored."""

    model_config = ConfigDict(frozen=True)

    conversation_id: str
    socket_id: str
    staff_id: str
    name: str


class LogEntry(Model):
    """One entry of a property's log, as storage keeps it and the live stream carries it.

    `position` is None for what is not stored: typing, presence, and events told live while PostgreSQL is away.
    `repeats` marks a message told again because its delivery state changed. `at`, and the `change` of a conversation
    and who made it, stand only in what is read from storage.
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
    """With a message: how many of the conversation staff have not read, as far as is known."""
    conversation: Conversation | None = None
    task: Task | None = None
    notification: Notification | None = None
    typing: Typing | None = None
    viewer: Viewer | None = None
    looking: bool = False
    """With a viewer: whether they begin to look, or cease."""


def live_stream(property_id: str) -> str:
    """Redis key of a property's live stream; each entry has one field, `entry`, a LogEntry as JSON."""
    return f"gateway:live:{property_id}"


def viewers_key(property_id: str) -> str:
    """Redis key of who looks at conversations of a property: a sorted set of Viewer as JSON, by when it expires."""
    return f"gateway:viewers:{property_id}"
