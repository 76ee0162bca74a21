"""Merges guests who are the same person, and undoes merges.

A merge moves nothing: contacts and conversations stay with their guest and are found through the root guest. An undo
only has to take back what the merge filled into the other's profile.
"""

from collections.abc import Callable
from datetime import UTC, datetime

from pydantic import JsonValue
from sqlalchemy import delete, insert, select, text, update
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.guest_tables import GuestMergeRow
from activities.storage.merged_profiles import Merge, Profile, merged, preferences_of, without
from activities.storage.tables import GuestRow
from contracts.guests import PREFERENCE_CHARACTERS, PREFERENCES, are_bearable
from contracts.problems import Invalid, NotFound, WrongState

# Guests merged into a guest, directly or indirectly.
_MOVE_BELOW = text(
    """
    WITH RECURSIVE below (guest_id) AS (
        SELECT guest_id FROM guest_merges WHERE into_id = :guest_id
        UNION SELECT guest_merges.guest_id FROM guest_merges JOIN below ON guest_merges.into_id = below.guest_id
    )
    UPDATE guest_merges SET root_id = :root_id WHERE guest_id IN (SELECT guest_id FROM below)
    """
)


class GuestMerges:
    """The merges of all properties. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def merge(self, guest_id: str, into_id: str, *, by: str, allow: Callable[[str], None]) -> None:
        """Merges a guest into another, once. `allow` gets each property and raises to forbid it.

        Raises NotFound for an unknown first guest, Invalid for an impossible second one, and WrongState if the first is
        merged into somebody else.
        """
        async with self._database.begin() as connection:
            guests = await _locked(connection, guest_id, into_id)
            if guest_id not in guests:
                raise NotFound(f"There is no guest {guest_id}")
            allow(guests[guest_id])
            if into_id not in guests:
                raise Invalid(f"into: there is no guest {into_id}", field="into")
            allow(guests[into_id])
            if guests[into_id] != guests[guest_id]:
                raise Invalid("into: must be a guest of the same property", field="into")
            known, above = await _merge_of(connection, guest_id), await _merge_of(connection, into_id)
            if known is not None and known.into_id == into_id:
                return
            if known is not None:
                raise WrongState(
                    f"The guest is already merged into {known.into_id}; undo that first", into=known.into_id
                )
            if guest_id in (into_id, above.root_id if above is not None else None):
                raise Invalid("into: must be another guest who is not merged into this one", field="into")
            if above is not None:
                raise Invalid(f"into: is merged into {above.root_id}; merge into that one", field="into")
            await self._join(connection, guest_id, into_id, by)

    async def _join(self, connection: AsyncConnection, guest_id: str, into_id: str, by: str) -> None:
        before, other = await _profile(connection, into_id), await _profile(connection, guest_id)
        after = merged(before, other)
        if not are_bearable(preferences_of(after)):
            most = f"{PREFERENCES} preferences, and {PREFERENCE_CHARACTERS} characters of them"
            raise Invalid(f"into: would have more than {most}; remove some from either guest first", field="into")
        await _write(connection, into_id, after)
        values = {"guest_id": guest_id, "into_id": into_id, "root_id": into_id, "before": before, "after": after}
        await connection.execute(insert(GuestMergeRow).values(merged_by=by, at=datetime.now(UTC), **values))
        await connection.execute(_MOVE_BELOW, {"guest_id": guest_id, "root_id": into_id})

    async def unmerge(self, guest_id: str, *, allow: Callable[[str], None]) -> None:
        """Separates a merged guest again; does nothing for one who is not merged.

        Raises NotFound, and WrongState while the other guest is merged into somebody themselves.
        """
        async with self._database.begin() as connection:
            found = await _merge_of(connection, guest_id)
            guests = await _locked(connection, guest_id, found.into_id if found is not None else guest_id)
            if guest_id not in guests:
                raise NotFound(f"There is no guest {guest_id}")
            allow(guests[guest_id])
            known = await _merge_of(connection, guest_id)
            if known is None:
                return
            if known.root_id != known.into_id:
                raise WrongState(
                    f"Guest {known.into_id} is also merged into another guest; undo that first", guestId=known.into_id
                )
            await self._take_back(connection, known)
            await connection.execute(delete(GuestMergeRow).where(col(GuestMergeRow.guest_id) == guest_id))
            await connection.execute(_MOVE_BELOW, {"guest_id": guest_id, "root_id": guest_id})

    async def _take_back(self, connection: AsyncConnection, undone: GuestMergeRow) -> None:
        same, at = col(GuestMergeRow.into_id) == undone.into_id, col(GuestMergeRow.at)
        rows = (await connection.execute(select(GuestMergeRow).where(same, at > undone.at).order_by(at))).all()
        later = [Merge(await _profile(connection, row.guest_id), row.before, row.after) for row in rows]
        first = Merge(await _profile(connection, undone.guest_id), undone.before, undone.after)
        now, again = without(await _profile(connection, undone.into_id), first, later)
        await _write(connection, undone.into_id, now)
        for row, each in zip(rows, again, strict=True):
            mine = col(GuestMergeRow.guest_id) == row.guest_id
            await connection.execute(update(GuestMergeRow).where(mine).values(before=each.before, after=each.after))


async def _locked(connection: AsyncConnection, *guest_ids: str) -> dict[str, str]:
    """The property of each existing guest, who are locked against other merges until the transaction ends."""
    statement = select(col(GuestRow.id), col(GuestRow.property_id)).where(col(GuestRow.id).in_(guest_ids))
    rows = await connection.execute(statement.order_by(col(GuestRow.id)).with_for_update())
    return {row.id: row.property_id for row in rows}


async def _merge_of(connection: AsyncConnection, guest_id: str) -> GuestMergeRow | None:
    statement = select(GuestMergeRow).where(col(GuestMergeRow.guest_id) == guest_id)
    row = (await connection.execute(statement)).one_or_none()
    return GuestMergeRow.model_validate(dict(row._mapping)) if row is not None else None


async def _profile(connection: AsyncConnection, guest_id: str) -> Profile:
    columns = (GuestRow.name, GuestRow.language, GuestRow.preferences, GuestRow.autonomy)
    statement = select(*(col(each) for each in columns)).where(col(GuestRow.id) == guest_id)
    profile: dict[str, JsonValue] = dict((await connection.execute(statement)).one()._mapping)
    return profile


async def _write(connection: AsyncConnection, guest_id: str, profile: Profile) -> None:
    await connection.execute(update(GuestRow).where(col(GuestRow.id) == guest_id).values(**profile))
