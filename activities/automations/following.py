"""Follows the logs of properties that have automations, and hands what happened to those who run them."""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from activities.storage.automations import StoredAutomations
from activities.storage.property_events import PropertyEvents
from contracts.automations import Automations, Facts
from contracts.problems import StorageAway, Unavailable
from contracts.property_events import PropertyEvent

INTERVAL_SECONDS: Final = 1.0
READ_AT_ONCE: Final = 100

logger = logging.getLogger(__name__)


class AutomationFollower:
    """Any number of processes may follow at once: a rule runs once for an event, whoever sees it first."""

    def __init__(
        self,
        stored: StoredAutomations,
        events: PropertyEvents,
        run: Callable[[Automations, PropertyEvent, Facts], Awaitable[None]],
    ) -> None:
        self._stored = stored
        self._events = events
        self._run = run

    async def run(self, stop: asyncio.Event) -> None:
        """Looks once a second until `stop` is set."""
        while not stop.is_set():
            try:
                await self.look()
            except (StorageAway, Unavailable) as error:
                logger.warning("automations wait: %s", error.code)
            except Exception:
                logger.exception("following the log for automations failed; it is tried again")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), INTERVAL_SECONDS)

    async def look(self) -> None:
        """Runs what is to run, and notes how far that is only when all of it has begun."""
        for automations, position in await self._stored.behind():
            property_id = automations.property_id
            events, read_to = await self._events.read(property_id, after=position, limit=READ_AT_ONCE)
            for event in events:
                if any(event.matches(rule.when) for rule in automations.rules):
                    await self._run(automations, event, await self._stored.facts(event))
            await self._stored.advance(property_id, after=position, up_to=read_to)
