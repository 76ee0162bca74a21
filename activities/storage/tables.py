"""Tables of the projection, which lists, history and search read. A live conversation's own state is its workflow's."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnClause,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    LargeBinary,
    literal_column,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB, TEXT
from sqlmodel import Field, SQLModel

JsonObject = dict[str, Any]

MESSAGE_WORDS: ColumnClause[str] = literal_column("messages.words")
"""The words that searches look through: PostgreSQL splits the first 100,000 characters as search_words.py does."""
NAME_WORDS: ColumnClause[str] = literal_column("gateway_words(conversations.snapshot->>'guestName')")


def _moment(*, nullable: bool = False) -> Any:
    return Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=nullable))


def _json(default: str = "{}", *, nullable: bool = False) -> Any:
    return Field(
        default=None,
        sa_column=Column(
            JSONB(none_as_null=True), nullable=nullable, server_default=None if nullable else text(f"'{default}'")
        ),
    )


def _texts() -> Any:
    return Field(default_factory=list, sa_column=Column(ARRAY(TEXT), nullable=False, server_default=text("'{}'")))


class GuestRow(SQLModel, table=True):
    __tablename__ = "guests"

    id: str = Field(primary_key=True)
    property_id: str = Field(index=True)
    name: str | None = None
    language: str | None = None
    stays: list[JsonObject] = _json("[]")
    preferences: JsonObject = _json()
    autonomy: str = "auto"
    created_at: datetime = _moment()


class ContactRow(SQLModel, table=True):
    """One guest's address on one channel of one property, under the key that workflows use for it."""

    __tablename__ = "contacts"

    contact_key: str = Field(primary_key=True)
    property_id: str
    channel_type: str
    sender_id: str
    guest_id: str = Field(foreign_key="guests.id", index=True)
    created_at: datetime = _moment()
    route: JsonObject | None = _json(nullable=True)
    """How the contact's newest message arrived, which is how replies are sent."""
    opted_out: bool = False


class ConversationRow(SQLModel, table=True):
    """The newest Conversation that a workflow published, as `snapshot`, with columns for the filters of lists."""

    __tablename__ = "conversations"
    __table_args__ = (
        Index("conversations_by_time", "property_id", "last_activity_at", "id"),
        Index("conversations_by_state", "property_id", "state", "last_activity_at", "id"),
        Index("conversations_by_channel", "property_id", "channel_type", "last_activity_at", "id"),
        Index(
            "conversations_by_assignee",
            "property_id",
            "assigned_to",
            "last_activity_at",
            "id",
            postgresql_where=text("assigned_to IS NOT NULL"),
        ),
        Index(
            "conversations_for_review",
            "property_id",
            "last_activity_at",
            "id",
            postgresql_where=text("needs_review"),
        ),
        Index("conversations_by_name", NAME_WORDS, postgresql_using="gin"),
    )

    id: str = Field(primary_key=True)
    contact_key: str = Field(index=True)
    property_id: str
    guest_id: str = Field(index=True)
    channel_type: str
    state: str
    assigned_to: str | None = None
    needs_review: bool = False
    seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    snapshot: JsonObject = _json()
    last_message: JsonObject | None = _json(nullable=True)
    created_at: datetime = _moment()
    last_activity_at: datetime = _moment()


class MessageRow(SQLModel, table=True):
    __tablename__ = "messages"
    __table_args__ = (
        Index("messages_by_contact", "contact_key", "id"),
        Index("messages_by_seq", "conversation_id", "seq", unique=True),
        Index("messages_by_words", MESSAGE_WORDS, postgresql_using="gin"),
    )

    conversation_id: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    contact_key: str
    seq: int = Field(sa_column=Column(BigInteger, nullable=False))
    author: str
    author_name: str | None = None
    content: str
    attachments: list[JsonObject] = _json("[]")
    private: bool = False
    created_at: datetime = _moment()
    delivery_state: str
    delivery_reason: str | None = None
    ai: JsonObject | None = _json(nullable=True)


class LogHeadRow(SQLModel, table=True):
    """The last position of a property's log. Its row lock makes transactions commit in the order of their positions."""

    __tablename__ = "log_heads"

    property_id: str = Field(primary_key=True)
    head: int = Field(sa_column=Column(BigInteger, nullable=False))


class LogRow(SQLModel, table=True):
    """One entry of a property's log. Positions have no gaps. Messages are references; everything else is a payload.

    `repeats` marks an entry that repeats a message because its delivery state changed.
    """

    __tablename__ = "log"
    __table_args__ = (
        Index("log_by_seq", "conversation_id", "seq", unique=True, postgresql_where=text("NOT repeats")),
        Index("log_by_contact", "contact_key", "position"),
    )

    property_id: str = Field(primary_key=True)
    position: int = Field(sa_column=Column(BigInteger, primary_key=True))
    contact_key: str | None = None
    conversation_id: str | None = None
    seq: int | None = Field(default=None, sa_column=Column(BigInteger, nullable=True))
    type: str
    message_id: str | None = None
    payload: JsonObject | None = _json(nullable=True)
    repeats: bool = False
    at: datetime = _moment()


class OutcomeRow(SQLModel, table=True):
    __tablename__ = "outcomes"

    conversation_id: str = Field(primary_key=True)
    message_id: str = Field(primary_key=True)
    outcome: str
    reply_id: str | None = None
    reason: str
    at: datetime = _moment()


