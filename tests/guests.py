"""Guests as storage has them."""

import uuid
from datetime import UTC, datetime

from sqlalchemy import insert

from activities.storage.database import Database
from activities.storage.tables import ContactRow, GuestRow

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


async def add_guest(database: Database, hotel: str, *, sender_id: str = "", **more: object) -> str:
    """A guest with one contact by SMS; gives their id."""
    guest_id = f"guest-{uuid.uuid4().hex}"
    async with database.begin() as connection:
        values = {"id": guest_id, "property_id": hotel, "autonomy": "auto", "created_at": NOW, **more}
        await connection.execute(insert(GuestRow).values(**values))
    await add_contact(database, hotel, guest_id, sender_id=sender_id or f"+351{uuid.uuid4().int % 10**9:09}")
    return guest_id


async def add_contact(database: Database, hotel: str, guest_id: str, *, sender_id: str) -> str:
    """Gives the contact's key."""
    key = uuid.uuid4().hex[:26]
    async with database.begin() as connection:
        values = {"contact_key": key, "property_id": hotel, "guest_id": guest_id, "created_at": NOW}
        await connection.execute(insert(ContactRow).values(channel_type="sms", sender_id=sender_id, **values))
    return key
