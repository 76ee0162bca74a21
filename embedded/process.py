"""One child process: its log, its end, and the promise that it does not outlive us."""

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
    """Something that keeps the stack from running; the text is what its user is told."""


class Process:
    """A command with its output in `log`; the output of its run before is kept beside it as `log.1`.

    It gets `stop_signal` when it is to end and, on Linux, `orphan_signal` when we end without having stopped it.
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
        """Its process id, None while it does not run."""
        return self._process.pid if self._process is not None and self.alive() else None

    @property
    def returncode(self) -> int | None:
        """What it ended with; minus the signal's number if a signal ended it. None before its end."""
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
        """Starts the command, in a session of its own, so that a Ctrl-C of the terminal reaches only us."""
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
        """Waits for its end and returns its code."""
        if self._process is None:
            raise StackError(f"{self.name} was never started")
        return await self._process.wait()

    async def ready(self, answers: Callable[[], Awaitable[bool]], *, seconds: float) -> None:
        """Waits until `answers` is true. Raises StackError if it ends before, or takes longer and is stopped."""
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
        what = f"did not answer within {seconds:.0f} s" if self.alive() else f"ended with code {self.returncode}"
        await self.stop(seconds=1)
        raise StackError(f"{self.name} {what}: {self.complaint()} (log: {self.log})")

    async def stop(self, *, seconds: float = 10) -> None:
        """Asks it to end, and ends it after `seconds`."""
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
        """Ends it at once, as a crash would."""
        self.end_now()
        if self._process is not None:
            await self._process.wait()

    def end_now(self) -> None:
        """Ends it at once, without waiting for it."""
        if self._process is not None and self.alive():
            with suppress(ProcessLookupError):
                self._process.kill()

    def output(self) -> list[str]:
        """The lines it has written so far."""
        return self.log.read_text(errors="replace").splitlines()

    def complaint(self) -> str:
        """The last line of its log that tells of an error or, without one, the last."""
        lines = [line.strip() for line in self.output() if line.strip()]
        return next((line for line in reversed(lines) if _COMPLAINT.search(line)), lines[-1] if lines else "no output")

    def tail(self) -> str:
        """Where its log is and, indented, the last lines of it."""
        return "\n  ".join([f"the end of {self.log}:", *self.output()[-TAIL_LINES:]])


async def _until(answers: Callable[[], Awaitable[bool]]) -> None:
    while True:
        if await answers():
            return
        await asyncio.sleep(POLL_SECONDS)
