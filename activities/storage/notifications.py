"""Notifications for staff, which each member of staff marks as read for themselves."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Select, and_, or_, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.mail_outbox import queue_mails
from activities.storage.paging import Slice, TimePosition, newest_first
from activities.storage.tables import NotificationReadRow, NotificationRow, StaffRow
from contracts.events import Notification
from settings import Settings


async def store_notifications(
    connection: AsyncConnection, settings: Settings, property_id: str, notifications: Sequence[Notification]
) -> list[Notification]:
    """Stores new notifications and queues their mails, within the caller's transaction. Returns the new ones."""
    fresh = []
    for each in notifications:
        values = each.model_dump(by_alias=False, include=set(NotificationRow.model_fields))
        new = insert(NotificationRow).values(**values | {"property_id": property_id})
        told = await connection.execute(new.on_conflict_do_nothing().returning(col(NotificationRow.id)))
        if told.one_or_none() is not None:
            fresh.append(each)
    await queue_mails(connection, settings, property_id, fresh)
    return fresh


async def reaching_somebody(
    connection: AsyncConnection, property_id: str, notifications: Sequence[Notification]
) -> list[Notification]:
    """The notifications, with those for somebody who has left, or never was there, addressed to everyone."""
    named = {each.staff_id for each in notifications if each.staff_id is not None}
    if not named:
        return list(notifications)
    of_the_property = col(StaffRow.properties).contains([property_id]) & ~col(StaffRow.disabled)
    statement = select(col(StaffRow.id)).where(col(StaffRow.id).in_(named), of_the_property)
    there = {None, *(await connection.execute(statement)).scalars()}
    return [each if each.staff_id in there else each.model_copy(update={"staff_id": None}) for each in notifications]


class Notifications:
    """The notifications of all properties. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def list(
        self,
        properties: Sequence[str],
        staff_id: str,
        *,
        manages: bool,
        unread: bool | None,
        limit: int,
        after: TimePosition | None,
    ) -> Slice[Notification, TimePosition]:
        """Notifications for this member of staff, newest first, with the time when they read them.

        `manages`: include notifications for managers and for other people.
        """
        at, row_id, read_at = col(NotificationRow.at), col(NotificationRow.id), col(NotificationReadRow.read_at)
        statement = _seen_by(staff_id).where(col(NotificationRow.property_id).in_(properties))
        if not manages:
            whom = col(NotificationRow.staff_id)
            statement = statement.where(
                or_(whom == staff_id, and_(whom.is_(None), col(NotificationRow.audience) == "everyone"))
            )
        if unread is not None:
            statement = statement.where(read_at.is_(None) if unread else read_at.is_not(None))
        rows, end = await newest_first(self._database, statement, at, row_id, limit=limit, after=after)
        return Slice([Notification.model_validate(row, from_attributes=True) for row in rows], end)

    async def find(self, notification_id: str, staff_id: str) -> tuple[str, Notification] | None:
        """A notification with its property, and the time when the person read it. None if there is none of this id."""
        statement = _seen_by(staff_id).where(col(NotificationRow.id) == notification_id)
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).one_or_none()
        return (row.property_id, Notification.model_validate(row, from_attributes=True)) if row is not None else None

    async def read(self, notification_id: str, staff_id: str) -> Notification:
        """Marks an existing notification as read. The time of the first call counts."""
        async with self._database.begin() as connection:
            now = insert(NotificationReadRow).values(
                notification_id=notification_id, staff_id=staff_id, read_at=datetime.now(UTC)
            )
            await connection.execute(now.on_conflict_do_nothing())
            row = (await connection.execute(_seen_by(staff_id).where(col(NotificationRow.id) == notification_id))).one()
        return Notification.model_validate(row, from_attributes=True)


def _seen_by(staff_id: str) -> Select[*tuple[Any, ...]]:
    return select(NotificationRow, col(NotificationReadRow.read_at)).outerjoin(
        NotificationReadRow,
        (col(NotificationReadRow.notification_id) == col(NotificationRow.id))
        & (col(NotificationReadRow.staff_id) == staff_id),
    )
