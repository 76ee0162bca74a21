"""API keys of programs: created and shown once, stored as hashes."""

import hashlib
import secrets
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from sqlalchemy import Row, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import col

from activities.storage.access_tables import ApiKeyRow
from activities.storage.database import Database
from activities.storage.idempotency import KEPT as REPEATED_FOR
from activities.storage.paging import Slice, TimePosition, newest_first
from activities.storage.revocations import Ending, revoke
from contracts.problems import StorageAway
from contracts.staff import ApiKey

PREFIX: Final = "gw_"
SECRET_BYTES: Final = 32
SHOWN: Final = 8
"""How many characters of a key are shown later, so that its owner can identify it."""
TRUSTED_FOR: Final = timedelta(hours=12)
"""How long a key that was looked up stays valid while PostgreSQL is away."""
REMEMBERED: Final = 1000
USE_NOTED_EVERY: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Seen:
    """A key as last read from storage. `fresh`: read just now, not from memory because storage is away."""

    key: ApiKey
    at: datetime
    fresh: bool = True


class ApiKeys:
    """The keys of all programs."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._seen: OrderedDict[str, Seen] = OrderedDict()

    async def create(
        self,
        key_id: str,
        *,
        name: str,
        properties: Sequence[str],
        scopes: Sequence[str],
        created_by: str,
        expires_at: datetime | None,
    ) -> tuple[ApiKey, str]:
        """Creates a key. Returns it with its secret text, which is stored nowhere.

        If the id was created within the time in which requests may be repeated and has not been revoked, that key gets
        a new text. If it is older, it belongs to another request, and the new key gets a different id.
        """
        text = f"{PREFIX}{secrets.token_urlsafe(SECRET_BYTES)}"
        secret = {"key_hash": _hash(text), "begins": text[:SHOWN]}
        values = {"name": name, "properties": list(properties), "scopes": list(scopes), "expires_at": expires_at}
        now = datetime.now(UTC)
        new = insert(ApiKeyRow).values(created_by=created_by, created_at=now, **values, **secret)
        repeated = col(ApiKeyRow.created_at) > now - REPEATED_FOR
        kept = new.values(id=key_id).on_conflict_do_update(
            index_elements=[col(ApiKeyRow.id)], set_=secret, where=repeated & col(ApiKeyRow.revoked_at).is_(None)
        )
        revoked = select(ApiKeyRow).where(col(ApiKeyRow.id) == key_id, repeated)
        async with self._database.begin() as connection:
            row = (await connection.execute(kept.returning(ApiKeyRow))).one_or_none()
            row = row or (await connection.execute(revoked)).one_or_none()
            if row is None:
                other = new.values(id=str(uuid4())).returning(ApiKeyRow)
                row = (await connection.execute(other)).one()
        return _api_key(row), text

    async def list(
        self, properties: Sequence[str], *, limit: int, after: TimePosition | None
    ) -> Slice[ApiKey, TimePosition]:
        """Keys with access to any of the properties, newest first. Revoked ones stay listed."""
        at, row_id = col(ApiKeyRow.created_at), col(ApiKeyRow.id)
        statement = select(ApiKeyRow).where(col(ApiKeyRow.properties).op("&&")(list(properties)))
        rows, end = await newest_first(self._database, statement, at, row_id, limit=limit, after=after)
        return Slice([_api_key(row) for row in rows], end)

    async def revoke(self, key_id: str, allow: Callable[[ApiKey], None]) -> Ending | None:
        """Revokes a key. Returns the ending to announce; None for an unknown key. `allow` raises to forbid it."""
        mine = col(ApiKeyRow.id) == key_id
        now = datetime.now(UTC)
        async with self._database.begin() as connection:
            row = (await connection.execute(select(ApiKeyRow).where(mine).with_for_update())).one_or_none()
            if row is None:
                return None
            allow(_api_key(row))
            ending = Ending(key_id, now + TRUSTED_FOR)
            if row.revoked_at is None:
                await connection.execute(update(ApiKeyRow).where(mine).values(revoked_at=now))
                await revoke(connection, [ending])
        return ending

    async def find(self, text: str) -> Seen | None:
        """The valid key of a text, or None.

        While PostgreSQL is away, this process uses what it read in the hours before, or raises StorageAway.
        """
        key_hash, now = _hash(text), datetime.now(UTC)
        try:
            key = await self._look_up(key_hash, now)
        except StorageAway:
            seen = self._seen.get(key_hash)
            if seen is None or now - seen.at > TRUSTED_FOR:
                raise
            return Seen(seen.key, seen.at, fresh=False) if _works(seen.key, now) else None
        if key is None or not _works(key, now):
            self._seen.pop(key_hash, None)
            return None
        self._seen[key_hash] = Seen(key, now)
        self._seen.move_to_end(key_hash)
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return self._seen[key_hash]

    async def _look_up(self, key_hash: str, now: datetime) -> ApiKey | None:
        last_used = col(ApiKeyRow.last_used_at)
        async with self._database.begin() as connection:
            found = select(ApiKeyRow).where(col(ApiKeyRow.key_hash) == key_hash)
            row = (await connection.execute(found)).one_or_none()
            if row is None:
                return None
            if row.last_used_at is None or now - row.last_used_at > USE_NOTED_EVERY:
                long_ago = or_(last_used.is_(None), last_used < now - USE_NOTED_EVERY)
                used = update(ApiKeyRow).where(col(ApiKeyRow.id) == row.id, long_ago)
                await connection.execute(used.values(last_used_at=now))
        return _api_key(row)


def _works(key: ApiKey, now: datetime) -> bool:
    return key.revoked_at is None and (key.expires_at is None or key.expires_at > now)


def _hash(text: str) -> str:
    """The stored hash. A key is 256 random bits, so one round of a fast hash is safe."""
    return hashlib.sha256(text.encode()).hexdigest()


def _api_key(row: Row[Any]) -> ApiKey:
    return ApiKey.model_validate(row, from_attributes=True)
