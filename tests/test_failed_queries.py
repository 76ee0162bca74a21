"""Reads of conversations and tasks whose workers fail a query, as the SDK does if a thread gets no time to run."""

import uuid
from collections.abc import AsyncIterator

import pytest
from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker

from contracts.conversations import Conversation, ConversationState
from contracts.names import CONVERSATION_WORKFLOW, TASK_WORKFLOW, contact_key_of, task_workflow_id, workflow_id
from contracts.problems import Unavailable
from contracts.tasks import Task, TaskFilter, VersionedTask
from tests.desk import Desk, a_conversation_id
from tests.support import Stack, eventually
from tests.task_records import a_task
from workflows.search import initial, initial_of_task

QUEUE = "failing-queries"


@workflow.defn(name=CONVERSATION_WORKFLOW, sandboxed=False)
class FailingWorkflow:
    """Stands for a conversation's workflow: so many of its queries fail, and those after them are answered."""

    @workflow.init
    def __init__(self, conversation_id: str, failures: int) -> None:
        self._conversation_id, self._failures = conversation_id, failures

    @workflow.run
    async def run(self, conversation_id: str, failures: int) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.query
    def conversation(self) -> Conversation:
        if self._failures > 0:
            self._failures -= 1
            raise RuntimeError("no time to run")
        return Conversation(
            conversation_id=self._conversation_id,
            guest_id="g",
            property_id="seaview",
            state=ConversationState.ACTIVE,
            created_at=workflow.info().start_time,
            channel_type="webchat",
            workflow_id=workflow.info().workflow_id,
        )


@workflow.defn(name=TASK_WORKFLOW, sandboxed=False)
class FailingTaskWorkflow:
    """The same for a task's workflow."""

    @workflow.init
    def __init__(self, task: Task, failures: int) -> None:
        self._task, self._failures = task, failures

    @workflow.run
    async def run(self, task: Task, failures: int) -> None:
        await workflow.wait_condition(lambda: False)

    @workflow.query
    def task(self) -> VersionedTask:
        if self._failures > 0:
            self._failures -= 1
            raise RuntimeError("no time to run")
        return VersionedTask(task=self._task, version=1)


@pytest.fixture
async def failing_served(client: Client) -> AsyncIterator[None]:
    async with Worker(client, task_queue=QUEUE, workflows=[FailingWorkflow, FailingTaskWorkflow]):
        yield


async def failing(stack: Stack, failures: int) -> str:
    """Begins a conversation of which so many queries fail. Returns its id."""
    conversation_id = a_conversation_id()
    await stack.client.start_workflow(
        FailingWorkflow.run,
        args=[conversation_id, failures],
        id=workflow_id(contact_key_of(conversation_id)),
        task_queue=QUEUE,
        search_attributes=initial(stack.hotel, "webchat"),
    )
    return conversation_id


async def failing_task(desk: Desk, failures: int) -> str:
    task = a_task(str(uuid.uuid4()), property_id=desk.stack.hotel)
    await desk.client.start_workflow(
        FailingTaskWorkflow.run,
        args=[task, failures],
        id=task_workflow_id(task.id),
        task_queue=QUEUE,
        search_attributes=initial_of_task(task),
    )
    return task.id


async def are_visible(stack: Stack, workflows: set[str]) -> None:
    async def look() -> bool:
        found = [each.id async for each in stack.client.list_workflows(f"GatewayProperty = '{stack.hotel}'")]
        return set(found) == workflows

    await eventually(look, what=f"{len(workflows)} workflows in Temporal's list")


async def test_a_failed_query_is_asked_again_once(stack: Stack, failing_served: None) -> None:
    once, twice = await failing(stack, 1), await failing(stack, 2)
    assert (await stack.conversations.get(once)).conversation_id == once
    with pytest.raises(Unavailable, match="try again shortly"):
        await stack.conversations.get(twice)
    assert (await stack.conversations.get(twice)).conversation_id == twice


async def test_a_conversation_that_cannot_be_read_does_not_hide_the_others(stack: Stack, failing_served: None) -> None:
    readable, stuck = await failing(stack, 0), await failing(stack, 1_000_000)

    await are_visible(stack, {workflow_id(contact_key_of(each)) for each in (readable, stuck)})
    assert [each.conversation_id for each in await stack.conversations.list_open([stack.hotel])] == [readable]


async def test_a_failed_query_of_a_task_is_asked_again_once(desk: Desk, failing_served: None) -> None:
    once, twice = await failing_task(desk, 1), await failing_task(desk, 2)
    assert (await desk.running.get(once)).task.id == once
    with pytest.raises(Unavailable, match="try again shortly"):
        await desk.running.get(twice)
    assert (await desk.running.get(twice)).task.id == twice


async def test_a_task_that_cannot_be_read_does_not_hide_the_others(desk: Desk, failing_served: None) -> None:
    readable, stuck = await failing_task(desk, 0), await failing_task(desk, 1_000_000)
    await are_visible(desk.stack, {task_workflow_id(each) for each in (readable, stuck)})
    wanted = TaskFilter(properties=[desk.stack.hotel])
    assert [each.id for each in await desk.running.list_running(wanted, limit=10)] == [readable]
