"""The department's desk of a test: creates tasks, changes them, and looks at what storage and staff were told."""

import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from temporalio import workflow
from temporalio.client import Client, WorkflowHandle

from activities.storage.log import Log
from contracts.commands import TaskDone
from contracts.events import LogEntry, Notification
from contracts.names import CONVERSATION_WORKFLOW, contact_key_of, task_workflow_id, workflow_id
from contracts.tasks import Task, VersionedTask
from tests.support import Stack, eventually
from tests.task_records import a_change, a_task
from workflows.task import TaskWorkflow
from workflows.task_client import RunningTasks

STAND_INS = "stand-ins"


@dataclass
class Desk:
    stack: Stack
    client: Client

    @property
    def running(self) -> RunningTasks:
        return RunningTasks(self.client, self.stack.settings)

    def handle(self, task: Task) -> WorkflowHandle[TaskWorkflow, None]:
        return self.client.get_workflow_handle_for(TaskWorkflow.run, task_workflow_id(task.id))

    async def create(self, *, due_in: timedelta | None = None, **more: Any) -> Task:
        """A task that is due so long after the server's present."""
        now = datetime.now(UTC)
        task = a_task(
            str(uuid.uuid4()), now=now, property_id=self.stack.hotel, due_at=now + due_in if due_in else None, **more
        )
        assert await self.running.create(task) == VersionedTask(task=task, version=1)
        return task

    async def change(self, task: Task, **changes: Any) -> VersionedTask:
        async def never() -> VersionedTask:
            raise AssertionError("its workflow has ended")

        return (await self.running.change(a_change(task.id, **changes), never)).current

    async def reopen(self, task: Task, **changes: Any) -> VersionedTask:
        """Changes a task whose workflow may have ended, as the api does."""

        async def read() -> VersionedTask:
            rows = await self.stack.rows("SELECT * FROM tasks WHERE id = :id", id=task.id)
            return VersionedTask(task=Task.model_validate(rows[0]), version=int(str(rows[0]["version"])))

        return (await self.running.change(a_change(task.id, **changes), read)).current

    async def told(self, task: Task) -> list[LogEntry]:
        """What the log has of the task, in order."""
        entries = await Log(self.stack.database).read(self.stack.hotel, after=0)
        return [
            entry
            for entry in entries
            if (entry.task is not None and entry.task.id == task.id)
            or (entry.notification is not None and f"task-{task.id}-" in entry.notification.id)
        ]

    async def notifications(self, task: Task) -> list[Notification]:
        return [entry.notification for entry in await self.told(task) if entry.notification is not None]

    async def versions(self, task: Task) -> list[Task]:
        return [entry.task for entry in await self.told(task) if entry.task is not None]

    async def is_stored(self, task: Task, version: int) -> None:
        async def look() -> bool:
            rows = await self.stack.rows("SELECT version FROM tasks WHERE id = :id", id=task.id)
            return rows == [{"version": version}]

        await eventually(look, what=f"version {version} to be stored")


@workflow.defn(name=CONVERSATION_WORKFLOW, sandboxed=False)
class StandIn:
    """What stands under a conversation's workflow id and keeps what it is told."""

    def __init__(self) -> None:
        self._done: list[TaskDone] = []

    @workflow.run
    async def run(self) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.signal
    def task_done(self, done: TaskDone) -> None:
        self._done.append(done)

    @workflow.query
    def told(self) -> list[TaskDone]:
        return self._done


def a_conversation_id() -> str:
    return f"{uuid.uuid4().hex[:26]}-0000000f"


async def stand_in(client: Client, conversation_id: str) -> WorkflowHandle[StandIn, None]:
    return await client.start_workflow(
        StandIn.run, id=workflow_id(contact_key_of(conversation_id)), task_queue=STAND_INS
    )
