"""Guests and how they can be reached."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue
from sqlalchemy import Row, Select, func, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.paging import Slice, TimePosition, older_than
from activities.storage.tables import ContactRow, GuestRow
from contracts.guests import Guest


@dataclass(frozen=True, slots=True)
class StoredGuest:
    """A guest, and the property whose guest it is."""

    guest: Guest
    property_id: str


class Guests:
    """The guests of all properties. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, guest_id: str) -> StoredGuest | None:
        async with self._database.begin() as connection:
            row = (await connection.execute(_guests().where(col(GuestRow.id) == guest_id))).one_or_none()
        return _guest(row) if row is not None else None

    async def list(
        self, properties: Sequence[str], *, name: str | None, limit: int, after: TimePosition | None
    ) -> Slice[Guest, TimePosition]:
        """Guests, the newest first; `name` is a part of their name."""
        at, row_id = col(GuestRow.created_at), col(GuestRow.id)
        statement = _guests().where(col(GuestRow.property_id).in_(properties))
        if name is not None:
            statement = statement.where(col(GuestRow.name).icontains(name, autoescape=True))
        if after is not None:
            statement = statement.where(older_than(at, row_id, after))
        async with self._database.begin() as connection:
            rows = (await connection.execute(statement.order_by(at.desc(), row_id.desc()).limit(limit + 1))).all()
        page = rows[:limit]
        end = TimePosition(at=page[-1].created_at, id=page[-1].id) if len(rows) > limit else None
        return Slice([_guest(row).guest for row in page], end)

    async def update(
        self, guest_id: str, changes: dict[str, JsonValue], allow: Callable[[StoredGuest], None]
    ) -> StoredGuest | None:
        """Changes a guest, None if there is no such one. `allow` sees it as it is and raises to forbid the change."""
        mine = col(GuestRow.id) == guest_id
        async with self._database.begin() as connection:
            await connection.execute(select(col(GuestRow.id)).where(mine).with_for_update())
            row = (await connection.execute(_guests().where(mine))).one_or_none()
            if row is None:
                return None
            allow(_guest(row))
            if changes:
                await connection.execute(update(GuestRow).where(mine).values(**changes))
            return _guest((await connection.execute(_guests().where(mine))).one())


def _guests() -> Select[*tuple[Any, ...]]:
    contact = func.json_build_object(
        "property_id",
        col(ContactRow.property_id),
        "channel_type",
        col(ContactRow.channel_type),
        "sender_id",
        col(ContactRow.sender_id),
    )
    contacts = (
        select(
            func.coalesce(
                func.json_agg(aggregate_order_by(contact, col(ContactRow.created_at), col(ContactRow.contact_key))),
                func.json_build_array(),
            )
        )
        .where(col(ContactRow.guest_id) == col(GuestRow.id))
        .scalar_subquery()
    )
    return select(GuestRow, contacts.label("contacts"))


def _guest(row: Row[*tuple[Any, ...]]) -> StoredGuest:
    return StoredGuest(Guest.model_validate(row, from_attributes=True), row.property_id)
