"""Reading the projection of conversations, and notes on the ones whose workflow has ended."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Text, func, insert, literal_column, or_, select, update
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream, next_positions
from activities.storage.paging import SeqPosition, Slice, TimePosition, newer_than, older_than
from activities.storage.tables import MESSAGE_WORDS, ConversationRow, LogRow, MessageRow, OutcomeRow
from contracts.conversations import Conversation, ConversationState, Outcome
from contracts.events import Event, LogEntry, Notification
from contracts.messages import ChannelType, Delivery, Message


@dataclass(frozen=True, slots=True)
class ConversationFilter:
    """Which conversations to list; None lets all pass."""

    properties: Sequence[str]
    state: ConversationState | None = None
    channel: ChannelType | None = None
    assigned_to: str | None = None
    needs_review: bool | None = None
    words: str | None = None


class StoredConversations:
    """The conversations as storage knows them. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database, live: LiveStream) -> None:
        self._database = database
        self._live = live

    async def get(self, conversation_id: str) -> Conversation | None:
        statement = _conversations().where(col(ConversationRow.id) == conversation_id)
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return _conversation(row) if row is not None else None

    async def list(
        self, wanted: ConversationFilter, *, limit: int, after: TimePosition | None
    ) -> Slice[Conversation, TimePosition]:
        """Conversations, the one with the newest activity first."""
        at, row_id = col(ConversationRow.last_activity_at), col(ConversationRow.id)
        statement = _conversations().where(*_conditions(wanted))
        if after is not None:
            statement = statement.where(older_than(at, row_id, after))
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement.order_by(at.desc(), row_id.desc()).limit(limit + 1))).all()
        page = rows[:limit]
        end = TimePosition(at=page[-1].last_activity_at, id=page[-1].id) if len(rows) > limit else None
        return Slice([_conversation(row) for row in page], end)

    async def messages(
        self, conversation_id: str, *, limit: int, after: SeqPosition | None
    ) -> Slice[Message, SeqPosition]:
        """Messages in order of `seq`."""
        statement = select(MessageRow).where(col(MessageRow.conversation_id) == conversation_id)
        if after is not None:
            statement = statement.where(col(MessageRow.seq) > after.seq)
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement.order_by(col(MessageRow.seq)).limit(limit + 1))).all()
        return _by_seq([_message(row) for row in rows], limit)

    async def events(self, conversation_id: str, *, limit: int, after: SeqPosition) -> Slice[Event, SeqPosition]:
        """What happened, in order of `seq`; a message as it is now."""
        statement = (
            select(LogRow, func.to_jsonb(literal_column("messages")).label("message"))
            .outerjoin(
                MessageRow,
                (col(MessageRow.conversation_id) == col(LogRow.conversation_id))
                & (col(MessageRow.id) == col(LogRow.message_id)),
            )
            .where(
                col(LogRow.conversation_id) == conversation_id,
                ~col(LogRow.repeats),
                col(LogRow.seq) > after.seq,
                or_(col(LogRow.type) != "message", col(MessageRow.id).is_not(None)),
            )
        )
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement.order_by(col(LogRow.seq)).limit(limit + 1))).all()
        return _by_seq([_event(row) for row in rows], limit)

    async def outcomes(
        self, conversation_id: str, *, limit: int, after: TimePosition | None
    ) -> Slice[Outcome, TimePosition]:
        """What became of the guest's messages, in the order it was decided."""
        at, message_id = col(OutcomeRow.at), col(OutcomeRow.message_id)
        statement = select(OutcomeRow).where(col(OutcomeRow.conversation_id) == conversation_id)
        if after is not None:
            statement = statement.where(newer_than(at, message_id, after))
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement.order_by(at, message_id).limit(limit + 1))).all()
        items = [Outcome.model_validate(row, from_attributes=True) for row in rows[:limit]]
        end = TimePosition(at=items[-1].at, id=items[-1].message_id) if len(rows) > limit else None
        return Slice(items, end)

    async def add_note(self, note: Message) -> Message | None:
        """Stores a note on a conversation whose workflow has ended, once per id, under the next `seq`.

        None if storage does not know the conversation as resolved.
        """
        mine = col(ConversationRow.id) == note.conversation_id
        async with self._database.begin() as connection:
            conversation = (
                await connection.execute(
                    select(
                        col(ConversationRow.property_id),
                        col(ConversationRow.contact_key),
                        col(ConversationRow.channel_type),
                        col(ConversationRow.seq),
                    )
                    .where(mine, col(ConversationRow.state) == ConversationState.RESOLVED.value)
                    .with_for_update()
                )
            ).one_or_none()
            if conversation is None:
                return None
            known = select(MessageRow).where(
                col(MessageRow.conversation_id) == note.conversation_id, col(MessageRow.id) == note.id
            )
            stored = (await connection.execute(known)).one_or_none()
            if stored is not None:
                return _message(stored)
            note = note.model_copy(update={"seq": conversation.seq + 1})
            entry = LogEntry(
                property_id=conversation.property_id,
                type="message",
                contact_key=conversation.contact_key,
                channel_type=conversation.channel_type,
                conversation_id=note.conversation_id,
                seq=note.seq,
                message=note,
            )
            await connection.execute(insert(MessageRow).values(contact_key=conversation.contact_key, **_columns(note)))
            await connection.execute(update(ConversationRow).where(mine).values(seq=note.seq))
            entry.position = await next_positions(connection, conversation.property_id, 1)
            await connection.execute(
                insert(LogRow).values(
                    property_id=entry.property_id,
                    position=entry.position,
                    contact_key=entry.contact_key,
                    conversation_id=entry.conversation_id,
                    seq=entry.seq,
                    type=entry.type,
                    message_id=note.id,
                    repeats=False,
                    at=note.created_at,
                )
            )
        await self._live.add([entry])
        return note

    async def reviewed(self, conversation_id: str, by: str, reason: str | None) -> Conversation | None:
        """Marks a conversation whose workflow has ended as reviewed, under the next `seq`; again changes nothing.

        None if storage does not know the conversation as resolved.
        """
        mine = col(ConversationRow.id) == conversation_id
        async with self._database.begin() as connection:
            row = (
                await connection.execute(
                    select(ConversationRow)
                    .where(mine, col(ConversationRow.state) == ConversationState.RESOLVED.value)
                    .with_for_update()
                )
            ).one_or_none()
            if row is None:
                return None
            conversation = Conversation.model_validate(row.snapshot)
            conversation.seq = row.seq
            if not conversation.needs_review:
                return conversation
            conversation.needs_review, conversation.seq = False, row.seq + 1
            snapshot = conversation.model_dump(mode="json", exclude_none=True)
            await connection.execute(
                update(ConversationRow).where(mine).values(needs_review=False, seq=conversation.seq, snapshot=snapshot)
            )
            entry = LogEntry(
                property_id=row.property_id,
                type="conversation_update",
                contact_key=row.contact_key,
                channel_type=row.channel_type,
                conversation_id=conversation_id,
                seq=conversation.seq,
                conversation=conversation,
                position=await next_positions(connection, row.property_id, 1),
            )
            payload = {"change": "reviewed", "by": by, "reason": reason, "conversation": snapshot}
            await connection.execute(
                insert(LogRow).values(
                    property_id=entry.property_id,
                    position=entry.position,
                    contact_key=entry.contact_key,
                    conversation_id=entry.conversation_id,
                    seq=entry.seq,
                    type=entry.type,
                    payload=payload,
                    repeats=False,
                    at=datetime.now(UTC),
                )
            )
        await self._live.add([entry])
        return conversation


