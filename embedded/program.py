"""One of our own programs (api or worker) as a child process."""

import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

from embedded.process import Process
from embedded.service import START_SECONDS, Service


class Program(Service):
    """`gateway NAME`, ready once `answers` returns true."""

    def __init__(
        self,
        name: str,
        *,
        log: Path,
        environment: Mapping[str, str],
        answers: Callable[[Process], Awaitable[bool]],
        stop_seconds: float,
    ) -> None:
        self.process = Process(name, log)
        self.stop_seconds = stop_seconds
        self._environment = environment
        self._answers = answers

    async def start(self) -> None:
        # -P: a `cli.py` in the current folder is not ours.
        await self.process.spawn(sys.executable, "-P", "-m", "cli", self.name, env=self._environment)
        await self.process.ready(lambda: self._answers(self.process), seconds=START_SECONDS)
