"""Looking at processes of the operating system."""

from collections.abc import Awaitable, Callable, Sequence

import psutil


def ended(processes: Sequence[psutil.Process]) -> Callable[[], Awaitable[bool]]:
    """A look at whether all have ended; one that nobody has reaped yet has, too."""

    async def look() -> bool:
        return not any(map(_runs, processes))

    return look


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
