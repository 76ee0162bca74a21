"""Writes what conversations publish: the projection and the property's log in PostgreSQL, then the live stream."""

import json
import logging
from pathlib import Path

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, IntegrityError

from activities.storage.database import Database
from activities.storage.delivery_reports import DeliveryReports
from activities.storage.log_writer import LiveStream
from activities.storage.mail_outbox import queue_mails
from activities.storage.notifications import reaching_somebody
from activities.storage.statements import Statement
from contracts.conversations import Conversation
from contracts.events import Event, LogEntry, MessageDelivery, Publication, Published
from contracts.messages import Author, DeliveryState, Message
from contracts.metrics import ESCALATIONS
from contracts.problems import StorageAway
from settings import Settings

logger = logging.getLogger(__name__)

_PUBLISH = text(Path(__file__).with_name("publish.sql").read_text())
_PUBLISH_AT_ONCE = Statement.of(_PUBLISH)
"""The same statement without a transaction: one round trip instead of three."""
_MOVE_DELIVERY = text(Path(__file__).with_name("delivery.sql").read_text())
_NO_REPORTS = frozenset({"webchat", "messages"})
"""Adapters without delivery reports."""
_RANKS = [state.value for state in DeliveryState]


class Publications:
    """Without `settings`, no notifications are mailed."""

    def __init__(self, database: Database, live: LiveStream, settings: Settings | None = None) -> None:
        self._database = database
        self._live = live
        self._settings = settings
        self._reports = DeliveryReports(database, live)

    async def publish(self, publication: Publication) -> tuple[Published, set[int]]:
        """Stores a batch, once however often this is called, and adds it to the live stream. Returns the new `seq`s.

        While PostgreSQL is away, the batch only goes to the live stream, and the result says that it is not stored.
        """
        if not (publication.events or publication.outcomes or publication.deliveries):
            return Published(stored=True, told=True), set()
        try:
            publication = await self._reaching_somebody(publication)
            positions = await self._store(publication)
            for moved in publication.deliveries:
                await self.move_delivery(publication.conversation, moved)
            reported = await self._apply_reports(publication)
        except (StorageAway, DBAPIError, asyncpg.PostgresError) as error:
            # Away, read-only or full: the outbox keeps the batch. Raising would repeat sends of the same activity.
            logger.warning("a publication could not be stored: %s", _kind(error))
            untold = [event for event in publication.events if event.seq > publication.told]
            told = await self._live.add([_entry(publication, event) for event in untold])
            return Published(stored=False, told=told), set()
        fresh = [event for event in publication.events if event.seq in positions]
        await self._live.add([*(_entry(publication, event, positions[event.seq]) for event in fresh), *reported])
        conversation = publication.conversation
        for event in fresh:
            if event.change == "escalated":
                ESCALATIONS.labels(conversation.channel_type, conversation.property_id).inc()
        return Published(stored=True, told=True), set(positions)

    async def _apply_reports(self, publication: Publication) -> list[LogEntry]:
        """Applies what providers reported about these messages before they were stored."""
        if publication.route.adapter in _NO_REPORTS:
            return []
        conversation = publication.conversation
        messages = [event.message for event in publication.events if event.message is not None]
        return await self._reports.apply(
            conversation.property_id,
            conversation.channel_type,
            conversation.conversation_id,
            [message.id for message in messages if message.author is not Author.GUEST and not message.private],
        )

    async def move_delivery(self, conversation: Conversation, moved: MessageDelivery) -> None:
        """Moves a published message's delivery state, upwards only, and publishes it again. Raises StorageAway."""
        async with self._database.begin() as connection:
            row = (
                await connection.execute(
                    _MOVE_DELIVERY,
                    {
                        "property_id": conversation.property_id,
                        "conversation_id": conversation.conversation_id,
                        "message_id": moved.message_id,
                        "state": moved.delivery.state.value,
                        "reason": moved.delivery.reason,
                        "ranks": _RANKS,
                    },
                )
            ).one_or_none()
        if row is not None:
            entry = LogEntry(
                property_id=conversation.property_id,
                type="message",
                position=row.position,
                contact_key=row.contact_key,
                channel_type=conversation.channel_type,
                conversation_id=conversation.conversation_id,
                seq=row.seq,
                repeats=True,
                message=Message.model_validate({**row.message, "delivery": moved.delivery}),
            )
            await self._live.add([entry])

    async def _reaching_somebody(self, publication: Publication) -> Publication:
        """Addresses reminders to everyone if the person who has the conversation has left."""
        told = [event.notification for event in publication.events if event.notification is not None]
        if all(each.staff_id is None for each in told):
            return publication
        async with self._database.read() as connection:
            reaching = iter(await reaching_somebody(connection, publication.conversation.property_id, told))
        events = [
            event if event.notification is None else event.model_copy(update={"notification": next(reaching)})
            for event in publication.events
        ]
        return publication.model_copy(update={"events": events})

    async def _store(self, publication: Publication) -> dict[int, int]:
        """Returns the log positions of the events that were not stored before, by `seq`."""
        try:
            return await self._insert(publication)
        except (IntegrityError, asyncpg.IntegrityConstraintViolationError):
            # Two publishers inserted the very first batch at once. The loser finds it stored now and skips it.
            return await self._insert(publication)

    async def _insert(self, publication: Publication) -> dict[int, int]:
        parameters = _parameters(publication)
        notifications = {event.seq: event.notification for event in publication.events if event.notification}
        if self._settings is None or not notifications:
            async with self._database.driver() as driver:
                return {row["seq"]: row["position"] for row in await _PUBLISH_AT_ONCE.fetch(driver, parameters)}
        async with self._database.begin() as connection:
            positions = {row.seq: row.position for row in await connection.execute(_PUBLISH, parameters)}
            fresh = [note for seq, note in notifications.items() if seq in positions]
            await queue_mails(connection, self._settings, publication.conversation.property_id, fresh)
        return positions


