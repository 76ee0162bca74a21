"""Finds and exports everything stored about a guest."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote_to_bytes

from pydantic.alias_generators import to_camel
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from activities.storage.database import Database
from contracts.guest_export import GuestExport
from contracts.media import own_media_id

SHORTEST_ADDRESS = 5
"""Shorter addresses would match in everybody's mail."""

_GUESTS = text(
    """
    WITH root AS (
        SELECT coalesce((SELECT root_id FROM guest_merges WHERE guest_id = :guest_id), :guest_id) AS id
    )
    SELECT guests.id, guests.property_id, guests.id = root.id AS is_root FROM root, guests
    WHERE guests.id = root.id OR guests.id IN (SELECT guest_id FROM guest_merges WHERE root_id = root.id)
    ORDER BY is_root DESC, guests.id
    """
)
_CONTACTS = text("SELECT contact_key, sender_id FROM contacts WHERE guest_id = ANY(:guests) ORDER BY contact_key")
_CONVERSATIONS = text(
    """
    SELECT id, contact_key, state FROM conversations WHERE contact_key = ANY(:contacts)
    UNION SELECT id, contact_key, state FROM conversations WHERE guest_id = ANY(:guests)
    ORDER BY id
    """
)
_TASKS = text("SELECT id FROM tasks WHERE guest_id = ANY(:guests) OR conversation_id = ANY(:conversations) ORDER BY id")
# Files that staff have also sent to others, such as a map of the hotel, are not the guest's.
_URLS = text(
    """
    SELECT DISTINCT attachment->>'url' AS url FROM messages, jsonb_array_elements(attachments) AS attachment
    WHERE conversation_id = ANY(:conversations) AND NOT (author <> 'guest' AND EXISTS (
        SELECT FROM messages AS others
        WHERE others.attachments <> '[]' AND others.conversation_id <> ALL(:conversations)
          AND others.attachments @> jsonb_build_array(jsonb_build_object('url', attachment->>'url'))
    ))
    """
)
_QUARANTINE = text(
    """
    SELECT id, payload FROM quarantine
    WHERE property_id = :property AND EXISTS (
        SELECT FROM unnest(CAST(:addresses AS text[])) AS address
        WHERE position(lower(encode(convert_to(address, 'UTF8'), 'escape')) IN lower(encode(payload, 'escape'))) > 0
    )
    """
)


@dataclass(frozen=True, slots=True)
class Holdings:
    """The ids of everything stored about a guest, including everybody merged into them."""

    property_id: str
    guests: list[str]
    contacts: list[str]
    conversations: list[str]
    open_conversations: list[str]
    tasks: list[str]
    media: list[str]
    quarantine: list[str]

    def values(self) -> dict[str, Any]:
        """The ids as parameters of statements."""
        return {
            "property": self.property_id,
            "guests": self.guests,
            "contacts": self.contacts,
            "conversations": self.conversations,
            "tasks": self.tasks,
            "quarantine": self.quarantine,
        }


async def holdings(connection: AsyncConnection, guest_id: str) -> Holdings | None:
    """What is stored about the guest that an id leads to; None if there is no such guest."""
    guests = (await connection.execute(_GUESTS, {"guest_id": guest_id})).all()
    if not guests:
        return None
    property_id, ids = guests[0].property_id, [row.id for row in guests]
    contacts = (await connection.execute(_CONTACTS, {"guests": ids})).all()
    keys = [row.contact_key for row in contacts]
    conversations = (await connection.execute(_CONVERSATIONS, {"contacts": keys, "guests": ids})).all()
    conversation_ids = [row.id for row in conversations]
    tasks = await connection.execute(_TASKS, {"guests": ids, "conversations": conversation_ids})
    urls = await connection.execute(_URLS, {"conversations": conversation_ids})
    files = {own_media_id(row.url) for row in urls}
    addresses = [row.sender_id for row in contacts]
    return Holdings(
        property_id=property_id,
        guests=ids,
        contacts=sorted({*keys, *(row.contact_key for row in conversations)}),
        conversations=conversation_ids,
        open_conversations=[row.id for row in conversations if row.state != "resolved"],
        tasks=list(tasks.scalars()),
        media=sorted(each for each in files if each is not None),
        quarantine=await _mentions(connection, property_id, addresses),
    )


