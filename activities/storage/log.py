"""Reads a property's log: everything that happened there, in the order that all readers see."""

from typing import Any

from sqlalchemy import Row, Select, and_, func, literal_column, or_, select
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.tables import ContactRow, ConversationRow, LogHeadRow, LogRow, MessageRow, OutcomeRow
from contracts.conversations import Conversation
from contracts.events import LogEntry, Notification
from contracts.messages import Delivery, Message
from contracts.names import contact_key_of
from contracts.tasks import Task


class Log:
    """The logs of all properties. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def head(self, property_id: str) -> int:
        """The newest position, or 0 if nothing has happened yet. Nothing will ever be committed at or below it."""
        statement = select(col(LogHeadRow.head)).where(col(LogHeadRow.property_id) == property_id)
        async with self._database.begin() as connection:
            return (await connection.execute(statement)).scalar_one_or_none() or 0

    async def oldest(self, property_id: str) -> int:
        """The oldest position still stored, or one past the head if there is none."""
        statement = select(func.min(col(LogRow.position))).where(col(LogRow.property_id) == property_id)
        async with self._database.begin() as connection:
            oldest: int | None = (await connection.execute(statement)).scalar_one()
        return oldest if oldest is not None else await self.head(property_id) + 1

    async def read(
        self,
        property_id: str,
        *,
        after: int,
        up_to: int | None = None,
        limit: int = 500,
        contact_key: str | None = None,
        conversation_id: str | None = None,
    ) -> list[LogEntry]:
        """Entries above `after` up to `up_to`, in order. Messages are in their current state, not as first logged."""
        statement = _entries(property_id).where(col(LogRow.position) > after)
        if up_to is not None:
            statement = statement.where(col(LogRow.position) <= up_to)
        if conversation_id is not None:
            contact_key = contact_key or contact_key_of(conversation_id)
            statement = statement.where(col(LogRow.conversation_id) == conversation_id)
        if contact_key is not None:
            statement = statement.where(col(LogRow.contact_key) == contact_key)
        statement = statement.order_by(col(LogRow.position)).limit(limit)
        async with self._database.begin() as connection:
            return [_entry(row) for row in await connection.execute(statement)]

    async def of_conversation(self, property_id: str, conversation_id: str, *, limit: int) -> list[LogEntry]:
        """The first `limit` entries of a conversation and its tasks, in order. Entries of tasks have no contact."""
        own = await self.read(property_id, after=0, limit=limit, conversation_id=conversation_id)
        tasks = (
            _entries(property_id)
            # They never repeat, but the condition lets PostgreSQL use the index by conversation.
            .where(
                col(LogRow.conversation_id) == conversation_id, col(LogRow.contact_key).is_(None), ~col(LogRow.repeats)
            )
            .order_by(col(LogRow.position))
            .limit(limit)
        )
        async with self._database.begin() as connection:
            theirs = [_entry(row) for row in await connection.execute(tasks)]
        return sorted([*own, *theirs], key=lambda entry: entry.position or 0)[:limit]

    async def history(self, property_id: str, conversation_id: str, *, up_to: int, limit: int) -> list[LogEntry]:
        """The newest `limit` messages of a conversation up to the position `up_to`, each once, in order."""
        statement = (
            _entries(property_id)
            .where(
                col(LogRow.conversation_id) == conversation_id,
                col(LogRow.position) <= up_to,
                col(LogRow.type) == "message",
                ~col(LogRow.repeats),
            )
            .order_by(col(LogRow.seq).desc())
            .limit(limit)
        )
        async with self._database.begin() as connection:
            newest_first = [_entry(row) for row in await connection.execute(statement)]
        return newest_first[::-1]

    async def newest_conversation(self, contact_key: str, *, message_id: str | None = None) -> Conversation | None:
        """A contact's newest conversation, if any; with `message_id`, the newest that contains that message."""
        statement = select(col(ConversationRow.snapshot)).where(col(ConversationRow.contact_key) == contact_key)
        if message_id is not None:
            holds = (col(MessageRow.conversation_id) == col(ConversationRow.id), col(MessageRow.id) == message_id)
            statement = statement.where(select(col(MessageRow.id)).where(*holds).exists())
        newest = statement.order_by(col(ConversationRow.created_at).desc()).limit(1)
        async with self._database.begin() as connection:
            snapshot = (await connection.execute(newest)).scalar_one_or_none()
        return Conversation.model_validate(snapshot) if snapshot is not None else None

    async def is_settled(self, contact_key: str, message_id: str) -> bool:
        """Whether it is recorded what became of a contact's message."""
        statement = (
            select(col(OutcomeRow.message_id))
            .join(ConversationRow, col(ConversationRow.id) == col(OutcomeRow.conversation_id))
            .where(col(ConversationRow.contact_key) == contact_key, col(OutcomeRow.message_id) == message_id)
        )
        async with self._database.begin() as connection:
            return (await connection.execute(statement.limit(1))).one_or_none() is not None


def _entries(property_id: str) -> Select[*tuple[Any, ...]]:
    """Entries with their message and channel, without those whose message was erased."""
    return (
        select(
            col(LogRow.property_id),
            col(LogRow.type),
            col(LogRow.position),
            col(LogRow.contact_key),
            col(LogRow.conversation_id),
            col(LogRow.seq),
            col(LogRow.repeats),
            col(LogRow.payload),
            col(LogRow.at),
            col(ContactRow.channel_type),
            func.to_jsonb(literal_column("messages")).op("-")("words").label("message"),
            col(ConversationRow.snapshot)["unread"].as_integer().label("unread"),
        )
        .outerjoin(
            MessageRow,
            and_(
                col(MessageRow.conversation_id) == col(LogRow.conversation_id),
                col(MessageRow.id) == col(LogRow.message_id),
            ),
        )
        .outerjoin(ConversationRow, col(ConversationRow.id) == col(LogRow.conversation_id))
        .outerjoin(ContactRow, col(ContactRow.contact_key) == col(LogRow.contact_key))
        .where(col(LogRow.property_id) == property_id)
        .where(or_(col(LogRow.type) != "message", col(MessageRow.id).is_not(None)))
    )


def _entry(row: Row[tuple[Any, ...]]) -> LogEntry:
    entry = LogEntry(
        property_id=row.property_id,
        type=row.type,
        position=row.position,
        contact_key=row.contact_key,
        conversation_id=row.conversation_id,
        channel_type=row.channel_type,
        seq=row.seq,
        repeats=row.repeats,
        at=row.at,
    )
    match row.type:
        case "message":
            delivery = Delivery(state=row.message["delivery_state"], reason=row.message["delivery_reason"])
            entry.message = Message.model_validate({**row.message, "delivery": delivery})
            entry.unread = row.unread if not row.repeats else None
        case "conversation_update":
            entry.conversation = Conversation.model_validate(row.payload["conversation"])
            entry.change, entry.by = row.payload["change"], row.payload["by"]
        case "task_update":
            entry.task, entry.by = Task.model_validate(row.payload), row.payload.get("by")
        case "notification":
            entry.notification = Notification.model_validate(row.payload)
    return entry
