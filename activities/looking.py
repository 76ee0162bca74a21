"""Looking again and again for something to do, beside the queues."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Iterator

from contracts.problems import StorageAway, Unavailable, Unreachable
from contracts.unexpected import told

logger = logging.getLogger(__name__)


async def look_until(stop: asyncio.Event, look: Callable[[], Awaitable[object]], *, seconds: float, what: str) -> None:
    """Looks, waits for `seconds`, and looks again until `stop` is set; `what` waits, in the log, while a look fails."""
    while not stop.is_set():
        with _waits(what):
            await look()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()


@contextlib.contextmanager
def by_itself(what: str) -> Iterator[None]:
    """A part of a look that leaves the others alone where it fails. Raises Unreachable, which they would meet, too."""
    with _waits(what, but=(Unreachable,)):
        yield


@contextlib.contextmanager
def _waits(what: str, but: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    try:
        yield
    except but:
        raise
    except (StorageAway, Unavailable) as error:
        logger.warning("%s wait: %s", what, error.code)
    except Exception as error:  # a fault in this must stop neither later looks nor the guests' conversations
        logger.error("%s wait: unexpected %s", what, told(error))  # noqa: TRY400 - its text may quote a guest
