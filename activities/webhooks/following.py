"""Follows the logs of all properties, and starts the workflow of each endpoint that has events to receive."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Final

from activities.polling import isolated, poll_until
from activities.storage.property_events import PropertyEvents
from activities.storage.webhook_endpoints import Target, WebhookEndpoints
from activities.webhooks.sending import READ_AT_ONCE
from contracts.webhooks import WebhookEndpoint

INTERVAL_SECONDS: Final = 1.0


class WebhookFollower:
    """Any number of processes may follow at once. Positions in PostgreSQL tell what is pending, so the next look finds
    whatever was missed."""

    def __init__(
        self,
        endpoints: WebhookEndpoints,
        events: PropertyEvents,
        start: Callable[[WebhookEndpoint], Awaitable[None]],
    ) -> None:
        self._endpoints = endpoints
        self._events = events
        self._start = start

    async def run(self, stop: asyncio.Event) -> None:
        """Looks once a second until `stop` is set."""
        await poll_until(stop, self.look, seconds=INTERVAL_SECONDS, what="webhooks")

    async def look(self) -> None:
        """Starts the workflows of endpoints that want any of the new events.

        An endpoint that fails is tried again, and does not delay the others.
        """
        for target in await self._endpoints.behind(datetime.now(UTC)):
            with isolated(f"webhooks of endpoint {target.endpoint.id}"):
                if await self._is_wanted(target):
                    await self._start(target.endpoint)

    async def _is_wanted(self, target: Target) -> bool:
        endpoint = target.endpoint
        events, read_to = await self._events.read(endpoint.property_id, after=target.position, limit=READ_AT_ONCE)
        if any(event.matches(endpoint.event_types) for event in events):
            return True
        await self._endpoints.pass_over(endpoint.id, after=target.position, up_to=read_to)
        return False
