"""Idempotency keys with the answers given under them, kept for a day."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Final

from sqlalchemy import Column, DateTime, Index, LargeBinary, case, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col

from activities.storage.database import Database

KEPT: Final = timedelta(hours=24)
LEASE: Final = timedelta(seconds=60)
"""How long a request may take. After that, its process is considered dead, and the request may be made again."""
SWEPT_AT_ONCE: Final = 20


class IdempotencyRow(SQLModel, table=True):
    """A request made under a key. `answer` is null until it is answered. Keys, callers and routes are only hashed.

    A released request has a lease that ended before it began.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_by_time", "expires_at"),)

    id: str = Field(primary_key=True)
    fingerprint: str
    attempt: str
    answer: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    leased_until: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    began_at: datetime | None = Field(default=None, sa_column=Column(DateTime(timezone=True), nullable=True))
    """When the request first came; null if that was before migration 0015."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The result of claiming a key: the request is to be `made`, or an earlier attempt is answered or under way.

    `began_at` is when a request to be made first came, even if an earlier attempt failed.
    """

    made: bool
    fingerprint: str
    answer: bytes | None = None
    began_at: datetime | None = None


_utc_now: Final = partial(datetime.now, UTC)


class IdempotencyKeys:
    """The keys of all callers. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database, now: Callable[[], datetime] = _utc_now) -> None:
        self._database = database
        self._now = now

    async def claim(self, key: str, fingerprint: str, attempt: str) -> Claim:
        """Claims a key for an attempt, unless an earlier one has it. Of two concurrent attempts, only one is made."""
        now = self._now()
        row = insert(IdempotencyRow).values(
            id=key,
            fingerprint=fingerprint,
            attempt=attempt,
            leased_until=now + LEASE,
            expires_at=now + KEPT,
            began_at=now,
        )
        mine, began_at = col(IdempotencyRow.id) == key, col(IdempotencyRow.began_at)
        was_released = col(IdempotencyRow.leased_until) < began_at
        died = (col(IdempotencyRow.leased_until) < now) & (col(IdempotencyRow.fingerprint) == fingerprint)
        over = col(IdempotencyRow.expires_at) < now
        taken = row.on_conflict_do_update(
            index_elements=[col(IdempotencyRow.id)],
            set_={
                "fingerprint": row.excluded.fingerprint,
                "attempt": row.excluded.attempt,
                "answer": None,
                "leased_until": row.excluded.leased_until,
                "expires_at": row.excluded.expires_at,
                "began_at": case((over, row.excluded.began_at), else_=began_at),
            },
            where=or_(over, col(IdempotencyRow.answer).is_(None) & or_(was_released, died)),
        ).returning(began_at)
        old = select(col(IdempotencyRow.id)).where(over, ~mine).limit(SWEPT_AT_ONCE).with_for_update(skip_locked=True)
        async with self._database.begin() as connection:
            await connection.execute(delete(IdempotencyRow).where(col(IdempotencyRow.id).in_(old)))
            made = (await connection.execute(taken)).one_or_none()
            if made is not None:
                return Claim(True, fingerprint, began_at=made.began_at)
            earlier = (await connection.execute(select(IdempotencyRow).where(mine))).one_or_none()
        if earlier is None:  # it had expired, and was deleted in between
            return Claim(False, fingerprint)
        return Claim(False, earlier.fingerprint, earlier.answer)

    async def keep(self, key: str, attempt: str, answer: bytes) -> None:
        """Stores the answer to an attempt."""
        mine = (col(IdempotencyRow.id) == key) & (col(IdempotencyRow.attempt) == attempt)
        async with self._database.begin() as connection:
            await connection.execute(update(IdempotencyRow).where(mine).values(answer=answer))

    async def release(self, key: str, attempt: str) -> None:
        """Releases the key of an attempt without a lasting answer, for another attempt with any body.

        The attempt may have had an effect nevertheless, so the time when the request first came is kept.
        """
        mine = (col(IdempotencyRow.id) == key) & (col(IdempotencyRow.attempt) == attempt)
        before = func.coalesce(col(IdempotencyRow.began_at), self._now()) - timedelta(seconds=1)
        async with self._database.begin() as connection:
            await connection.execute(update(IdempotencyRow).where(mine).values(leased_until=before))
