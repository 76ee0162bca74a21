"""Prepares the database of `gateway dev`: the schema, and the demo property's staff."""

import asyncio
import time

from contracts.problems import GatewayError, StorageAway
from contracts.staff import Staff
from embedded.process import StackError
from settings import Database as DatabaseSettings

PAUSE_SECONDS = 0.2


async def seed(settings: DatabaseSettings, *, patience: float) -> list[Staff]:
    """Migrates the schema, adds missing demo staff, and returns all of them.

    Retries for `patience` seconds while the server does not answer: while everything starts on a busy machine, a
    connection may take longer than `database.connectTimeout`. Raises StackError.
    """
    # Imported here, concurrently with the programs' own imports, so that it does not delay their start.
    from sqlalchemy.exc import SQLAlchemyError

    from activities.storage.database import Database
    from activities.storage.staff import StaffAccounts

    until = time.monotonic() + patience
    database = Database(settings)
    try:
        while True:
            try:
                await database.migrate()
                return await StaffAccounts(database).ensure_demo()
            except StorageAway:
                if time.monotonic() >= until:
                    raise
            await asyncio.sleep(PAUSE_SECONDS)
    except (GatewayError, SQLAlchemyError) as error:
        raise StackError(f"database: {error}") from error
    finally:
        await database.close()
