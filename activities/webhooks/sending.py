"""The activities of webhook delivery workflows. Storage and sender are only imported for type checking, so that
workflows can import the signatures."""

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from temporalio import activity

from contracts.webhooks import DisableEndpoint, EventsSent, SendEvents

if TYPE_CHECKING:
    from activities.storage.property_events import PropertyEvents
    from activities.storage.webhook_endpoints import Target, WebhookEndpoints
    from activities.storage.webhook_notices import WebhookNotices
    from activities.webhooks.sender import WebhookSender
    from contracts.property_events import PropertyEvent

READ_AT_ONCE: Final = 100
BATCH_SECONDS: Final = 60.0
"""How long one activity keeps sending. If more events are pending, another one follows."""


class WebhookSending:
    def __init__(
        self,
        endpoints: "WebhookEndpoints",
        events: "PropertyEvents",
        sender: "WebhookSender",
        notices: "WebhookNotices",
    ) -> None:
        self._endpoints = endpoints
        self._events = events
        self._sender = sender
        self._notices = notices

    @activity.defn
    async def send_events(self, order: SendEvents) -> EventsSent:
        """Sends an endpoint its pending events in order, until an attempt fails.

        Its position is stored after each event, so that a retry continues there. An event that was sent but not
        recorded is repeated under the same id. Raises StorageAway, to be retried.
        """
        ends, delivered = time.monotonic() + BATCH_SECONDS, 0
        target = await self._endpoints.target(order.endpoint_id)
        await self._endpoints.forget_old_deliveries(order.endpoint_id)
        while target is not None and target.endpoint.enabled:
            events, read_to = await self._events.read(
                target.endpoint.property_id, after=target.position, limit=READ_AT_ONCE
            )
            if read_to <= target.position:
                break
            for event in events:
                if event.position <= target.position or not event.matches(target.endpoint.event_types):
                    continue
                if time.monotonic() > ends or activity.is_worker_shutdown():
                    return EventsSent(result="more", delivered=delivered)
                activity.heartbeat()
                failures = 0 if delivered else order.failures
                outcome = await self._send(target, event, failures)
                if isinstance(outcome, EventsSent):
                    return outcome.model_copy(update={"delivered": delivered})
                delivered += 1
                if outcome is None or not outcome.endpoint.enabled:
                    return EventsSent(result="caught_up", delivered=delivered)
                target = outcome
            await self._endpoints.pass_over(order.endpoint_id, after=target.position, up_to=read_to)
            target = await self._endpoints.target(order.endpoint_id)
        return EventsSent(result="caught_up", delivered=delivered)

    async def _send(self, target: "Target", event: "PropertyEvent", failures: int) -> "EventsSent | Target | None":
        """One attempt. Returns the endpoint afterwards, None if it is gone, or how the attempt failed."""
        sent = await self._sender.send_event(target, event)
        if sent.attempt.reason is None:
            return await self._endpoints.delivered(target.endpoint.id, sent.attempt, position=event.position)
        failures += 1
        wait = sent.pause(failures)
        await self._endpoints.failed(
            target.endpoint.id, sent.attempt, failures=failures, next_attempt_at=datetime.now(UTC) + wait
        )
        return EventsSent(result="gone" if sent.is_gone else "failed", wait=wait)

    @activity.defn
    async def disable_endpoint(self, order: DisableEndpoint) -> None:
        """Disables an endpoint and tells staff, once however often it is called. Raises StorageAway."""
        await self._notices.disable(order)
