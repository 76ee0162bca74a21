"""The list in PostgreSQL of sessions and keys that were revoked early."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import delete, exists, select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from activities.storage.access_tables import StaffSessionRow
from activities.storage.tables import RevokedSessionRow


@dataclass(frozen=True, slots=True)
class Ending:
    """A revoked session. After `ends_at` it would have expired anyway, and the entry can be deleted."""

    session_id: str
    ends_at: datetime


async def revoke(connection: AsyncConnection, endings: Sequence[Ending]) -> None:
    """Adds to the list, and deletes expired entries."""
    over = col(RevokedSessionRow.expires_at) < datetime.now(UTC)
    await connection.execute(delete(RevokedSessionRow).where(over))
    if endings:
        rows = [{"session_id": each.session_id, "expires_at": each.ends_at} for each in endings]
        await connection.execute(insert(RevokedSessionRow).values(rows).on_conflict_do_nothing())


async def revoke_all_of(connection: AsyncConnection, staff_id: str, *, but: str | None = None) -> list[Ending]:
    """Revokes all sessions of a member of staff, or all but one."""
    theirs = delete(StaffSessionRow).where(col(StaffSessionRow.staff_id) == staff_id)
    if but is not None:
        theirs = theirs.where(col(StaffSessionRow.session_id) != but)
    rows = await connection.execute(theirs.returning(col(StaffSessionRow.session_id), col(StaffSessionRow.ends_at)))
    endings = [Ending(row.session_id, row.ends_at) for row in rows]
    await revoke(connection, endings)
    return endings


async def is_revoked(connection: AsyncConnection, session_id: str) -> bool:
    known = select(exists().where(col(RevokedSessionRow.session_id) == session_id))
    return bool((await connection.execute(known)).scalar_one())


async def all_revoked(connection: AsyncConnection) -> list[Ending]:
    """All entries that have not expired."""
    lasting = select(RevokedSessionRow).where(col(RevokedSessionRow.expires_at) > datetime.now(UTC))
    return [Ending(row.session_id, row.expires_at) for row in await connection.execute(lasting)]
