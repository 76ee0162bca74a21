"""Typed client for webhook delivery workflows."""

import contextlib
from datetime import timedelta

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from contracts.clear_text import ClearText
from contracts.names import TaskQueue, webhook_workflow_id
from contracts.webhooks import DeliveryStart, WebhookEndpoint
from settings import Webhooks
from workflows.calls import GoneError, reaching_temporal
from workflows.search import of_property
from workflows.webhook_delivery import WebhookDeliveryWorkflow

CALL_SECONDS = 10


class WebhookDeliveries:
    """Every method raises Unavailable while Temporal is away."""

    def __init__(self, client: Client, settings: Webhooks) -> None:
        self._client = client
        self._disable_after = timedelta(milliseconds=settings.disable_after)

    async def start(self, endpoint: WebhookEndpoint, *, history_limit: int = 500) -> None:
        """Starts sending an endpoint its pending events, unless that is already under way."""
        start = DeliveryStart(
            endpoint_id=endpoint.id,
            property_id=endpoint.property_id,
            disable_after=self._disable_after,
            history_limit=history_limit,
        )
        starting = self._client.start_workflow(
            WebhookDeliveryWorkflow.run,
            start,
            id=webhook_workflow_id(endpoint.id),
            task_queue=TaskQueue.GATEWAY,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=of_property(endpoint.property_id),
            static_summary=ClearText(f"{endpoint.property_id} · webhooks"),
            priority=Priority(fairness_key=endpoint.property_id),
            rpc_timeout=timedelta(seconds=CALL_SECONDS),
        )
        await reaching_temporal(starting)

    async def wake(self, endpoint_id: str) -> None:
        """Makes an endpoint that waits for its next attempt try at once."""
        handle = self._client.get_workflow_handle(webhook_workflow_id(endpoint_id))
        signalling = handle.signal(WebhookDeliveryWorkflow.wake, rpc_timeout=timedelta(seconds=CALL_SECONDS))
        with contextlib.suppress(GoneError):
            await reaching_temporal(signalling)
