"""Polling for work that does not come through the task queues."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator

from contracts.problems import StorageAway, Unavailable, Unreachable
from contracts.unexpected import describe

logger = logging.getLogger(__name__)


async def poll_until(stop: asyncio.Event, look: Callable[[], Awaitable[object]], *, seconds: float, what: str) -> None:
    """Calls `look`, with pauses of `seconds`, until `stop` is set. A failure is logged, naming `what`, and retried."""
    while not stop.is_set():
        with _logs_failures(what):
            await look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()


@contextlib.contextmanager
def isolated(what: str) -> Iterator[None]:
    """Lets one part of a look fail without stopping the others. Raises Unreachable, which would stop them all."""
    with _logs_failures(what, but=(Unreachable,)):
        yield


@contextlib.contextmanager
def _logs_failures(what: str, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    try:
        yield
    except but:
        raise
    except (StorageAway, Unavailable) as error:
        logger.warning("%s: postponed, %s", what, error.code)
    except Exception as error:  # must stop neither later looks nor the conversations
        logger.error("%s: postponed, unexpected %s", what, describe(error))  # noqa: TRY400 - its text may quote a guest