def _parameters(publication: Publication) -> dict[str, object]:
    """The parameters of `publish.sql`."""
    conversation = publication.conversation
    at = publication.events[-1].at if publication.events else conversation.last_message_at
    return {
        "conversation_id": conversation.conversation_id,
        "contact_key": publication.contact_key,
        "property_id": conversation.property_id,
        "guest_id": conversation.guest_id,
        "guest_name": conversation.guest_name,
        "channel_type": conversation.channel_type,
        "sender_id": publication.route.sender_id,
        "route": publication.route.model_dump_json(),
        "opted_out": publication.opted_out,
        "state": conversation.state.value,
        "assigned_to": conversation.assigned_to,
        "needs_review": conversation.needs_review,
        "seq": publication.events[-1].seq if publication.events else 0,
        "snapshot": conversation.model_dump_json(exclude_none=True),
        "created_at": conversation.created_at,
        "at": at or conversation.created_at,
        "events": json.dumps([_row(publication, event) for event in publication.events]),
        "outcomes": json.dumps([outcome.model_dump(mode="json") for outcome in publication.outcomes]),
    }


def _kind(error: StorageAway | DBAPIError | asyncpg.PostgresError) -> str:
    """The code of an error, for logs. Its text may quote a guest."""
    if isinstance(error, StorageAway):
        return error.code
    return str(getattr(error.orig if isinstance(error, DBAPIError) else error, "sqlstate", None))


def _row(publication: Publication, event: Event) -> dict[str, object]:
    entry = _entry(publication, event)
    payload: object = None
    if entry.notification is not None:
        payload = entry.notification.model_dump(mode="json")
    elif entry.conversation is not None:
        payload = entry.conversation.model_dump(mode="json", exclude_none=True)
        payload = {"change": event.change, "by": event.by, "reason": event.reason, "conversation": payload}
    message = event.message.model_dump(mode="json") if event.message is not None else None
    return {"seq": event.seq, "at": event.at.isoformat(), "type": entry.type, "message": message, "payload": payload}


def _entry(publication: Publication, event: Event, position: int | None = None) -> LogEntry:
    conversation = publication.conversation
    entry = LogEntry(
        property_id=conversation.property_id,
        type="message",
        position=position,
        contact_key=publication.contact_key,
        channel_type=conversation.channel_type,
        conversation_id=conversation.conversation_id,
        seq=event.seq,
    )
    if event.message is not None:
        entry.message, entry.unread = event.message, conversation.unread
    elif event.notification is not None:
        entry.type, entry.notification = "notification", event.notification
    else:
        entry.type, entry.conversation = "conversation_update", conversation
    return entry
