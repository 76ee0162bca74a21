"""Erases a guest: first from storage, in one transaction, then from the live stream. Only ids are remembered."""

import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

from pydantic import ValidationError
from redis.asyncio import Redis
from sqlalchemy import TextClause, insert, text
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.storage.database import Database
from activities.storage.guest_data import Holdings, holdings
from activities.storage.guest_tables import ErasureRow
from activities.storage.redis_client import REDIS_AWAY
from contracts.base import Model
from contracts.events import LogEntry, live_stream
from contracts.problems import Unavailable

ERASED_TITLE = "Erased"
"""The title of an erased guest's tasks: it stays recorded that there was work, but not what it was."""

# A gap's question became a phrasing of its article, shortened and with single spaces, in every version of it.
_ASKED = """
    WITH asked AS (
        SELECT closed.article_id, trim(regexp_replace(messages.content, '[\\s\\x1c-\\x1f]+', ' ', 'g')) AS words
        FROM knowledge_closed_gaps AS closed
        JOIN messages ON messages.conversation_id = closed.conversation_id AND messages.id = closed.message_id
        WHERE closed.conversation_id = ANY(:conversations)
    )
"""
_SAME = "(asked.words = question OR (length(question) >= 250 AND starts_with(asked.words, question)))"
_STEPS: dict[str, TextClause] = {
    "phrasings": text(
        f"""{_ASKED}
        UPDATE knowledge SET questions = ARRAY(
            SELECT question FROM unnest(questions) WITH ORDINALITY AS each (question, place)
            WHERE NOT EXISTS (SELECT FROM asked WHERE asked.article_id = knowledge.id AND {_SAME}) ORDER BY place
        )
        WHERE property_id = :property AND id IN (SELECT article_id FROM asked)
        """  # noqa: S608 - only our own constants
    ),
    "earlier_phrasings": text(
        f"""{_ASKED}
        UPDATE knowledge_versions SET article = jsonb_set(article, '{{questions}}', (
            SELECT coalesce(jsonb_agg(question ORDER BY place), '[]')
            FROM jsonb_array_elements_text(article->'questions') WITH ORDINALITY AS each (question, place)
            WHERE NOT EXISTS (
                SELECT FROM asked WHERE asked.article_id = knowledge_versions.article_id AND {_SAME}
            )
        ))
        WHERE property_id = :property AND article_id IN (SELECT article_id FROM asked)
        """  # noqa: S608
    ),
    "knowledge": text(
        "UPDATE knowledge_heads SET version = version + 1 WHERE property_id = :property"
        " AND EXISTS (SELECT FROM knowledge_closed_gaps WHERE conversation_id = ANY(:conversations))"
    ),
    "closed_gaps": text("DELETE FROM knowledge_closed_gaps WHERE conversation_id = ANY(:conversations)"),
    "figures": text(
        """
        INSERT INTO erased_figures
            (id, property_id, channel_type, created_at, resolved_at, resolution, handed, breached, rating)
        SELECT gen_random_uuid()::text, property_id, channel_type, created_at, resolved_at,
               resolution - ARRAY['summary', 'reason', 'by'], handed, breached, rating
        FROM conversation_figures WHERE conversation_id = ANY(:conversations)
        """
    ),
    "read_marks": text(
        "DELETE FROM notification_reads USING notifications WHERE notification_id = notifications.id"
        " AND notifications.conversation_id = ANY(:conversations)"
    ),
    "notifications": text("DELETE FROM notifications WHERE conversation_id = ANY(:conversations)"),
    "log": text("DELETE FROM log WHERE conversation_id = ANY(:conversations) OR contact_key = ANY(:contacts)"),
    "log_of_tasks": text(
        "DELETE FROM log WHERE property_id = :property AND type = 'task_update' AND payload->>'id' = ANY(:tasks)"
    ),
    "outcomes": text("DELETE FROM outcomes WHERE conversation_id = ANY(:conversations)"),
    "delivery_reports": text("DELETE FROM delivery_reports WHERE conversation_id = ANY(:conversations)"),
    "messages": text("DELETE FROM messages WHERE conversation_id = ANY(:conversations)"),
    "conversations": text("DELETE FROM conversations WHERE id = ANY(:conversations)"),
    "tasks": text(
        "UPDATE tasks SET title = :title, description = '', guest_id = NULL, conversation_id = NULL,"
        " updated_at = now(), version = version + 1 WHERE id = ANY(:tasks)"
    ),
    "spool": text("DELETE FROM spool WHERE contact_key = ANY(:contacts)"),
    "quarantine": text("DELETE FROM quarantine WHERE id = ANY(:quarantine)"),
    "opt_outs": text(
        "INSERT INTO kept_opt_outs (contact_key) SELECT contact_key FROM contacts"
        " WHERE contact_key = ANY(:contacts) AND opted_out ON CONFLICT DO NOTHING"
    ),
    "opt_ins": text(
        "DELETE FROM kept_opt_outs USING contacts WHERE kept_opt_outs.contact_key = contacts.contact_key"
        " AND contacts.contact_key = ANY(:contacts) AND NOT opted_out"
    ),
    "contacts": text("DELETE FROM contacts WHERE contact_key = ANY(:contacts)"),
    "guests": text("DELETE FROM guests WHERE id = ANY(:guests)"),
}
"""Run in this order. Merges are deleted with their guests, waiting mails with their notifications."""
_TOLD = ("conversations", "messages", "outcomes", "notifications", "tasks", "quarantine", "contacts", "guests")
_LOCK = text("SELECT id FROM guests WHERE id = ANY(:guests) ORDER BY id FOR UPDATE")
_FIND = text("SELECT * FROM erasures WHERE :guest_id = ANY(guest_ids) ORDER BY at DESC LIMIT 1")


