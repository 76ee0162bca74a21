"""The schema's way from older releases to this one and back, with data in it and while others use it."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, make_url, text

from activities.storage.database import MIGRATIONS, Database
from contracts.problems import StorageAway
from settings import Settings
from tests.api import running_api
from tests.processes import worker_process
from tests.support import eventually

BEFORE_SEARCH = "0009"
"""The newest schema in which messages have no words of their own beside them."""


@pytest.fixture
async def empty(settings: Settings, database: Database) -> AsyncIterator[Database]:
    """A database without any table; `settings` name it."""
    name = f"empty_{uuid.uuid4().hex}"
    async with database.read() as connection:
        await connection.execute(text(f"CREATE DATABASE {name}"))
    url = make_url(str(settings.database.url)).set(database=name)
    settings.database.url = url.render_as_string(hide_password=False)
    made = Database(settings.database)
    yield made
    await made.close()
    async with database.read() as connection:
        await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))


def _upgrade(version: str) -> Callable[[Connection], None]:
    def run(connection: Connection) -> None:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.attributes["connection"] = connection
        command.upgrade(config, version)

    return run


async def _version(database: Database) -> str | None:
    async with database.begin() as connection:
        found: str | None = await connection.scalar(text("SELECT max(version_num) FROM alembic_version"))
        return found


async def _tables(database: Database) -> int:
    async with database.begin() as connection:
        return int(await connection.scalar(text("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'")) or 0)


async def _fill(database: Database, rows: int) -> None:
    statement = text(
        "INSERT INTO messages"
        " (conversation_id, id, contact_key, seq, author, content, private, created_at, delivery_state)"
        " SELECT 'one', n::text, 'contact', n, 'guest', repeat('towels and pillows ', 20), false, now(), 'sent'"
        " FROM generate_series(1, :rows) AS n"
    )
    async with database.begin() as connection:
        await connection.execute(statement, {"rows": rows})


async def test_rows_take_as_long_as_they_take(empty: Database, settings: Settings) -> None:
    """No statement of a migration ends at the time that a request may take: it would begin anew for ever."""
    async with empty.begin() as connection:
        await connection.run_sync(_upgrade(BEFORE_SEARCH))
    await _fill(empty, 4_000)
    hasty = Database(settings.database.model_copy(update={"statement_timeout": 100}))
    try:
        await hasty.migrate()
        async with empty.begin() as connection:
            found = await connection.scalar(
                text("SELECT count(*) FROM messages WHERE words @@ to_tsquery('simple', 'pillows')")
            )
        assert found == 4_000
    finally:
        await hasty.close()


async def test_two_at_once_and_again_are_as_one(empty: Database) -> None:
    await asyncio.gather(empty.migrate(), empty.migrate(), empty.migrate())
    version, tables = await _version(empty), await _tables(empty)
    await empty.migrate()
    assert (await _version(empty), await _tables(empty)) == (version, tables)


async def test_a_table_in_use_is_waited_for_shortly_and_holds_up_nobody_else(empty: Database) -> None:
    async with empty.begin() as connection:
        await connection.run_sync(_upgrade(BEFORE_SEARCH))
    async with empty.begin() as dumping:  # as a backup does, for hours
        await dumping.execute(text("SELECT 1 FROM messages"))
        with pytest.raises(StorageAway):
            await empty.migrate()
        async with empty.begin() as meanwhile:
            await meanwhile.execute(text("SELECT count(*) FROM messages"))
    assert await _version(empty) == BEFORE_SEARCH
    await empty.migrate()
    assert await _version(empty) != BEFORE_SEARCH


async def test_a_release_that_is_older_than_the_schema_is_ready(empty: Database, settings: Settings) -> None:
    """It is what goes back to the release before, or starts again while a new one is being rolled out."""
    await empty.migrate()
    async with empty.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = 'newer'"))
    async with running_api(settings) as api:

        async def ready() -> bool:
            return (await api.http.get("/readyz")).status_code == 200

        await eventually(ready, what="the api to be ready", seconds=10)
    assert await _version(empty) == "newer"


async def test_a_worker_has_migrated_before_it_is_ready(empty: Database, settings: Settings) -> None:
    """Of a release the workers come first: they would look for what is not there yet."""
    async with worker_process(settings):
        assert await _version(empty) is not None


async def test_a_column_that_is_not_there_yet_is_storage_away(database: Database) -> None:
    with pytest.raises(StorageAway, match="migrated"):
        async with database.begin() as connection:
            await connection.execute(text("SELECT of_the_next_release FROM messages"))
