"""`gateway dev` as a person runs it: one command in a terminal, in a folder of its own and on free ports."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

FREE_PORTS = {"GATEWAY_SERVER__PORT": "0", "GATEWAY_TEMPORAL__PORT": "0", "GATEWAY_TEMPORAL__UI_PORT": "0"}


@dataclass
class Dev:
    process: asyncio.subprocess.Process
    printed: str = ""

    async def until(self, pattern: str, *, times: int = 1) -> re.Match[str]:
        """Reads what it prints until the pattern stands in it so often; gives the last."""
        assert self.process.stdout is not None
        while len(found := list(re.finditer(pattern, self.printed))) < times:
            try:
                line = await asyncio.wait_for(self.process.stdout.readline(), 90)
            except TimeoutError:
                raise AssertionError(f"it does not print {pattern!r}: {self.printed}") from None
            assert line, f"it ended without {pattern!r}: {self.printed}"
            self.printed += line.decode()
        return found[times - 1]

    async def listen(self) -> None:
        """Reads on to its end, so that it never waits for a reader."""
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.printed += line.decode()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, argument: str) -> psutil.Process:
        return next(child for child in self.children() if argument in child.cmdline())

    def server(self, name: str) -> psutil.Process:
        """One of the processes that it watches over itself."""
        return next(child for child in psutil.Process(self.process.pid).children() if child.name() == name)

    async def ready(self) -> str:
        """Waits for its greeting and returns the address of the API."""
        await self.until(r"First call .*\n")
        return (await self.until(r"Guest chat +(http://\S+)/"))[1]


PROCESSES: dict[str, Callable[[Dev], psutil.Process]] = {
    "PostgreSQL": lambda dev: dev.server("postgres"),
    "Temporal": lambda dev: dev.server("temporal"),
    "worker": lambda dev: dev.child("worker"),
    "api": lambda dev: dev.child("api"),
    "Redis": lambda dev: dev.server("redis-server"),
}


async def launch(folder: Path, **variables: str) -> Dev:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "dev"),
        cwd=folder,
        env={**os.environ, **FREE_PORTS, "PYTHONUNBUFFERED": "1", **variables},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    return Dev(process)


@asynccontextmanager
async def running(folder: Path, **variables: str) -> AsyncIterator[Dev]:
    dev = await launch(folder, **variables)
    try:
        yield dev
    finally:
        if dev.process.returncode is None:
            dev.process.terminate()
            await dev.process.communicate()
