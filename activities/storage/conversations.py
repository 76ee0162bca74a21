"""Reads the projection of conversations, and adds notes to those whose workflow has ended."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, Final

import asyncpg
from sqlalchemy import Row, bindparam, func, insert, literal_column, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream, append, next_positions, notification_entry
from activities.storage.notifications import store_notifications
from activities.storage.paging import MovingPosition, SeqPosition, Slice, TimePosition, newer_than
from activities.storage.search import LIMIT, ConversationFilter, Shape, asked, conditions, found, in_order
from activities.storage.statements import Statement
from activities.storage.tables import ConversationRow, LogRow, MessageRow, OutcomeRow
from contracts.base import Model
from contracts.conversations import Conversation, ConversationState, Outcome
from contracts.events import Event, LogEntry, Notification
from contracts.messages import Delivery, Message
from settings import Settings

_LAST_MESSAGE: Final = (col(MessageRow.conversation_id) == col(ConversationRow.id)) & (
    col(MessageRow.id) == col(ConversationRow.last_message).op("->>")("id")
)
"""Joins a conversation's last message, whose row has its current delivery state."""
_SHOWN: Final = (
    col(ConversationRow.id),
    col(ConversationRow.last_activity_at),
    col(ConversationRow.snapshot),
    col(ConversationRow.seq),
    col(ConversationRow.last_message),
    col(MessageRow.delivery_state),
    col(MessageRow.delivery_reason),
)
_ONE: Final = select(*_SHOWN).outerjoin(MessageRow, _LAST_MESSAGE).where(col(ConversationRow.id) == bindparam("id"))


class StoredConversations:
    """The conversations in storage. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database, live: LiveStream, settings: Settings) -> None:
        self._database = database
        self._live = live
        self._settings = settings

    async def get(self, conversation_id: str) -> Conversation | None:
        async with self._database.read() as connection:
            row = (await connection.execute(_ONE, {"id": conversation_id})).one_or_none()
        return _conversation(row) if row is not None else None

    async def list(
        self, wanted: ConversationFilter, *, limit: int, after: MovingPosition | None
    ) -> Slice[dict[str, Any], MovingPosition]:
        """Conversations as JSON, the most recently active first; at the end, those that have moved up meanwhile."""
        async with self._database.driver(plan_each=wanted.words is not None) as connection:
            rows, end = await _page(connection, wanted, limit, after)
        return Slice(_as_json(rows), end)

    async def messages(
        self, conversation_id: str, *, limit: int, after: SeqPosition | None
    ) -> Slice[Message, SeqPosition]:
        """Messages in order of `seq`."""
        statement = select(MessageRow).where(col(MessageRow.conversation_id) == conversation_id)
        if after is not None:
            statement = statement.where(col(MessageRow.seq) > after.seq)
        async with self._database.read() as connection:
            rows = (await connection.execute(statement.order_by(col(MessageRow.seq)).limit(limit + 1))).all()
        return _by_seq([_message(row) for row in rows], limit)

    async def events(self, conversation_id: str, *, limit: int, after: SeqPosition) -> Slice[Event, SeqPosition]:
        """Events in order of `seq`, with messages in their current state."""
        statement = (
            select(LogRow, func.to_jsonb(literal_column("messages")).op("-")("words").label("message"))
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
        async with self._database.read() as connection:
            rows = (await connection.execute(statement.order_by(col(LogRow.seq)).limit(limit + 1))).all()
        return _by_seq([_event(row) for row in rows], limit)

    async def outcomes(
        self, conversation_id: str, *, limit: int, after: TimePosition | None
    ) -> Slice[Outcome, TimePosition]:
        """Outcomes of guest messages, in the order they were decided."""
        at, message_id = col(OutcomeRow.at), col(OutcomeRow.message_id)
        statement = select(OutcomeRow).where(col(OutcomeRow.conversation_id) == conversation_id)
        if after is not None:
            statement = statement.where(newer_than(at, message_id, after))
        async with self._database.read() as connection:
            rows = (await connection.execute(statement.order_by(at, message_id).limit(limit + 1))).all()
        items = [Outcome.model_validate(row, from_attributes=True) for row in rows[:limit]]
        end = TimePosition(at=items[-1].at, id=items[-1].message_id) if len(rows) > limit else None
        return Slice(items, end)

    async def add_note(self, note: Message, mentions: Sequence[Notification]) -> Message | None:
        """Adds a note to a conversation whose workflow has ended, once per id, under the next `seq`, and notifies the
        staff whom it mentions.

        Returns None if the conversation is not resolved in storage.
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
            fresh = await store_notifications(connection, self._settings, entry.property_id, mentions)
            await _log(connection, entry, message_id=note.id, at=note.created_at)
            told = [notification_entry(entry.property_id, each) for each in fresh]
            await append(connection, entry.property_id, told)
        await self._live.add([entry, *told])
        return note

    async def reviewed(self, conversation_id: str, by: str, reason: str | None) -> Conversation | None:
        """Marks a conversation whose workflow has ended as reviewed, once, under the next `seq`.

        Returns None if the conversation is not resolved in storage.
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
            )
            payload = {"change": "reviewed", "by": by, "reason": reason, "conversation": snapshot}
            await _log(connection, entry, payload=payload, at=datetime.now(UTC))
        await self._live.add([entry])
        return conversation


async def _log(connection: AsyncConnection, entry: LogEntry, *, at: datetime, **content: object) -> None:
    """Gives the entry the log's next position and writes it with its content, as the last step of a transaction."""
    entry.position = await next_positions(connection, entry.property_id, 1)
    await connection.execute(
        insert(LogRow).values(
            property_id=entry.property_id,
            position=entry.position,
            contact_key=entry.contact_key,
            conversation_id=entry.conversation_id,
            seq=entry.seq,
            type=entry.type,
            repeats=False,
            at=at,
            **content,
        )
    )


