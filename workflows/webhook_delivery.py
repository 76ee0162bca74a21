"""The webhook delivery workflow: sends one endpoint its pending events in order, and ends.

It runs only while events are pending, so a quiet property costs no history. PostgreSQL knows the endpoint's position in
the log; the workflow keeps the time between attempts.
"""

from datetime import timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy, VersioningBehavior

with workflow.unsafe.imports_passed_through():
    from activities.webhooks.sending import WebhookSending
    from contracts.clear_text import ClearText
    from contracts.names import WEBHOOK_WORKFLOW, TaskQueue
    from contracts.webhooks import DeliveryStart, DisabledReason, DisableEndpoint, EventsSent, SendEvents
    from workflows.waiting import wait

SEND_TIMEOUT = timedelta(minutes=5)
HEARTBEAT_TIMEOUT = timedelta(seconds=30)
"""Longer than one attempt can take."""
NOTE_TIMEOUT = timedelta(seconds=10)
RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""Unlimited: the activity fails only while storage is away or when a worker dies."""


@workflow.defn(name=WEBHOOK_WORKFLOW, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class WebhookDeliveryWorkflow:
    @workflow.init
    def __init__(self, start: DeliveryStart) -> None:
        self._failures = start.failures
        self._failing_since = start.failing_since
        self._woken = False

    @workflow.run
    async def run(self, start: DeliveryStart) -> None:
        while True:
            sent = await self._send(start)
            if sent.delivered:
                self._failures, self._failing_since = 0, None
            if sent.result == "caught_up":
                return
            if sent.result == "gone":
                await self._disable(start, "gone")
                return
            if sent.result == "failed" and not await self._try_again(start, sent):
                await self._disable(start, "failing")
                return
            self._go_on(start)

    @workflow.signal
    def wake(self) -> None:
        """The endpoint may work again: tries it at once."""
        self._woken = True

    async def _send(self, start: DeliveryStart) -> EventsSent:
        self._woken = False
        workflow.set_current_details(f"Sending to endpoint `{start.endpoint_id}`")
        return await workflow.execute_activity_method(
            WebhookSending.send_events,
            SendEvents(endpoint_id=start.endpoint_id, failures=self._failures),
            task_queue=TaskQueue.CHANNELS,
            start_to_close_timeout=SEND_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RETRIES,
            priority=Priority(fairness_key=start.property_id),
            summary=ClearText("Send events"),
        )

    async def _try_again(self, start: DeliveryStart, sent: EventsSent) -> bool:
        """Waits for the next attempt. Returns False if all have failed for too long."""
        now = workflow.now()
        self._failures += 1
        self._failing_since = since = self._failing_since or now
        left = since + start.disable_after - now
        if left <= timedelta(0):
            return False
        pause = min(sent.wait, left)
        workflow.set_current_details(
            f"Endpoint `{start.endpoint_id}` has been failing since {since:%Y-%m-%d %H:%M} UTC"
            f" ({self._failures} times in a row); next attempt at {now + pause:%Y-%m-%d %H:%M} UTC"
        )
        await wait(lambda: self._woken, pause, "Next attempt")
        return True

    async def _disable(self, start: DeliveryStart, reason: DisabledReason) -> None:
        await workflow.execute_activity_method(
            WebhookSending.disable_endpoint,
            DisableEndpoint(endpoint_id=start.endpoint_id, reason=reason, at=workflow.now()),
            task_queue=TaskQueue.CHANNELS,
            start_to_close_timeout=NOTE_TIMEOUT,
            retry_policy=RETRIES,
            summary=ClearText("Disable the endpoint"),
        )

    def _go_on(self, start: DeliveryStart) -> None:
        """Continues as new once this run has grown long."""
        info = workflow.info()
        if info.is_continue_as_new_suggested() or info.get_current_history_length() > start.history_limit:
            carried = {"failures": self._failures, "failing_since": self._failing_since}
            workflow.continue_as_new(start.model_copy(update=carried))
