"""Makes the words anew by which older messages are found, where they would be others now, beside the work of others."""

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
"""How long until a process looks again whether the other one, which is at it, has come to the end."""
LEAST_PAUSE: Final = 0.05

logger = logging.getLogger(__name__)

_GIVE_WAY: Final = text("SET LOCAL lock_timeout = '500ms'")
"""Before PostgreSQL looks for deadlocks, so that it is never another's statement that fails."""
_TAKE: Final = text("SELECT conversation_id, message_id FROM rewording FOR UPDATE SKIP LOCKED")
_LEFT: Final = text("SELECT EXISTS (SELECT FROM rewording)")
# To write a message's content makes its words anew.
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
        """As soon as the schema is up to date, and again where it is interrupted."""
        await migrated.wait()
        while True:
            try:
                return await self.run()
            except StorageAway:
                await asyncio.sleep(RETRY_SECONDS)
            except SQLAlchemyError as error:
                logger.error("older messages cannot be gone through: %s", describe(error))  # noqa: TRY400 - may quote a guest
                await asyncio.sleep(FAILURE_SECONDS)

    async def run(self) -> None:
        """To the end, at most half of the time at work. Raises StorageAway, and goes on from there the next time."""
        while await self._left():
            started = time.monotonic()
            done = await self.reword(BATCH)
            await asyncio.sleep(max(LEAST_PAUSE, time.monotonic() - started) if done else LOOK_SECONDS)

    async def reword(self, batch: int) -> bool:
        """Goes through the next messages. False where another process is at it, or nothing is left."""
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
