"""Typed client for task workflows."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

from temporalio.client import (
    Client,
    WithStartWorkflowOperation,
    WorkflowHandle,
    WorkflowQueryFailedError,
    WorkflowUpdateFailedError,
)
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.service import RPCStatusCode

from contracts.automations import OWN_IDS
from contracts.clear_text import ClearText
from contracts.commands import Actor
from contracts.names import TASK_WORKFLOW, TaskQueue, task_workflow_id
from contracts.problems import NotFound, Unavailable
from contracts.task_events import TaskChanged
from contracts.tasks import ChangeTask, Task, TaskFilter, TaskPolicy, VersionedTask
from settings import Settings
from workflows import search, task_policy
from workflows.calls import (
    AGAIN,
    ATTEMPT_SECONDS,
    QUERY_SECONDS,
    GoneError,
    listed_answer,
    query_answer,
    quoted,
    reaching_temporal,
    refusal,
    until_answered,
)
from workflows.task import TaskWorkflow
from workflows.task_policy import TaskStart

START_SECONDS = 10
LISTED_AT_ONCE = 50


class RunningTasks:
    """Access to all task workflows. Every method raises Unavailable while Temporal is away."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    async def create(self, task: Task, by: Actor | None = None) -> VersionedTask:
        """Starts a task, durable once this returns. Returns the first one that was started under its id."""
        starting = self._client.start_workflow(
            TaskWorkflow.run,
            self._start(task, by=by),
            id=task_workflow_id(task.id),
            task_queue=TaskQueue.GATEWAY,
            # A repeated request starts neither a running task nor a finished one again.
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=search.initial_of_task(task),
            static_summary=ClearText(task_policy.summary(task)),
            priority=Priority(fairness_key=task.property_id),
            rpc_timeout=timedelta(seconds=START_SECONDS),
        )
        try:
            await reaching_temporal(starting)
        except WorkflowAlreadyStartedError:
            return await reaching_temporal(self._begun(task.id))
        return VersionedTask(task=task, version=1)

    async def _begun(self, task_id: str) -> VersionedTask:
        """What the newest run started with, read from its first event, which needs no worker."""
        events = self._handle(task_id).fetch_history_events(page_size=1)
        first = (await anext(events)).workflow_execution_started_event_attributes
        (start,) = await self._client.data_converter.decode(first.input.payloads, [TaskStart])
        assert isinstance(start, TaskStart)
        return start.begun

    async def change(self, command: ChangeTask, read: Callable[[], Awaitable[VersionedTask]]) -> TaskChanged:
        """Changes a task. If its workflow has ended, the task is reopened from what `read` returns.

        Raises StaleVersion if it has none of the expected versions, and OutcomeUnknown if no worker answers.
        """
        return await until_answered(lambda: self._send(command, read))

    async def _send(self, command: ChangeTask, read: Callable[[], Awaitable[VersionedTask]]) -> TaskChanged:
        sending = self._handle(command.task_id).execute_update(
            TaskWorkflow.change, command, id=command.id, rpc_timeout=timedelta(seconds=ATTEMPT_SECONDS)
        )
        try:
            return await reaching_temporal(sending, again=AGAIN)
        except WorkflowUpdateFailedError as error:
            raise refusal(error) from None
        except GoneError:
            pass
        # It ended only after storage had all of it, so what is read from now on is its newest version.
        return await self._send_with_start(command, await read())

    async def _send_with_start(self, command: ChangeTask, ended: VersionedTask) -> TaskChanged:
        start = WithStartWorkflowOperation(
            TaskWorkflow.run,
            self._start(ended.task, ended.version),
            id=task_workflow_id(ended.task.id),
            task_queue=TaskQueue.GATEWAY,
            id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
            id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
            search_attributes=search.initial_of_task(ended.task),
            static_summary=ClearText(task_policy.summary(ended.task)),
            priority=Priority(fairness_key=ended.task.property_id),
        )
        sending = self._client.execute_update_with_start_workflow(
            TaskWorkflow.change,
            command,
            start_workflow_operation=start,
            id=command.id,
            rpc_timeout=timedelta(seconds=ATTEMPT_SECONDS),
        )
        try:
            return await reaching_temporal(sending, again=AGAIN | {RPCStatusCode.NOT_FOUND})
        except WorkflowUpdateFailedError as error:
            raise refusal(error) from None

    async def get(self, task_id: str) -> VersionedTask:
        """The task as its workflow knows it. Raises NotFound for an id that Temporal does not know."""
        handle, timeout = self._handle(task_id), timedelta(seconds=QUERY_SECONDS)
        try:
            return await reaching_temporal(query_answer(lambda: handle.query(TaskWorkflow.task, rpc_timeout=timeout)))
        except WorkflowQueryFailedError as error:
            raise Unavailable("the task cannot be read right now; try again shortly") from error
        except GoneError:
            raise _no_such(task_id) from None

    async def list_running(self, wanted: TaskFilter, *, limit: int) -> list[Task]:
        """Running tasks from Temporal's visibility, newest first: the list to show while storage is away.

        Those that cannot be read right now are left out.
        """
        if not wanted.properties:
            return []
        properties = ", ".join(quoted(each) for each in wanted.properties)
        terms = [
            f"WorkflowType = {quoted(TASK_WORKFLOW)}",
            "ExecutionStatus = 'Running'",
            f"GatewayProperty IN ({properties})",
        ]
        for name, value in (("GatewayState", wanted.status), ("GatewayAssignee", wanted.assigned_to)):
            if value is not None:
                terms.append(f"{name} = {quoted(value)}")
        found = await reaching_temporal(self._running(" AND ".join(terms), wanted, limit))
        return sorted(found, key=lambda task: (task.created_at, task.id), reverse=True)

    async def _running(self, query: str, wanted: TaskFilter, limit: int) -> list[Task]:
        """Visibility knows neither department nor conversation, so the tasks themselves are queried, some at a time."""
        found: list[Task] = []
        ids: list[str] = []

        async def ask() -> None:
            tasks = await asyncio.gather(*(self._running_one(each) for each in ids))
            found.extend(task for task in tasks if task is not None and wanted.lets_pass(task))
            ids.clear()

        async for each in self._client.list_workflows(query):
            ids.append(each.id)
            if len(ids) == LISTED_AT_ONCE:
                await ask()
            if len(found) >= limit:
                break
        await ask()
        return found[:limit]

    async def _running_one(self, workflow: str) -> Task | None:
        """A listed task; None if it has ended meanwhile or cannot be read."""
        handle: WorkflowHandle[TaskWorkflow, None] = self._client.get_workflow_handle_for(TaskWorkflow.run, workflow)
        timeout = timedelta(seconds=QUERY_SECONDS)
        found = await listed_answer(workflow, lambda: handle.query(TaskWorkflow.task, rpc_timeout=timeout))
        return found.task if found else None

    def _handle(self, task_id: str) -> WorkflowHandle[TaskWorkflow, None]:
        return self._client.get_workflow_handle_for(TaskWorkflow.run, task_workflow_id(task_id))

    def _start(self, task: Task, version: int = 1, by: Actor | None = None) -> TaskStart:
        rules = self._settings.tasks
        policy = TaskPolicy(
            reminder_lead=timedelta(milliseconds=rules.reminder_lead),
            raise_overdue=rules.raise_overdue,
            tells_guest=not task.id.startswith(OWN_IDS),  # the guest did not ask for what an automation created
        )
        return TaskStart(task=task, version=version, policy=policy, by=by)


def _no_such(task_id: str) -> NotFound:
    return NotFound(f"There is no task {task_id}")