def _conversations() -> Select[*tuple[Any, ...]]:
    """Conversations with how far their last message got by now."""
    return select(
        col(ConversationRow.id),
        col(ConversationRow.last_activity_at),
        col(ConversationRow.snapshot),
        col(ConversationRow.seq),
        col(ConversationRow.last_message),
        col(MessageRow.delivery_state),
        col(MessageRow.delivery_reason),
    ).outerjoin(
        MessageRow,
        (col(MessageRow.conversation_id) == col(ConversationRow.id))
        & (col(MessageRow.id) == col(ConversationRow.last_message).op("->>")("id")),
    )


def _conditions(wanted: ConversationFilter) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = [col(ConversationRow.property_id).in_(wanted.properties)]
    if wanted.state is not None:
        conditions.append(col(ConversationRow.state) == wanted.state.value)
    if wanted.channel is not None:
        conditions.append(col(ConversationRow.channel_type) == wanted.channel)
    if wanted.assigned_to is not None:
        conditions.append(col(ConversationRow.assigned_to) == wanted.assigned_to)
    if wanted.needs_review is not None:
        conditions.append(col(ConversationRow.needs_review).is_(wanted.needs_review))
    if wanted.words is not None:
        said = select(col(MessageRow.conversation_id)).where(
            MESSAGE_WORDS.op("@@")(func.websearch_to_tsquery("simple", wanted.words))
        )
        guest_name = col(ConversationRow.snapshot).op("->>", return_type=Text())("guestName")
        conditions.append(or_(col(ConversationRow.id).in_(said), guest_name.icontains(wanted.words, autoescape=True)))
    return conditions


def _by_seq(items: list[Any], limit: int) -> Slice[Any, SeqPosition]:
    page = items[:limit]
    return Slice(page, SeqPosition(seq=page[-1].seq) if len(items) > limit else None)


def _conversation(row: Row[*tuple[Any, ...]]) -> Conversation:
    conversation = Conversation.model_validate(row.snapshot)
    conversation.seq = row.seq
    if row.last_message is not None:
        conversation.last_message = Message.model_validate(row.last_message)
        if row.delivery_state is not None:
            conversation.last_message.delivery = Delivery(state=row.delivery_state, reason=row.delivery_reason)
    return conversation


def _message(row: Row[MessageRow]) -> Message:
    delivery = Delivery(state=row.delivery_state, reason=row.delivery_reason)
    return Message.model_validate({**row._mapping, "delivery": delivery})


def _columns(message: Message) -> dict[str, Any]:
    """A message without `ai` as a row, without its contact."""
    return {
        **message.model_dump(exclude={"delivery", "attachments", "ai"}, by_alias=False),
        "author": message.author.value,
        "attachments": [attachment.model_dump(mode="json") for attachment in message.attachments],
        "delivery_state": message.delivery.state.value,
        "delivery_reason": message.delivery.reason,
    }


def _event(row: Row[*tuple[Any, ...]]) -> Event:
    match row.type:
        case "message":
            delivery = Delivery(state=row.message["delivery_state"], reason=row.message["delivery_reason"])
            message = Message.model_validate({**row.message, "delivery": delivery})
            return Event(seq=row.seq, at=row.at, message=message)
        case "notification":
            return Event(seq=row.seq, at=row.at, notification=Notification.model_validate(row.payload))
    return Event(
        seq=row.seq, at=row.at, change=row.payload["change"], by=row.payload["by"], reason=row.payload["reason"]
    )