class Traces(Model):
    """Ids for finding what is left outside storage: keyed hashes and random numbers, which identify nobody."""

    contacts: list[str]
    conversations: list[str]
    tasks: list[str]
    media: list[str]


@dataclass(frozen=True, slots=True)
class StoredErasure:
    """An erasure carried out in storage."""

    property_id: str
    guest_ids: list[str]
    at: datetime
    counts: dict[str, int]
    traces: Traces


class Erasures:
    """Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database, redis: Redis) -> None:
        self._database = database
        self._redis = redis

    async def find(self, guest_id: str) -> StoredErasure | None:
        """The last erasure of a guest who no longer exists."""
        async with self._database.begin() as connection:
            row = (await connection.execute(_FIND, {"guest_id": guest_id})).one_or_none()
        if row is None:
            return None
        traces = Traces.model_validate(row.traces)
        return StoredErasure(row.property_id, list(row.guest_ids), row.at, dict(row.counts), traces)

    async def erase(self, held: Holdings, *, by: str) -> StoredErasure | None:
        """Erases everything about a guest in storage, or nothing. Returns None if somebody else just did."""
        async with self._database.begin() as connection:
            await connection.execute(_LOCK, {"guests": held.guests})
            now_held = await holdings(connection, held.guests[0])
            if now_held is None:
                return None
            counts = await _erase(connection, now_held)
            erased = StoredErasure(
                property_id=now_held.property_id,
                guest_ids=now_held.guests,
                at=datetime.now(UTC),
                counts=counts,
                traces=Traces(
                    contacts=now_held.contacts,
                    conversations=now_held.conversations,
                    tasks=now_held.tasks,
                    media=now_held.media,
                ),
            )
            await connection.execute(
                insert(ErasureRow).values(
                    id=uuid.uuid4().hex,
                    property_id=erased.property_id,
                    guest_ids=erased.guest_ids,
                    erased_by=by,
                    at=erased.at,
                    counts=counts,
                    traces=erased.traces.model_dump(mode="json"),
                )
            )
        return erased

    async def clean_stream(self, erasure: StoredErasure) -> None:
        """Removes the guest's entries from the property's live stream. Raises Unavailable while Redis is away."""
        key = live_stream(erasure.property_id)
        try:
            entries = cast("list[tuple[str, dict[str, str]]]", await self._redis.xrange(key))
            theirs = [entry_id for entry_id, fields in entries if _tells_of(fields, erasure.traces)]
            if theirs:
                await self._redis.xdel(key, *theirs)
        except REDIS_AWAY:
            raise Unavailable(
                "Storage is erased, but Redis does not answer; its live stream may still hold data. Repeat the request"
            ) from None


async def _erase(connection: AsyncConnection, held: Holdings) -> dict[str, int]:
    values = {**held.values(), "title": ERASED_TITLE}
    rows = {name: (await connection.execute(step, _used(step, values))).rowcount for name, step in _STEPS.items()}
    return {name: rows[name] for name in _TOLD} | {"files": len(held.media)}


def _used(statement: TextClause, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in statement.compile().params}


def _tells_of(fields: Mapping[str, str], traces: Traces) -> bool:
    try:
        entry = LogEntry.model_validate_json(fields["entry"])
    except (ValidationError, KeyError):
        return _names_any(fields.get("entry", ""), [*traces.contacts, *traces.tasks])
    return (
        entry.conversation_id in traces.conversations
        or entry.contact_key in traces.contacts
        or (entry.task is not None and entry.task.id in traces.tasks)
    )


def _names_any(content: str, ids: Collection[str]) -> bool:
    """Whether an entry that another release wrote contains one of the ids."""
    return any(each in content for each in ids)