async def _page(
    connection: asyncpg.Connection, wanted: ConversationFilter, limit: int, after: MovingPosition | None
) -> tuple[Sequence[asyncpg.Record], MovingPosition | None]:
    rows: Sequence[asyncpg.Record] = []
    if after is None or not after.moved:
        shape, parameters = asked(wanted, limit=limit + 1, below=after)
        rows = await _detailed(shape).fetch(connection, parameters)
        top = after.top if after is not None else _place(rows[0]) if rows else None
        if len(rows) > limit and top is not None:
            last = _place(rows[limit - 1])
            return rows[:limit], MovingPosition(at=last.at, id=last.id, top_at=top.at, top_id=top.id)
    if after is None:
        return rows, None
    start = TimePosition(at=after.at, id=after.id) if after.moved else after.top
    left = limit - len(rows)
    shape, parameters = asked(wanted, limit=left + 1, above=start, created_by=after.top_at)
    late = await _detailed(shape).fetch(connection, parameters)
    page = [*rows, *late[:left]]
    if len(late) <= left:
        return page, None
    last = _place(late[left - 1]) if left else start
    return page, MovingPosition(at=last.at, id=last.id, top_at=after.top_at, top_id=after.top_id, moved=True)


def _place(row: asyncpg.Record) -> TimePosition:
    return TimePosition(at=row["last_activity_at"], id=row["id"])


@lru_cache(maxsize=256)
def _detailed(shape: Shape) -> Statement:
    """Selects the conversations of a page. What they are shown with is looked up for these alone."""
    shown = select(*_SHOWN)
    if shape.properties == 1 and not shape.words:  # read from one index as it stands: no places to find first
        order = in_order(shape, col(ConversationRow.last_activity_at), col(ConversationRow.id))
        wanted = shown.where(*conditions(shape, 0)).order_by(*order).limit(LIMIT)
        return Statement.of(wanted.outerjoin(MessageRow, _LAST_MESSAGE))
    places = found(shape)
    order = in_order(shape, places.c.last_activity_at, places.c.id)
    those = shown.select_from(places).join(ConversationRow, col(ConversationRow.id) == places.c.id)
    return Statement.of(those.outerjoin(MessageRow, _LAST_MESSAGE).order_by(*order))


def _as_json(rows: Sequence[asyncpg.Record]) -> list[dict[str, Any]]:
    """Conversations as JSON for clients. Converting a page to models and back would cost three times as much."""
    of_conversation, of_message = _defaults(Conversation), _defaults(Message)
    shown = []
    for _, _, snapshot, seq, last, state, reason in rows:
        if last is not None:
            last = {**of_message, **last}
            if state is not None:
                last["delivery"] = {"state": state, "reason": reason}
        shown.append({**of_conversation, **snapshot, "seq": seq, "lastMessage": last})
    return shown


@cache
def _defaults(model: type[Model]) -> dict[str, Any]:
    """A model's default values as JSON. Null values are not stored."""
    given = {name: field.get_default(call_default_factory=True) for name, field in model.model_fields.items()}
    optional = {name for name, field in model.model_fields.items() if not field.is_required()}
    return model.model_construct(**given).model_dump(mode="json", include=optional)


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
    """A message as a row, without `ai` and its contact."""
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