async def _mentions(connection: AsyncConnection, property_id: str, addresses: Sequence[str]) -> list[str]:
    """Quarantined items that contain one of the addresses, as a whole and not as part of another."""
    wanted = {each.lstrip("+") for each in addresses}
    wanted = {each for each in wanted if len(each) >= SHORTEST_ADDRESS}
    if not wanted:
        return []
    whole = re.compile(
        rb"(?<![\w.+-])\+?(?:" + b"|".join(re.escape(each.encode()) for each in sorted(wanted)) + rb")(?![\w-]|\.\w)",
        re.I,
    )
    written = {*wanted, *(quote(each, safe="") for each in wanted)}
    rows = await connection.execute(_QUARANTINE, {"property": property_id, "addresses": sorted(written)})
    return sorted(row.id for row in rows if whole.search(row.payload) or whole.search(_form(row.payload)))


def _form(payload: bytes) -> bytes:
    """An urlencoded form, decoded: `%2B351…` begins with a plus."""
    return unquote_to_bytes(payload.replace(b"+", b" "))


# --- export --------------------------------------------------------------------------------------------------------

_PARTS: dict[str, TextClause] = {
    "profiles": text("SELECT * FROM guests WHERE id = ANY(:guests) ORDER BY created_at, id"),
    "merges": text("SELECT * FROM guest_merges WHERE guest_id = ANY(:guests) ORDER BY at, guest_id"),
    "contacts": text("SELECT * FROM contacts WHERE contact_key = ANY(:contacts) ORDER BY created_at, contact_key"),
    "conversations": text("SELECT * FROM conversations WHERE id = ANY(:conversations) ORDER BY created_at, id"),
    "messages": text(
        "SELECT * FROM messages WHERE conversation_id = ANY(:conversations) ORDER BY created_at, conversation_id, seq"
    ),
    "outcomes": text("SELECT * FROM outcomes WHERE conversation_id = ANY(:conversations) ORDER BY at, message_id"),
    "deliveries": text(
        "SELECT * FROM delivery_reports WHERE conversation_id = ANY(:conversations) ORDER BY at, message_id, part"
    ),
    "events": text(
        "SELECT conversation_id, seq, at, payload->>'change' AS change, payload->>'by' AS by,"
        " payload->>'reason' AS reason FROM log"
        " WHERE conversation_id = ANY(:conversations) AND type = 'conversation_update'"
        " ORDER BY at, conversation_id, seq"
    ),
    "drafts": text(
        "SELECT DISTINCT ON (conversation_id, payload#>>'{conversation,draft,id}') conversation_id, at,"
        " payload#>'{conversation,draft}' AS draft FROM log"
        " WHERE conversation_id = ANY(:conversations) AND payload#>'{conversation,draft}' IS NOT NULL"
        " ORDER BY conversation_id, payload#>>'{conversation,draft,id}', at"
    ),
    "tasks": text("SELECT * FROM tasks WHERE id = ANY(:tasks) ORDER BY created_at, id"),
    "notifications": text("SELECT * FROM notifications WHERE conversation_id = ANY(:conversations) ORDER BY at, id"),
    "quarantine": text(
        "SELECT id, adapter, reason, payload, at FROM quarantine WHERE id = ANY(:quarantine) ORDER BY at, id"
    ),
    "spool": text("SELECT payload, at FROM spool WHERE contact_key = ANY(:contacts) ORDER BY position"),
    "learned": text(
        "SELECT knowledge_closed_gaps.*, messages.content AS question FROM knowledge_closed_gaps"
        " JOIN messages USING (conversation_id) WHERE messages.id = message_id"
        " AND conversation_id = ANY(:conversations) ORDER BY conversation_id, message_id"
    ),
}
"""Every part of an export, with its statement."""


class GuestData:
    """Raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def holdings(self, guest_id: str) -> Holdings | None:
        async with self._database.begin() as connection:
            return await holdings(connection, guest_id)

    async def export(self, held: Holdings) -> GuestExport:
        """Everything stored about a guest. Files are listed as the messages describe them."""
        values = held.values()
        async with self._database.begin() as connection:
            parts = {
                name: [_plain(row._mapping) for row in await connection.execute(statement, _used(statement, values))]
                for name, statement in _PARTS.items()
            }
        return GuestExport.model_validate({**parts, "property_id": held.property_id, "guest_ids": held.guests})


def _used(statement: TextClause, values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[name] for name in statement.compile().params}


def _plain(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        to_camel(key): value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value
        for key, value in row.items()
    }
