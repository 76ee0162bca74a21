"""Rebuilds the search words of older messages after the way of splitting has changed, in the background."""

import asyncio
import logging
import time
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from activities.storage.database import Database
from activities.storage.migrating import FAILURE_SECONDS, RETRY_SECONDS
from contracts.problems import StorageAway
from contracts.unexpected import describe

BATCH: Final = 500
LOOK_SECONDS: Final = 60.0
"""How often a process checks whether the other one, which does the work, has finished."""
LEAST_PAUSE: Final = 0.05

logger = logging.getLogger(__name__)

_GIVE_WAY: Final = text("SET LOCAL lock_timeout = '500ms'")
"""Shorter than PostgreSQL's deadlock timeout, so that in a deadlock it is always this statement that fails."""
_TAKE: Final = text("SELECT conversation_id, message_id FROM rewording FOR UPDATE SKIP LOCKED")
_LEFT: Final = text("SELECT EXISTS (SELECT FROM rewording)")
# Writing a message's content rebuilds its generated column of words.
_REWORD: Final = text("""
WITH batch AS MATERIALIZED (
    SELECT conversation_id, id, words IS DISTINCT FROM gateway_words(content) AS others FROM messages
    WHERE (conversation_id, id) > (:conversation_id, :message_id) ORDER BY conversation_id, id LIMIT :batch
), reworded AS (
    UPDATE messages SET content = content FROM batch
    WHERE others AND messages.conversation_id = batch.conversation_id AND messages.id = batch.id
)
SELECT conversation_id, id FROM batch ORDER BY conversation_id DESC, id DESC LIMIT 1
""")
_GO_ON: Final = text("UPDATE rewording SET conversation_id = :conversation_id, message_id = :message_id")
_END: Final = text("DELETE FROM rewording")


class Rewording:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def once(self, migrated: asyncio.Event) -> None:
        """Runs once the schema is migrated, and again after interruptions, until everything is done."""
        await migrated.wait()
        while True:
            try:
                return await self.run()
            except StorageAway:
                await asyncio.sleep(RETRY_SECONDS)
            except SQLAlchemyError as error:
                logger.error("older messages cannot be indexed for search: %s", describe(error))  # noqa: TRY400 - may quote a guest
                await asyncio.sleep(FAILURE_SECONDS)

    async def run(self) -> None:
        """Works to the end, pausing half of the time. After raising StorageAway, it continues from there next time."""
        while await self._left():
            started = time.monotonic()
            done = await self.reword(BATCH)
            await asyncio.sleep(max(LEAST_PAUSE, time.monotonic() - started) if done else LOOK_SECONDS)

    async def reword(self, batch: int) -> bool:
        """Rebuilds the next batch of messages. Returns False if another process is doing it, or nothing is left."""
        async with self._database.begin() as connection:
            await connection.execute(_GIVE_WAY)
            place = (await connection.execute(_TAKE)).one_or_none()
            if place is None:
                return False
            last = (await connection.execute(_REWORD, {**place._mapping, "batch": batch})).one_or_none()
            if last is None:
                await connection.execute(_END)
            else:
                await connection.execute(_GO_ON, {"conversation_id": last.conversation_id, "message_id": last.id})
            return True

    async def _left(self) -> bool:
        async with self._database.read() as connection:
            return bool((await connection.execute(_LEFT)).scalar_one())
