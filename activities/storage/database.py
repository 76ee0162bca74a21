"""The connection to PostgreSQL, and the migration of its schema."""

import asyncio
import inspect
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cached_property
from pathlib import Path

import asyncpg
import orjson
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, event, make_url, text
from sqlalchemy.dialects.postgresql.asyncpg import AsyncAdapt_asyncpg_dbapi
from sqlalchemy.engine.interfaces import AdaptedConnection
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    DisconnectionError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.util import greenlet_spawn

import settings as configuration
from contracts.problems import StorageAway

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x67617465
"""Key of the advisory lock that lets one process migrate while the others wait."""
TABLE_SECONDS = 2
"""How long a migration waits for a table's lock: less than the timeout of statements that queue behind it."""

_OPTIONS = frozenset(inspect.signature(asyncpg.connect).parameters) | {"prepared_statement_cache_size"}
"""Options allowed in the query of `database.url`: the driver's, and the one that SQLAlchemy adds."""
_AWAY = (
    OSError,
    TimeoutError,
    PoolTimeout,
    InterfaceError,
    OperationalError,
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,  # the server is starting or stopping
    asyncpg.LockNotAvailableError,  # a migration has stopped waiting for a table
    asyncpg.ReadOnlySQLTransactionError,  # another server is the primary now, or the disk is nearly full
    asyncpg.InsufficientResourcesError,  # too many connections, a full disk
    asyncpg.PostgresSystemError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the server closed the connection just as the driver began to use it
)


class Database:
    """A pool of connections. If PostgreSQL cannot be reached, every use raises StorageAway and nothing else."""

    def __init__(self, settings: configuration.Database) -> None:
        if settings.url is None:
            raise configuration.SettingsError("database.url: set GATEWAY_DATABASE__URL to postgresql://…")
        self._settings = settings
        self._url = _url(settings.url)
        self._engine = _engine(settings, self._url)
        self._reading = self._engine.execution_options(isolation_level="AUTOCOMMIT")

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction, committed at the end of the block."""
        with _translated_errors():
            async with self._engine.begin() as connection:
                yield connection

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading without a transaction, so that a statement takes one round trip instead of three."""
        with _translated_errors():
            async with self._reading.connect() as connection:
                yield connection

    @asynccontextmanager
    async def driver(self, *, plan_each: bool = False) -> AsyncIterator[asyncpg.Connection]:
        """The driver's own connection for fast statements, without a transaction, in one round trip each.

        `plan_each` plans each execution anew, for statements whose best plan depends on their parameters.
        """
        with _translated_errors():
            pooled = await (self._searching if plan_each else self._engine).raw_connection()
            driver: asyncpg.Connection = pooled.driver_connection
            try:
                yield driver
            except asyncpg.InternalClientError:
                driver.terminate()  # the driver's state is undefined
                raise
            finally:
                await greenlet_spawn(pooled.close)

    @cached_property
    def _searching(self) -> AsyncEngine:
        planned = {"plan_cache_mode": "force_custom_plan"}
        return _engine(self._settings, self._url, server_settings=planned)

    async def ping(self) -> None:
        """Raises StorageAway, too, if the server only reads, as a standby does: nothing could be stored."""
        async with self.begin() as connection:
            if (await connection.execute(text("SHOW transaction_read_only"))).scalar_one() == "on":
                raise StorageAway("PostgreSQL only reads; try again shortly")

    async def migrate(self) -> None:
        """Migrates the schema to the newest version. Many processes may call this at once.

        It has no time limit, except for getting a table's lock, since all later statements on the table would queue
        behind it. Raises StorageAway, to be retried, if others hold the table for too long.
        """
        engine = _engine(self._settings, self._url, command_timeout=None)
        try:
            with _translated_errors():
                async with engine.begin() as connection:
                    await connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
                    await connection.execute(text(f"SET LOCAL lock_timeout = '{TABLE_SECONDS}s'"))
                    await connection.run_sync(_upgrade)
        finally:
            await engine.dispose()

    async def close(self) -> None:
        await self._engine.dispose()
        if "_searching" in self.__dict__:
            await self._searching.dispose()


def _url(address: str) -> URL:
    """The URL for the driver, which calls `sslmode` `ssl`. Raises SettingsError for an invalid one."""
    try:
        url: URL | None = make_url(address)
    except (ArgumentError, ValueError):
        url = None
    if url is None or not url.drivername.startswith("postgres"):
        raise configuration.SettingsError("database.url: must be postgresql://user:password@host:port/name")
    query = {"ssl" if name == "sslmode" else name: value for name, value in url.query.items()}
    if unknown := sorted(query.keys() - _OPTIONS):
        raise configuration.SettingsError(f"database.url: unknown options after the `?`: {', '.join(unknown)}")
    return url.set(drivername="postgresql+asyncpg", query=query)


def _engine(settings: configuration.Database, url: URL, **connecting: object) -> AsyncEngine:
    seconds = settings.connect_timeout / 1000
    engine = create_async_engine(
        url,
        pool_size=settings.pool_size,
        max_overflow=0,
        pool_timeout=seconds,
        hide_parameters=True,  # error messages would quote guests
        connect_args={"timeout": seconds, "command_timeout": settings.statement_timeout / 1000, **connecting},
    )
    event.listen(engine.sync_engine, "connect", _read_json)
    event.listen(engine.sync_engine, "checkout", _refuse_closed)
    return engine


def _read_json(connection: AdaptedConnection, record: object) -> None:
    """Decodes JSON with orjson directly, as SQLAlchemy's codec would call into Python for each value."""
    codec = {"schema": "pg_catalog", "encoder": str, "decoder": orjson.loads, "format": "text"}
    connection.run_async(lambda driver: driver.set_type_codec("jsonb", **codec))


def _refuse_closed(connection: AdaptedConnection, record: object, proxy: object) -> None:
    """Has connections replaced that a restarted server has closed, without a round trip to find out."""
    if connection.driver_connection.is_closed():
        raise DisconnectionError


def _upgrade(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    known = {each.revision for each in ScriptDirectory.from_config(config).walk_revisions()}
    if known.issuperset(MigrationContext.configure(connection).get_current_heads()):
        command.upgrade(config, "head")
    # Otherwise a newer release has migrated it, and its schema works for this one, too.


class _translated_errors:
    """Translates the drivers' errors for a lost or refused connection into StorageAway."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None or isinstance(error, asyncio.CancelledError):
            return
        lost = isinstance(error, DBAPIError) and (
            error.connection_invalidated or isinstance(error.orig, _AWAY) or isinstance(_driver_error(error), _AWAY)
        )
        refused = isinstance(error, AsyncAdapt_asyncpg_dbapi.Error)  # while connecting: SQLAlchemy wraps later errors
        if lost or refused or isinstance(error, _AWAY):
            raise StorageAway("PostgreSQL does not answer; try again shortly") from error
        own = _driver_error(error) if isinstance(error, ProgrammingError) else error
        if isinstance(own, asyncpg.UndefinedTableError | asyncpg.UndefinedColumnError):
            raise StorageAway("PostgreSQL has not been migrated yet; try again shortly") from error


def _driver_error(error: DBAPIError) -> BaseException | None:
    return error.orig.__cause__ if error.orig is not None else None
