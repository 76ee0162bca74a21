"""Which release has the conversations: the current version of the workers' deployment, as Temporal calls it."""

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
"""Within which a worker that lives has asked for work: it waits a minute for an answer, and asks again."""


class Release:
    """One release of the workers, by its build id. Every method raises Unavailable while Temporal is away."""

    def __init__(self, client: Client, build_id: str) -> None:
        self._client = client
        self._build_id = build_id

    async def make_current(self) -> None:
        """New workflows go to this release from now on. Without a current one no first task ever starts."""
        request = SetWorkerDeploymentCurrentVersionRequest(
            namespace=self._client.namespace,
            deployment_name=DEPLOYMENT,
            build_id=self._build_id,
            ignore_missing_task_queues=True,
            allow_no_pollers=True,
        )
        await reaching_temporal(self._client.workflow_service.set_worker_deployment_current_version(request))

    async def take_over(self) -> None:
        """Becomes current where the release that is has no worker any more: nothing would ever go on.

        So it is where a worker of the release before crashed while both served, made its own current as it started
        again, and was stopped with the others.
        """
        current = await self._current()
        if current != self._build_id and current not in await self._alive():
            await self.make_current()

    async def _current(self) -> str:
        request = DescribeWorkerDeploymentRequest(namespace=self._client.namespace, deployment_name=DEPLOYMENT)
        described = await reaching_temporal(self._client.workflow_service.describe_worker_deployment(request))
        return described.worker_deployment_info.routing_config.current_deployment_version.build_id

    async def _alive(self) -> set[str]:
        """Releases whose workers have asked for conversations lately, in any part of their queue."""
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
