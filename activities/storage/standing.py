"""The current permissions of staff in PostgreSQL, which may differ from their tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.tables import StaffRow
from contracts.staff import Staff


@dataclass(frozen=True, slots=True)
class Standing:
    role: str
    properties: frozenset[str]
    disabled: bool

    def allows(self, staff: Staff) -> bool:
        """Whether somebody's permissions are the same as when they signed in."""
        return not self.disabled and (self.role, self.properties) == (staff.role, frozenset(staff.properties))


async def standings(database: Database, staff_ids: Sequence[str]) -> dict[str, Standing]:
    """Standings by id. Programs, and others who are not staff, have none. Raises StorageAway."""
    row = StaffRow
    columns = (col(row.id), col(row.role), col(row.properties), col(row.disabled))
    async with database.begin() as connection:
        rows = await connection.execute(select(*columns).where(col(row.id).in_(staff_ids)))
    return {each.id: Standing(each.role, frozenset(each.properties), each.disabled) for each in rows}
