"""What storage knows of contacts: when a conversation begins, and whether they want messages."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select, text
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.guest_tables import GuestMergeRow
from activities.storage.guests import is_of, root_of
from activities.storage.tables import ContactRow, GuestRow
from contracts.events import ContactFacts, ContactLookup
from contracts.messages import Author, ChannelType, Delivery, DeliveryState, Message, Route

PREVIOUS_MESSAGES = 4

_FACTS = text(
    """
    SELECT array(SELECT id FROM messages WHERE contact_key = :contact_key AND id = ANY(:message_ids)) AS known,
           contacts.guest_id, guests.name AS guest_name, guests.language, guests.preferences, guests.stays,
           guests.autonomy,
           coalesce(contacts.opted_out, EXISTS (SELECT FROM kept_opt_outs WHERE contact_key = :contact_key))
               AS opted_out,
           (SELECT id FROM conversations WHERE contact_key = :contact_key AND id <> :conversation_id
            ORDER BY created_at DESC LIMIT 1) AS previous,
           (SELECT max((snapshot#>>'{survey,askedAt}')::timestamptz) FROM conversations
            WHERE contact_key = :contact_key AND id <> :conversation_id) AS surveyed_at
    FROM (SELECT 1) AS one
    LEFT JOIN contacts ON contacts.contact_key = :contact_key
    LEFT JOIN guest_merges ON guest_merges.guest_id = contacts.guest_id
    LEFT JOIN guests ON guests.id = coalesce(guest_merges.root_id, contacts.guest_id)
    """
)
_OPTED_OUT = text(
    """
    SELECT coalesce((SELECT opted_out FROM contacts WHERE contact_key = :contact_key),
                    EXISTS (SELECT FROM kept_opt_outs WHERE contact_key = :contact_key))
    """
)
_OPT_OUT = text(
    """
    WITH known AS (
        UPDATE contacts SET opted_out = true WHERE contact_key = :contact_key RETURNING contact_key
    )
    INSERT INTO kept_opt_outs (contact_key) SELECT :contact_key WHERE NOT EXISTS (SELECT FROM known)
    ON CONFLICT DO NOTHING
    """
)
_LAST_MESSAGES = text(
    """
    SELECT id, seq, author, author_name, left(content, 4096) AS content, created_at FROM messages
    WHERE conversation_id = :conversation_id AND NOT private ORDER BY seq DESC LIMIT :limit
    """
)


@dataclass(frozen=True, slots=True)
class StoredContact:
    """A contact with its guest and route, which is None before the first message. The name is the guest's."""

    sender_id: str
    guest_id: str
    guest_name: str | None
    route: Route | None
    opted_out: bool


class Contacts:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def facts(self, lookup: ContactLookup) -> ContactFacts:
        """Which of the message ids are stored already, which guest the contact belongs to, and the last messages.

        Raises StorageAway.
        """
        async with self._database.begin() as connection:
            row = (
                await connection.execute(
                    _FACTS,
                    {
                        "contact_key": lookup.contact_key,
                        "conversation_id": lookup.conversation_id,
                        "message_ids": lookup.message_ids,
                    },
                )
            ).one()
            messages: list[Message] = []
            if row.previous is not None:
                last = await connection.execute(
                    _LAST_MESSAGES, {"conversation_id": row.previous, "limit": PREVIOUS_MESSAGES}
                )
                messages = [
                    Message(
                        id=each.id,
                        conversation_id=row.previous,
                        seq=each.seq,
                        author=Author(each.author),
                        author_name=each.author_name,
                        content=each.content,
                        created_at=each.created_at,
                        delivery=Delivery(state=DeliveryState.SENT),
                    )
                    for each in reversed(last.all())
                ]
        known = ContactFacts(opted_out=row.opted_out) if row.guest_id is None else _facts_of_guest(row)
        return known.model_copy(
            update={
                "known_message_ids": list(row.known),
                "surveyed_at": row.surveyed_at,
                "previous_conversation_id": row.previous,
                "previous_messages": messages,
            }
        )

    async def find(self, contact_key: str) -> StoredContact | None:
        """A contact by its key. Raises StorageAway."""
        return await self._find(col(ContactRow.contact_key) == contact_key)

    async def has_opted_out(self, contact_key: str) -> bool:
        """Whether a contact opted out, or had when its guest was erased. Raises StorageAway."""
        async with self._database.begin() as connection:
            return bool((await connection.execute(_OPTED_OUT, {"contact_key": contact_key})).scalar_one())

    async def opt_out(self, contact_key: str) -> None:
        """Records that a contact, known or not, wants no messages. An open conversation must be told too.

        Raises StorageAway.
        """
        async with self._database.begin() as connection:
            await connection.execute(_OPT_OUT, {"contact_key": contact_key})

    async def of_guest(self, guest_id: str, property_id: str, channel_type: ChannelType) -> StoredContact | None:
        """A guest's newest contact on a channel. Raises StorageAway."""
        return await self._find(
            is_of(root_of(guest_id), col(ContactRow.guest_id)),
            col(ContactRow.property_id) == property_id,
            col(ContactRow.channel_type) == channel_type,
        )

    async def _find(self, *conditions: ColumnElement[bool]) -> StoredContact | None:
        statement: Select[*tuple[Any, ...]] = (
            select(ContactRow, col(GuestRow.name).label("guest_name"))
            .outerjoin(GuestMergeRow, col(GuestMergeRow.guest_id) == col(ContactRow.guest_id))
            .join(GuestRow, col(GuestRow.id) == func.coalesce(col(GuestMergeRow.root_id), col(ContactRow.guest_id)))
            .where(*conditions)
            .order_by(col(ContactRow.created_at).desc())
            .limit(1)
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        return StoredContact(
            sender_id=row.sender_id,
            guest_id=row.guest_id,
            guest_name=row.guest_name,
            route=None if row.route is None else Route.model_validate(row.route),
            opted_out=row.opted_out,
        )


def _facts_of_guest(row: Row[tuple[Any, ...]]) -> ContactFacts:
    return ContactFacts(
        guest_id=row.guest_id,
        guest_name=row.guest_name,
        language=row.language,
        preferences={key: str(value) for key, value in row.preferences.items()},
        stays=row.stays,
        autonomy=row.autonomy,
        opted_out=row.opted_out,
    )
