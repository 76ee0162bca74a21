"""Bringing the schema up to date when a process starts, whichever comes first."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Final

from activities.storage.database import Database
from contracts.problems import StorageAway
from contracts.unexpected import describe

RETRY_SECONDS: Final = 1.0
FAILURE_SECONDS: Final = 30.0
FIRST_SECONDS: Final = 10.0
"""How long a process that starts waits for it; conversations go on without storage, too."""

logger = logging.getLogger(__name__)


async def migrate(database: Database, migrated: asyncio.Event, tried: asyncio.Event | None = None) -> None:
    """Migrates as soon as PostgreSQL lets us. The events tell when that is done, and when it was tried once."""
    while not migrated.is_set():
        pause = RETRY_SECONDS
        try:
            await database.migrate()
            migrated.set()
        except StorageAway:
            pass
        except Exception as error:  # it is tried again, for somebody may mend it
            logger.error("the schema cannot be brought up to date: %s", describe(error))  # noqa: TRY400 - may quote a guest
            pause = FAILURE_SECONDS
        if tried is not None:
            tried.set()
        if not migrated.is_set():
            await asyncio.sleep(pause)


@asynccontextmanager
async def migrating(database: Database) -> AsyncIterator[None]:
    """A block that begins with the schema up to date, if that can be had soon; if not, it is seen to meanwhile."""
    tried = asyncio.Event()
    work = asyncio.create_task(migrate(database, asyncio.Event(), tried))
    try:
        with suppress(TimeoutError):
            async with asyncio.timeout(FIRST_SECONDS):
                await tried.wait()
        yield
    finally:
        work.cancel()
        await asyncio.wait((work,))
