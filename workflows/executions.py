"""Which of some workflows are still running, and which histories Temporal keeps of them."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client, WorkflowExecutionStatus

from contracts.guests import HistoryLeft
from workflows.calls import GoneError, quoted, reaching_temporal

CALL_SECONDS = timedelta(seconds=10)
AT_ONCE = 50
"""How many workflows one call asks for."""


class Executions:
    """Every method raises Unavailable while Temporal is away."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def running(self, workflow_ids: Sequence[str]) -> list[str]:
        """Those that are still running and may write to storage."""
        found: list[str] = []
        for few in _in_parts(workflow_ids):
            running = await asyncio.gather(*(self._runs(each) for each in few))
            found += [each for each, runs in zip(few, running, strict=True) if runs]
        return found

    async def _runs(self, workflow_id: str) -> bool:
        describing = self._client.get_workflow_handle(workflow_id).describe(rpc_timeout=CALL_SECONDS)
        try:
            return (await reaching_temporal(describing)).status is WorkflowExecutionStatus.RUNNING
        except GoneError:
            return False

    async def histories(self, workflow_ids: Sequence[str]) -> list[HistoryLeft]:
        """Every run that Temporal keeps, from its visibility, which may lag for a moment."""
        retention = await reaching_temporal(self._retention())
        found: list[HistoryLeft] = []
        for few in _in_parts(workflow_ids):
            ids = ", ".join(quoted(each) for each in few)
            found += await reaching_temporal(self._listed(f"WorkflowId IN ({ids})", retention))
        return sorted(found, key=lambda each: (each.workflow_id, each.kept_until))

    async def _listed(self, query: str, retention: timedelta) -> list[HistoryLeft]:
        return [
            HistoryLeft(
                workflow_id=each.id,
                run_id=each.run_id,
                closed_at=each.close_time,
                kept_until=(each.close_time or datetime.now(UTC)) + retention,
            )
            async for each in self._client.list_workflows(query)
        ]

    async def _retention(self) -> timedelta:
        described = await self._client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=self._client.namespace), timeout=CALL_SECONDS
        )
        return described.config.workflow_execution_retention_ttl.ToTimedelta()


def _in_parts(ids: Sequence[str]) -> list[Sequence[str]]:
    return [ids[start : start + AT_ONCE] for start in range(0, len(ids), AT_ONCE)]