class NotificationRow(SQLModel, table=True):
    __tablename__ = "notifications"

    id: str = Field(primary_key=True)
    property_id: str = Field(index=True)
    kind: str
    text: str
    conversation_id: str | None = None
    audience: str = "everyone"
    staff_id: str | None = None
    at: datetime = _moment()


class NotificationReadRow(SQLModel, table=True):
    __tablename__ = "notification_reads"

    notification_id: str = Field(primary_key=True, foreign_key="notifications.id")
    staff_id: str = Field(primary_key=True)
    read_at: datetime = _moment()


class TaskRow(SQLModel, table=True):
    __tablename__ = "tasks"
    __table_args__ = (Index("tasks_by_time", "property_id", "created_at", "id"),)

    id: str = Field(primary_key=True)
    property_id: str
    conversation_id: str | None = None
    guest_id: str | None = None
    department: str
    title: str
    description: str = ""
    priority: str = "normal"
    status: str = "open"
    due_at: datetime | None = _moment(nullable=True)
    assigned_to: str | None = None
    created_at: datetime = _moment()
    updated_at: datetime = _moment()
    version: int = 1


class StaffRow(SQLModel, table=True):
    __tablename__ = "staff"

    id: str = Field(primary_key=True)
    email: str = Field(unique=True)
    name: str
    role: str
    properties: list[str] = _texts()
    mail_kinds: list[str] = _texts()
    password_hash: str
    disabled: bool = False
    created_at: datetime = _moment()
    version: int = Field(default=1, sa_column_kwargs={"server_default": text("1")})


class MailOutboxRow(SQLModel, table=True):
    """A notification to be sent to one member of staff by e-mail."""

    __tablename__ = "mail_outbox"
    __table_args__ = (Index("mail_outbox_by_time", "next_at"),)

    notification_id: str = Field(sa_column=Column(ForeignKey("notifications.id", ondelete="CASCADE"), primary_key=True))
    staff_id: str = Field(sa_column=Column(ForeignKey("staff.id", ondelete="CASCADE"), primary_key=True))
    property_id: str
    attempts: int = Field(default=0, sa_column_kwargs={"server_default": text("0")})
    queued_at: datetime = _moment()
    next_at: datetime = _moment()


class RevokedSessionRow(SQLModel, table=True):
    """Sessions that were ended early. While Redis is away, this table decides."""

    __tablename__ = "revoked_sessions"

    session_id: str = Field(primary_key=True)
    expires_at: datetime = _moment()


class DeliveryReportRow(SQLModel, table=True):
    """The highest state that a provider has reported for one part of a message, perhaps before the message is stored.

    `decides`: this is the last part, whose state is also the message's.
    """

    __tablename__ = "delivery_reports"

    property_id: str = Field(primary_key=True)
    conversation_id: str = Field(primary_key=True)
    message_id: str = Field(primary_key=True)
    part: int = Field(primary_key=True)
    decides: bool = True
    state: str
    reason: str | None = None
    provider_id: str | None = Field(default=None, index=True)
    at: datetime = _moment()


class QuarantineRow(SQLModel, table=True):
    """Something that a provider sent, validly signed, but that could not be parsed. `payload` is parsed on a retry."""

    __tablename__ = "quarantine"
    __table_args__ = (Index("quarantine_by_time", "property_id", "at", "id"),)

    id: str = Field(primary_key=True)
    property_id: str
    adapter: str
    reason: str
    payload: bytes = Field(sa_column=Column(LargeBinary, nullable=False))
    at: datetime = _moment()
    retried_at: datetime | None = _moment(nullable=True)
    handled_at: datetime | None = _moment(nullable=True)


class SpoolRow(SQLModel, table=True):
    """An item that came in while Temporal was away. `payload` is a `contracts.spool.Waiting`."""

    __tablename__ = "spool"

    position: int = Field(sa_column=Column(BigInteger, Identity(), primary_key=True))
    id: str = Field(unique=True)
    contact_key: str = Field(index=True)
    payload: JsonObject = _json()
    at: datetime = _moment()


class KnowledgeRow(SQLModel, table=True):
    """The current version of an article. Like any other, a deleted one hides the shipped article of the same id."""

    __tablename__ = "knowledge"

    property_id: str = Field(primary_key=True)
    id: str = Field(primary_key=True)
    title: str
    names: list[str] = _texts()
    words: list[str] = _texts()
    questions: list[str] = _texts()
    excludes: list[str] = _texts()
    text: str
    version: int
    deleted: bool = False
    updated_at: datetime = _moment()
    updated_by: str


class KnowledgeVersionRow(SQLModel, table=True):
    __tablename__ = "knowledge_versions"

    property_id: str = Field(primary_key=True)
    article_id: str = Field(primary_key=True)
    version: int = Field(primary_key=True)
    article: JsonObject = _json()


class KnowledgeHeadRow(SQLModel, table=True):
    """Counts the changes to a property's knowledge. Engines reload it when the count changes."""

    __tablename__ = "knowledge_heads"

    property_id: str = Field(primary_key=True)
    version: int = Field(sa_column=Column(BigInteger, nullable=False))


class KnowledgeClosedGapRow(SQLModel, table=True):
    """A guest's message that no article answered, and an article written for it."""

    __tablename__ = "knowledge_closed_gaps"

    conversation_id: str = Field(primary_key=True)
    message_id: str = Field(primary_key=True)
    article_id: str = Field(primary_key=True)
