"""Looking again and again for something to do, beside the queues."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable

from contracts.problems import StorageAway, Unavailable
from contracts.unexpected import told

logger = logging.getLogger(__name__)


async def look_until(stop: asyncio.Event, look: Callable[[], Awaitable[object]], *, seconds: float, what: str) -> None:
    """Looks, waits for `seconds`, and looks again until `stop` is set; `what` waits, in the log, while a look fails."""
    while not stop.is_set():
        try:
            await look()
        except (StorageAway, Unavailable) as error:
            logger.warning("%s wait: %s", what, error.code)
        except Exception as error:  # a fault in this must stop neither later looks nor the guests' conversations
            logger.error("%s wait: unexpected %s", what, told(error))  # noqa: TRY400 - its text may quote a guest
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await stop.wait()
