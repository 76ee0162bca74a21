"""Decides which release runs the conversations: in Temporal's terms, the current version of the worker deployment."""

from datetime import UTC, datetime, timedelta
from typing import Final

from temporalio.api.enums.v1 import TaskQueueType
from temporalio.api.taskqueue.v1 import TaskQueue as NamedQueue
from temporalio.api.workflowservice.v1 import (
    DescribeTaskQueueRequest,
    DescribeWorkerDeploymentRequest,
    ListTaskQueuePartitionsRequest,
    SetWorkerDeploymentCurrentVersionRequest,
)
from temporalio.client import Client

from contracts.names import DEPLOYMENT, TaskQueue
from workflows.calls import reaching_temporal

HEARD_OF: Final = timedelta(seconds=90)
"""A worker that has not polled for this long is gone. A poll takes up to a minute."""


class Release:
    """One release of the workers, by its build id. Every method raises Unavailable while Temporal is away."""

    def __init__(self, client: Client, build_id: str) -> None:
        self._client = client
        self._build_id = build_id

    async def make_current(self) -> None:
        """Makes this the release that new workflows run on. Without a current one, their first tasks never start."""
        request = SetWorkerDeploymentCurrentVersionRequest(
            namespace=self._client.namespace,
            deployment_name=DEPLOYMENT,
            build_id=self._build_id,
            ignore_missing_task_queues=True,
            allow_no_pollers=True,
        )
        await reaching_temporal(self._client.workflow_service.set_worker_deployment_current_version(request))

    async def take_over(self) -> None:
        """Makes this release the current one if that has no workers left, as conversations would stand still forever.

        That happens if, during a roll-out, a worker of the previous release crashes, makes its own release current when
        it restarts, and is then stopped with the others.
        """
        current = await self._current()
        if current != self._build_id and current not in await self._alive():
            await self.make_current()

    async def _current(self) -> str:
        request = DescribeWorkerDeploymentRequest(namespace=self._client.namespace, deployment_name=DEPLOYMENT)
        described = await reaching_temporal(self._client.workflow_service.describe_worker_deployment(request))
        return described.worker_deployment_info.routing_config.current_deployment_version.build_id

    async def _alive(self) -> set[str]:
        """Releases with workers that have recently polled for workflow tasks, in any partition of the queue."""
        service, queue = self._client.workflow_service, NamedQueue(name=TaskQueue.GATEWAY)
        listing = ListTaskQueuePartitionsRequest(namespace=self._client.namespace, task_queue=queue)
        listed = await reaching_temporal(service.list_task_queue_partitions(listing))
        since, alive = datetime.now(UTC) - HEARD_OF, set[str]()
        for part in listed.workflow_task_queue_partitions:
            request = DescribeTaskQueueRequest(
                namespace=self._client.namespace,
                task_queue=NamedQueue(name=part.key),
                task_queue_type=TaskQueueType.TASK_QUEUE_TYPE_WORKFLOW,
            )
            described = await reaching_temporal(service.describe_task_queue(request))
            lately = (each for each in described.pollers if each.last_access_time.ToDatetime(UTC) > since)
            alive.update(each.deployment_options.build_id for each in lately)
        return alive
