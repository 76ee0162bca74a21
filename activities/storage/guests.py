"""Guests and their contacts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import JsonValue
from sqlalchemy import ColumnElement, Row, Select, SQLColumnExpression, any_, exists, func, or_, select, update
from sqlalchemy.dialects.postgresql import aggregate_order_by
from sqlalchemy.orm import Mapped
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.guest_tables import GuestMergeRow
from activities.storage.paging import Slice, TimePosition, newest_first
from activities.storage.tables import ContactRow, GuestRow
from contracts.guests import Guest


@dataclass(frozen=True, slots=True)
class StoredGuest:
    """A guest and their property."""

    guest: Guest
    property_id: str


class Guests:
    """The guests of all properties. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def get(self, guest_id: str) -> StoredGuest | None:
        """A guest by id; for a merged guest, the one they were merged into."""
        async with self._database.begin() as connection:
            row = (await connection.execute(_guests().where(_is(guest_id)))).one_or_none()
        return _guest(row) if row is not None else None

    async def list(
        self, properties: Sequence[str], *, words: str | None, limit: int, after: TimePosition | None
    ) -> Slice[Guest, TimePosition]:
        """Guests, newest first. `words` must be part of their name or one of their addresses."""
        at, row_id = col(GuestRow.created_at), col(GuestRow.id)
        statement = _guests().where(col(GuestRow.property_id).in_(properties), ~_is_merged())
        if words is not None:
            named = col(GuestRow.name).icontains(words, autoescape=True)
            statement = statement.where(or_(named, col(GuestRow.id).in_(_reached_at(properties, words))))
        rows, end = await newest_first(self._database, statement, at, row_id, limit=limit, after=after)
        return Slice([_guest(row).guest for row in rows], end)

    async def update(
        self, guest_id: str, changes: dict[str, JsonValue], allow: Callable[[StoredGuest], None]
    ) -> StoredGuest | None:
        """Changes a guest; returns None if unknown. `allow` gets the current guest and raises to forbid the change."""
        mine = _is(guest_id)
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
        .where(is_of(col(GuestRow.id), col(ContactRow.guest_id)))
        .scalar_subquery()
    )
    merged = _merged_into(col(GuestRow.id))
    return select(GuestRow, contacts.label("contacts"), merged.label("merged_guest_ids"))


def root_of(guest_id: str) -> ColumnElement[str]:
    """SQL for the root guest of an id."""
    root = select(col(GuestMergeRow.root_id)).where(col(GuestMergeRow.guest_id) == guest_id).scalar_subquery()
    return func.coalesce(root, guest_id)


def is_of(guest_id: SQLColumnExpression[str], contact_guest: Mapped[str]) -> ColumnElement[bool]:
    """SQL for whether a contact belongs to a guest or one merged into them: an array, so that an index is used."""
    return contact_guest == any_(func.array_prepend(guest_id, _merged_into(guest_id)))


def _is(guest_id: str) -> ColumnElement[bool]:
    return col(GuestRow.id) == root_of(guest_id)


def _is_merged() -> ColumnElement[bool]:
    return exists().where(col(GuestMergeRow.guest_id) == col(GuestRow.id))


def _reached_at(properties: Sequence[str], words: str) -> Select[str]:
    """Guests with an address that contains these characters, or with such a guest merged into them."""
    root = func.coalesce(col(GuestMergeRow.root_id), col(ContactRow.guest_id))
    return (
        select(root)
        .select_from(ContactRow)
        .outerjoin(GuestMergeRow, col(GuestMergeRow.guest_id) == col(ContactRow.guest_id))
        .where(col(ContactRow.property_id).in_(properties), col(ContactRow.sender_id).icontains(words, autoescape=True))
    )


def _merged_into(guest_id: SQLColumnExpression[str]) -> ColumnElement[list[str]]:
    merged = select(col(GuestMergeRow.guest_id)).where(col(GuestMergeRow.root_id) == guest_id)
    # At any nesting, this refers to the guest of the outer query.
    return func.array(merged.order_by(col(GuestMergeRow.guest_id)).correlate(GuestRow).scalar_subquery())


def _guest(row: Row[*tuple[Any, ...]]) -> StoredGuest:
    return StoredGuest(Guest.model_validate(row, from_attributes=True), row.property_id)
