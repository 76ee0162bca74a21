"""Follows the logs of properties that have automations, and runs the automations for new events."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from activities.polling import isolated, poll_until
from activities.storage.automations import StoredAutomations
from activities.storage.property_events import PropertyEvents
from contracts.automations import Automations, Facts
from contracts.property_events import PropertyEvent

INTERVAL_SECONDS: Final = 1.0
READ_AT_ONCE: Final = 100


class AutomationFollower:
    """Any number of processes may follow at once: a rule runs once for an event, whichever sees it first."""

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
        await poll_until(stop, self.look, seconds=INTERVAL_SECONDS, what="automations")

    async def look(self) -> None:
        """Looks at each property with new events. One that fails is tried again, and does not delay the others."""
        for property_id, position in await self._stored.behind():
            with isolated(f"automations of {property_id}"):
                await self._look_at(property_id, position)

    async def _look_at(self, property_id: str, position: int) -> None:
        """Runs what is due, and stores the position only once all of it has been started."""
        automations = await self._stored.get(property_id)
        events, read_to = await self._events.read(property_id, after=position, limit=READ_AT_ONCE)
        for event in events:
            if any(event.matches(rule.when) for rule in automations.rules):
                await self._run(automations, event, await self._stored.facts(event))
        await self._stored.advance(property_id, after=position, up_to=read_to)
