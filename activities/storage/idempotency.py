"""What was answered under idempotency keys, kept for a day."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from sqlalchemy import Column, DateTime, Index, LargeBinary, delete, or_, select, update
from sqlalchemy.dialects.postgresql import insert
from sqlmodel import Field, SQLModel, col

from activities.storage.database import Database

KEPT: Final = timedelta(hours=24)
LEASE: Final = timedelta(seconds=60)
"""How long a request may take. One that has not ended by then died with its process, and may be made again."""
SWEPT_AT_ONCE: Final = 20


class IdempotencyRow(SQLModel, table=True):
    """A request made under a key; `answer` is null until it is answered. No row names a key, a caller or a route."""

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("idempotency_keys_by_time", "expires_at"),)

    id: str = Field(primary_key=True)
    fingerprint: str
    attempt: str
    answer: bytes | None = Field(default=None, sa_column=Column(LargeBinary, nullable=True))
    leased_until: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))
    expires_at: datetime = Field(sa_column=Column(DateTime(timezone=True), nullable=False))


@dataclass(frozen=True, slots=True)
class Claim:
    """What became of an attempt: it is to be `made`, or there is an earlier one, answered or under way."""

    made: bool
    fingerprint: str
    answer: bytes | None = None


class IdempotencyKeys:
    """The keys of all callers. Every method raises StorageAway while PostgreSQL is away."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def claim(self, key: str, fingerprint: str, attempt: str) -> Claim:
        """Takes a key for an attempt, unless an earlier one has it: one of two at once is made, and no more."""
        now = datetime.now(UTC)
        row = insert(IdempotencyRow).values(
            id=key, fingerprint=fingerprint, attempt=attempt, leased_until=now + LEASE, expires_at=now + KEPT
        )
        mine = col(IdempotencyRow.id) == key
        died = (
            col(IdempotencyRow.answer).is_(None)
            & (col(IdempotencyRow.leased_until) < now)
            & (col(IdempotencyRow.fingerprint) == fingerprint)
        )
        taken = row.on_conflict_do_update(
            index_elements=[col(IdempotencyRow.id)],
            set_={
                "fingerprint": row.excluded.fingerprint,
                "attempt": row.excluded.attempt,
                "answer": None,
                "leased_until": row.excluded.leased_until,
                "expires_at": row.excluded.expires_at,
            },
            where=or_(col(IdempotencyRow.expires_at) < now, died),
        ).returning(col(IdempotencyRow.id))
        old = (
            select(col(IdempotencyRow.id))
            .where(col(IdempotencyRow.expires_at) < now, ~mine)
            .limit(SWEPT_AT_ONCE)
            .with_for_update(skip_locked=True)
        )
        async with self._database.begin() as connection:
            await connection.execute(delete(IdempotencyRow).where(col(IdempotencyRow.id).in_(old)))
            if (await connection.execute(taken)).one_or_none() is not None:
                return Claim(True, fingerprint)
            earlier = (await connection.execute(select(IdempotencyRow).where(mine))).one_or_none()
        if earlier is None:  # its attempt was let go in between
            return Claim(False, fingerprint)
        return Claim(False, earlier.fingerprint, earlier.answer)

    async def keep(self, key: str, attempt: str, answer: bytes) -> None:
        """Keeps what an attempt was answered."""
        mine = (col(IdempotencyRow.id) == key) & (col(IdempotencyRow.attempt) == attempt)
        async with self._database.begin() as connection:
            await connection.execute(update(IdempotencyRow).where(mine).values(answer=answer))

    async def let_go(self, key: str, attempt: str) -> None:
        """Forgets an attempt that may be made again."""
        mine = (col(IdempotencyRow.id) == key) & (col(IdempotencyRow.attempt) == attempt)
        async with self._database.begin() as connection:
            await connection.execute(delete(IdempotencyRow).where(mine))
