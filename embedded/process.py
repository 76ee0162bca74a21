"""One child process with its log file, which does not outlive us."""

import asyncio
import os
import re
import signal
import sys
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from pathlib import Path

from embedded import leash

POLL_SECONDS = 0.05
TAIL_LINES = 12
_COMPLAINT = re.compile(r"FATAL|PANIC|error|cannot|can't", re.IGNORECASE)


class StackError(Exception):
    """The stack cannot run. The text is shown to the user."""


class Process:
    """A command whose output goes to `log`. The output of its previous run is kept as `log.1`.

    `stop_signal` asks it to end. On Linux it gets `orphan_signal` if we end without having stopped it.
    """

    def __init__(
        self,
        name: str,
        log: Path,
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        self.name = name
        self.log = log
        self._stop_signal = stop_signal
        self._orphan_signal = orphan_signal
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        """The process id; None while it is not running."""
        return self._process.pid if self._process is not None and self.alive() else None

    @property
    def returncode(self) -> int | None:
        """The exit code, negative for a signal; None before the end."""
        return self._process.returncode if self._process else None

    def alive(self) -> bool:
        return self._process is not None and self._process.returncode is None

    async def spawn(
        self,
        *command: str | Path,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        user: str | None = None,
    ) -> None:
        """Starts the command in its own session, so that Ctrl-C in the terminal reaches only us."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            self.log.replace(self.log.with_name(self.log.name + ".1"))
        tie = (leash.__file__, str(os.getpid()), str(int(self._orphan_signal)), user or "-")
        with self.log.open("wb") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-I", "-S", *tie, *map(str, command)),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=cwd,
                env=env,
                start_new_session=True,
            )

    async def wait(self) -> int:
        """Waits for the end and returns the exit code."""
        if self._process is None:
            raise StackError(f"{self.name} was never started")
        return await self._process.wait()

    async def ready(self, answers: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
        """Waits until `answers` returns true. Raises StackError if it ends first, or takes too long and is stopped."""
        answered = asyncio.create_task(_until(answers))
        ended = asyncio.create_task(self.wait())
        try:
            await asyncio.wait((answered, ended), timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        finally:
            ended.cancel()
            answered.cancel()
            await asyncio.wait((answered, ended))
        if not answered.cancelled():
            return answered.result()
        what = f"did not answer within {seconds:.0f} s" if self.alive() else f"stopped with code {self.returncode}"
        await self.stop(seconds=1)
        raise StackError(f"{self.name} {what}: {self.complaint()} (log: {self.log})")

    async def stop(self, *, seconds: float = 10) -> None:
        """Asks it to end, and kills it after `seconds`."""
        if self._process is None or not self.alive():
            return
        with suppress(ProcessLookupError):
            self._process.send_signal(self._stop_signal)
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """Kills it, as a crash would."""
        self.end_now()
        if self._process is not None:
            await self._process.wait()

    def end_now(self) -> None:
        """Kills it without waiting for its end."""
        if self._process is not None and self.alive():
            with suppress(ProcessLookupError):
                self._process.kill()

    def output(self) -> list[str]:
        """The lines that it has written so far."""
        return self.log.read_text(errors="replace").splitlines()

    def complaint(self) -> str:
        """The last line of its log that mentions an error, or else the last line."""
        lines = [line.strip() for line in self.output() if line.strip()]
        return next((line for line in reversed(lines) if _COMPLAINT.search(line)), lines[-1] if lines else "no output")

    def tail(self) -> str:
        """The path of its log and, indented, the last lines."""
        return "\n  ".join([f"the end of {self.log}:", *self.output()[-TAIL_LINES:]])


async def _until(answers: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await answers():
            return
        await asyncio.sleep(POLL_SECONDS)
