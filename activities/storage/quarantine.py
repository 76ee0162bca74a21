"""Messages that could not be parsed: kept as they came, listed, and parsed again after a fix."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Row, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream
from activities.storage.notices import add_notice
from activities.storage.paging import Slice, TimePosition, newest_first
from activities.storage.tables import QuarantineRow
from contracts.events import LogEntry, Notification
from contracts.quarantine import QuarantineItem, Unreadable
from settings import Settings


@dataclass(frozen=True, slots=True)
class Kept:
    """What an adapter needs to parse an item again."""

    property_id: str
    adapter: str
    payload: bytes
    at: datetime
    handled: bool


class Quarantine:
    """The quarantine of all properties. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database, live: LiveStream, settings: Settings) -> None:
        self._database = database
        self._live = live
        self._settings = settings

    async def keep(self, property_id: str, adapter: str, items: Sequence[Unreadable]) -> None:
        """Keeps unparsable items, once however often they come, and notifies staff.

        Staff are notified once an hour per channel: otherwise a provider's new format would bury all other news.
        """
        if not items:
            return
        now = datetime.now(UTC)
        rows = {_id(property_id, adapter, item.payload): item for item in items}
        told: Sequence[LogEntry] = ()
        async with self._database.begin() as connection:
            new = insert(QuarantineRow).values(
                [
                    {
                        "id": item_id,
                        "property_id": property_id,
                        "adapter": adapter,
                        "reason": item.reason,
                        "payload": item.payload,
                        "at": now,
                    }
                    for item_id, item in rows.items()
                ]
            )
            kept = await connection.execute(new.on_conflict_do_nothing().returning(col(QuarantineRow.id)))
            if kept.first() is not None:
                notification = _notification(property_id, adapter, now)
                told = await add_notice(connection, self._settings, property_id, notification)
        await self._live.add(told)

    async def list(
        self,
        properties: Sequence[str],
        *,
        adapter: str | None,
        handled: bool | None,
        limit: int,
        after: TimePosition | None,
    ) -> Slice[QuarantineItem, TimePosition]:
        """Items, newest first."""
        at, row_id, handled_at = col(QuarantineRow.at), col(QuarantineRow.id), col(QuarantineRow.handled_at)
        statement = select(QuarantineRow).where(col(QuarantineRow.property_id).in_(properties))
        if adapter is not None:
            statement = statement.where(col(QuarantineRow.adapter) == adapter)
        if handled is not None:
            statement = statement.where(handled_at.is_not(None) if handled else handled_at.is_(None))
        rows, end = await newest_first(self._database, statement, at, row_id, limit=limit, after=after)
        return Slice([_item(row) for row in rows], end)

    async def get(self, item_id: str) -> Kept | None:
        statement = select(QuarantineRow).where(col(QuarantineRow.id) == item_id)
        async with self._database.begin() as connection:
            row = (await connection.execute(statement)).one_or_none()
        if row is None:
            return None
        return Kept(row.property_id, row.adapter, row.payload, row.at, row.handled_at is not None)

    async def retried(self, item_id: str, reason: str | None) -> QuarantineItem:
        """Records a retry. `reason` is why it still cannot be parsed; None means handled, which is final."""
        now = datetime.now(UTC)
        changes = {"retried_at": now, "handled_at": now} if reason is None else {"retried_at": now, "reason": reason}
        mine = col(QuarantineRow.id) == item_id
        async with self._database.begin() as connection:
            await connection.execute(
                update(QuarantineRow).where(mine, col(QuarantineRow.handled_at).is_(None)).values(**changes)
            )
            return _item((await connection.execute(select(QuarantineRow).where(mine))).one())


def _id(property_id: str, adapter: str, payload: bytes) -> str:
    return hashlib.sha256(b"\x1f".join((property_id.encode(), adapter.encode(), payload))).hexdigest()[:32]


def _notification(property_id: str, adapter: str, now: datetime) -> Notification:
    hour = now.strftime("%Y%m%d%H")
    return Notification(
        id=f"quarantine-{property_id}-{adapter}-{hour}",
        kind="system",
        text=f"Something received through {adapter} could not be understood; see the quarantine",
        at=now,
    )


def _item(row: Row[QuarantineRow]) -> QuarantineItem:
    """An item for display. Bytes of the payload that are not UTF-8 are escaped."""
    payload = row.payload.decode("utf-8", "backslashreplace").replace("\0", "\\x00")
    return QuarantineItem.model_validate({**row._mapping, "payload": payload})
