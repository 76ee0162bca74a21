"""Notifications that do not come from a conversation or task."""

from sqlalchemy.ext.asyncio import AsyncConnection

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream, append, notification_entry
from activities.storage.notifications import store_notifications
from contracts.events import LogEntry, Notification
from settings import Settings


class Notices:
    """Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database, live: LiveStream, settings: Settings) -> None:
        self._database = database
        self._live = live
        self._settings = settings

    async def tell(self, property_id: str, notification: Notification) -> None:
        """Notifies staff, once per id."""
        async with self._database.begin() as connection:
            entries = await add_notice(connection, self._settings, property_id, notification)
        await self._live.add(entries)


async def add_notice(
    connection: AsyncConnection, settings: Settings, property_id: str, notification: Notification
) -> list[LogEntry]:
    """Adds a notification, as the last step of a transaction. Returns the entries for the live stream, none if it
    existed already."""
    if not await store_notifications(connection, settings, property_id, [notification]):
        return []
    entry = notification_entry(property_id, notification)
    await append(connection, property_id, [entry])
    return [entry]
