"""The spool: what came in while Temporal was away, kept in order until its conversation has it."""

import json
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg
from pydantic import ValidationError

from activities.storage.database import Database
from contracts.base import without_nul
from contracts.problems import StorageAway
from contracts.spool import WAITING, Waiting

BATCH: Final = 200
CHANNEL: Final = "gateway_spool"
"""The NOTIFY channel for additions. The lock of the process that hands over has the same name."""

_ADD: Final = """
WITH added AS (
    INSERT INTO spool (id, contact_key, payload, at) VALUES ($1, $2, CAST($3 AS jsonb), $4) ON CONFLICT (id) DO NOTHING
)
SELECT pg_notify($5, '')
"""
_OLDEST: Final = """
SELECT position, id, contact_key, payload FROM spool
WHERE position > $1 AND contact_key <> ALL($2) ORDER BY position LIMIT $3
"""
_TAKE_TURN: Final = "SELECT pg_try_advisory_lock(hashtext($1))"
_END_TURN: Final = "SELECT pg_advisory_unlock(hashtext($1))"


@dataclass(frozen=True, slots=True)
class Spooled:
    """One item. `waiting` is None if only a newer release, which added it, can read it."""

    position: int
    id: str
    contact_key: str
    waiting: Waiting | None


class Watch:
    """A process's connection for hearing of additions and for taking its turn to hand over."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @property
    def over(self) -> bool:
        """Whether the connection is lost, and notifications may have been missed."""
        return bool(self._connection.is_closed())

    async def take_turn(self) -> bool:
        """Takes the turn unless another process has it. Two at once are harmless: both keep the order."""
        with _unusable_is_away():
            return bool(await self._connection.fetchval(_TAKE_TURN, CHANNEL))

    async def end_turn(self) -> None:
        with _unusable_is_away():
            await self._connection.execute(_END_TURN, CHANNEL)


class Spool:
    """The spool of all properties. Every method raises StorageAway while PostgreSQL is away, full or read-only.

    `listening` is the database of the single connection of `watch`.
    """

    def __init__(self, database: Database, listening: Database) -> None:
        self._database = database
        self._listening = listening

    async def add(self, waiting: Waiting) -> None:
        """Appends an item, once however often it comes."""
        with _unusable_is_away():
            async with self._database.driver() as driver:
                await driver.execute(
                    _ADD, waiting.id, waiting.contact_key, _written(waiting), datetime.now(UTC), CHANNEL
                )

    async def oldest(self, *, after: int, but: Collection[str]) -> list[Spooled]:
        """The first items after a position, without those of the contacts in `but`."""
        with _unusable_is_away():
            async with self._database.driver() as driver:
                rows = await driver.fetch(_OLDEST, after, list(but), BATCH)
        return [Spooled(row["position"], row["id"], row["contact_key"], _read(row["payload"])) for row in rows]

    async def forget(self, ids: Sequence[str]) -> None:
        with _unusable_is_away():
            async with self._database.driver() as driver:
                await driver.execute("DELETE FROM spool WHERE id = ANY($1)", list(ids))

    async def count(self) -> int:
        with _unusable_is_away():
            async with self._database.driver() as driver:
                return int(await driver.fetchval("SELECT count(*) FROM spool"))

    @asynccontextmanager
    async def watch(self, *, added: Callable[[], None], lost: Callable[[], None]) -> AsyncIterator[Watch]:
        """Calls `added` after additions in any process, and `lost` if the connection is lost."""
        with _unusable_is_away():
            async with self._listening.driver() as connection:

                def hear(*_: object) -> None:
                    added()

                def lose(*_: object) -> None:
                    lost()

                connection.add_termination_listener(lose)
                await connection.add_listener(CHANNEL, hear)
                try:
                    yield Watch(connection)
                finally:
                    connection.remove_termination_listener(lose)
                    await connection.remove_listener(CHANNEL, hear)


def _written(waiting: Waiting) -> str:
    payload = waiting.model_dump_json()
    # PostgreSQL cannot store NUL in text, and a conversation removes it anyhow.
    return json.dumps(without_nul(waiting.model_dump(mode="json"))) if "\\u0000" in payload else payload


def _read(payload: object) -> Waiting | None:
    try:
        return WAITING.validate_python(payload)
    except ValidationError:
        return None


@contextmanager
def _unusable_is_away() -> Iterator[None]:
    try:
        yield
    except asyncpg.PostgresError as error:
        raise StorageAway("PostgreSQL is not available; try again shortly") from error
