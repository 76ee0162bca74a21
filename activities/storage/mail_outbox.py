"""The outbox of notification mails: queued in the transaction that stores the notification, and sent afterwards."""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Select, delete, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.tables import MailOutboxRow, NotificationRow, StaffRow
from contracts.events import Notification
from settings import Settings

GIVES_UP: Final = timedelta(days=1)
"""The age after which a notification is no longer mailed."""
BACKOFF: Final = timedelta(seconds=30)
LONGEST_BACKOFF: Final = timedelta(hours=1)

# A notification for one person goes only to that person, one for managers to managers and administrators.
_QUEUE = text(
    """
    INSERT INTO mail_outbox (notification_id, staff_id, property_id, queued_at, next_at)
    SELECT :id, staff.id, :property_id, :at, :at
    FROM staff
    WHERE NOT disabled AND :property_id = ANY(properties) AND :kind = ANY(mail_kinds)
      AND staff.id = coalesce(CAST(:staff_id AS text), staff.id)
      AND (NOT :managers OR role IN ('manager', 'admin'))
    ON CONFLICT DO NOTHING
    """
)


class Sent(StrEnum):
    """The result of one attempt."""

    GONE = "gone"
    REFUSED = "refused"
    LATER = "later"


@dataclass(frozen=True, slots=True)
class NotificationMail:
    """One notification for one member of staff."""

    notification_id: str
    staff_id: str
    property_id: str
    address: str
    name: str
    kind: str
    text: str
    conversation_id: str | None


class MailOutbox:
    """The outbox of all properties. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def send_next(
        self, send: Callable[[NotificationMail], Awaitable[Sent]], *, besides: Collection[str] = ()
    ) -> bool:
        """Tries the mail that has been due longest, except for the properties in `besides`. False if none is due.

        Its row is locked meanwhile, so that workers take different mails. If a worker dies, the mail is sent again
        under the same Message-ID.
        """
        now = datetime.now(UTC)
        async with self._database.begin() as connection:
            row = (await connection.execute(_next(now, besides))).one_or_none()
            if row is None:
                return False
            mine = (col(MailOutboxRow.notification_id) == row.notification_id) & (
                col(MailOutboxRow.staff_id) == row.staff_id
            )
            wanted = not row.disabled and row.property_id in row.properties and now - row.queued_at < GIVES_UP
            mail = NotificationMail(
                notification_id=row.notification_id,
                staff_id=row.staff_id,
                property_id=row.property_id,
                address=row.email,
                name=row.name,
                kind=row.kind,
                text=row.text,
                conversation_id=row.conversation_id,
            )
            if wanted and await send(mail) is Sent.LATER:
                pause = min(BACKOFF * 2 ** min(row.attempts, 10), LONGEST_BACKOFF)
                later = {"attempts": row.attempts + 1, "next_at": now + pause}
                await connection.execute(update(MailOutboxRow).where(mine).values(**later))
            else:
                await connection.execute(delete(MailOutboxRow).where(mine))
        return True


async def queue_mails(
    connection: AsyncConnection, settings: Settings, property_id: str, notifications: Sequence[Notification]
) -> None:
    """Queues the mails that staff want of notifications, within the transaction that stores these.

    Nothing is queued for a property without a mail server.
    """
    channel = settings.channels_of(property_id).email
    if channel.smtp_host is None or channel.from_address is None:
        return
    for each in notifications:
        values = {
            "id": each.id,
            "property_id": property_id,
            "kind": each.kind,
            "at": datetime.now(UTC),
            "staff_id": each.staff_id,
            "managers": each.audience == "managers",
        }
        await connection.execute(_QUEUE, values)


def _next(now: datetime, besides: Collection[str]) -> Select[*tuple[Any, ...]]:
    return (
        select(
            *(col(each) for each in (MailOutboxRow.notification_id, MailOutboxRow.staff_id, MailOutboxRow.property_id)),
            *(col(each) for each in (MailOutboxRow.attempts, MailOutboxRow.queued_at)),
            *(col(each) for each in (StaffRow.email, StaffRow.name, StaffRow.disabled, StaffRow.properties)),
            *(col(each) for each in (NotificationRow.kind, NotificationRow.text, NotificationRow.conversation_id)),
        )
        .join(StaffRow, col(StaffRow.id) == col(MailOutboxRow.staff_id))
        .join(NotificationRow, col(NotificationRow.id) == col(MailOutboxRow.notification_id))
        .where(col(MailOutboxRow.next_at) <= now, col(MailOutboxRow.property_id).not_in(besides))
        .order_by(col(MailOutboxRow.next_at))
        .limit(1)
        .with_for_update(of=MailOutboxRow, skip_locked=True)
    )
