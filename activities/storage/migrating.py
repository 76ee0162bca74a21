"""Migrates the schema when a process starts. The first process to start does it for all."""

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
"""How long a starting process waits for the migration. Conversations work without storage, too."""

logger = logging.getLogger(__name__)


async def migrate(database: Database, migrated: asyncio.Event, tried: asyncio.Event | None = None) -> None:
    """Migrates as soon as PostgreSQL allows it. Sets `migrated` when that is done, and `tried` after the first try."""
    while not migrated.is_set():
        pause = RETRY_SECONDS
        try:
            await database.migrate()
            migrated.set()
        except StorageAway:
            pass
        except Exception as error:  # somebody may fix the cause, so try again
            logger.error("the database schema cannot be migrated: %s", describe(error))  # noqa: TRY400 - may quote a guest
            pause = FAILURE_SECONDS
        if tried is not None:
            tried.set()
        if not migrated.is_set():
            await asyncio.sleep(pause)


@asynccontextmanager
async def migrating(database: Database) -> AsyncIterator[None]:
    """Begins the block once the schema is migrated or a short time has passed; then migrating goes on meanwhile."""
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
