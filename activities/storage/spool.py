"""What came while Temporal was away, in the order in which it came, until its conversation has it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import asyncpg
from pydantic import ValidationError
from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.statements import Statement
from activities.storage.tables import SpoolRow
from contracts.problems import StorageAway
from contracts.waiting import WAITING, Waiting

HandOver = Callable[[Sequence[Waiting]], Awaitable[Sequence[str]]]
"""Gives conversations what waited for them; gives the ids of what it could give."""

BATCH: Final = 200
"""Most items that are handed over in one transaction."""
CHANNEL: Final = "gateway_spool"
"""Where PostgreSQL tells every process that something waits."""

_ADD: Final = Statement.of(
    text(
        """
        WITH added AS (
            INSERT INTO spool (id, contact_key, payload, at) VALUES (:id, :contact_key, CAST(:payload AS jsonb), :at)
            ON CONFLICT (id) DO NOTHING
        )
        SELECT pg_notify('gateway_spool', '')
        """
    )
)
_LOCK: Final = text("SELECT pg_try_advisory_xact_lock(hashtext('gateway_spool'))")
"""One process hands over at a time; two would bring a guest's messages out of their order."""


@dataclass(frozen=True, slots=True)
class Left:
    """What still waits. `moved`: something was handed over, so that it is worth while to go on at once."""

    count: int
    moved: bool = False


class Spool:
    """The spool of all properties. Every method raises StorageAway while PostgreSQL is away, full or only reads.

    `listening` has a connection of its own, which one process listens on for as long as it runs.
    """

    def __init__(self, database: Database, listening: Database) -> None:
        self._database = database
        self._listening = listening

    async def add(self, waiting: Waiting) -> None:
        """Puts something at the end, once however often it comes."""
        values = {
            "id": waiting.id,
            "contact_key": waiting.contact_key,
            "payload": waiting.model_dump_json(),
            "at": datetime.now(UTC),
        }
        try:
            async with self._database.driver() as connection:
                await _ADD.fetch(connection, values)
        except asyncpg.PostgresError as error:
            raise StorageAway("PostgreSQL takes nothing in; try again shortly") from error

    @asynccontextmanager
    async def heard(self, then: Callable[[], None]) -> AsyncIterator[Callable[[], bool]]:
        """Calls `then` whenever something was added, in whatever process. What is given says whether that has ended."""
        async with self._listening.driver() as connection:

            def hear(*_: object) -> None:
                then()

            await connection.add_listener(CHANNEL, hear)
            try:
                yield connection.is_closed
            finally:
                await connection.remove_listener(CHANNEL, hear)

    async def drain(self, hand_over: HandOver) -> Left:
        """Gives `hand_over` the oldest items and forgets those whose ids it gives back, unless another process does.

        A process that dies in between leaves them to be handed over again, under the same ids.
        """
        try:
            async with self._database.begin() as connection:
                mine = (await connection.execute(_LOCK)).scalar_one()
                gone = await _drain(connection, hand_over) if mine else ()
                count = (await connection.execute(select(func.count()).select_from(SpoolRow))).scalar_one()
        except DBAPIError as error:
            raise StorageAway("PostgreSQL changes nothing; try again shortly") from error
        return Left(count, moved=bool(gone))


async def _drain(connection: AsyncConnection, hand_over: HandOver) -> Sequence[str]:
    oldest = select(col(SpoolRow.contact_key), col(SpoolRow.payload)).order_by(col(SpoolRow.position)).limit(BATCH)
    waiting: list[Waiting] = []
    kept: set[str] = set()
    for row in await connection.execute(oldest):
        if row.contact_key in kept:
            continue
        try:
            waiting.append(WAITING.validate_python(row.payload))
        except ValidationError:  # a newer api's, which hands it over, and what comes after it
            kept.add(row.contact_key)
    gone = await hand_over(waiting) if waiting else ()
    if gone:
        await connection.execute(delete(SpoolRow).where(col(SpoolRow.id).in_(gone)))
    return gone
