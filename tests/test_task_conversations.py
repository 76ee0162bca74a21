"""Tasks and the conversations that they come from and go back to."""

import asyncio
import uuid
from datetime import UTC, datetime

from temporalio import workflow
from temporalio.client import Client
from temporalio.worker import Worker

from contracts.ai import Action, AIRequest, AIResponse
from contracts.messages import Author
from contracts.names import TaskQueue, task_workflow_id
from contracts.tasks import Task
from tests.desk import STAND_INS, Desk, StandIn, a_conversation_id, stand_in
from tests.fakes.ai import FakeAI, confident
from tests.support import Guest, eventually
from tests.task_records import a_task
from workflows.task import TaskWorkflow
from workflows.task_policy import TaskStart


async def test_the_conversation_learns_once_that_it_is_done(desk: Desk, served: None, stand_ins: None) -> None:
    conversation = await stand_in(desk.client, conversation_id := a_conversation_id())
    task = await desk.create(conversation_id=conversation_id, title="Two more towels")
    # Both changes come in before either is told, and a third after.
    await asyncio.gather(desk.change(task, status="done"), desk.change(task, description="Brought"))
    await desk.handle(task).result()
    told = await conversation.query(StandIn.told)
    assert [(each.conversation_id, each.task_id, each.title) for each in told] == [
        (conversation_id, task.id, "Two more towels")
    ]
    await desk.reopen(task, title="Two more towels, brought")
    await desk.handle(task).result()
    assert len(await conversation.query(StandIn.told)) == 1
    await conversation.terminate()


async def test_the_guest_hears_once_that_it_is_done(working: None, desk: Desk, guest: Guest) -> None:
    await guest.ask("May I have two more towels?")
    conversation = await guest.conversation()
    task = await desk.create(conversation_id=conversation.conversation_id, title="Two more towels")
    for status in ("done", "open", "done"):
        await desk.reopen(task, status=status)
    await desk.handle(task).result()

    async def told() -> list[str]:
        return [each.content for each in await guest.messages() if each.author is Author.SYSTEM]

    assert await eventually(told, what="the guest to be told") == ["Done: Two more towels."]
    await guest.ask("Thank you")
    assert len(await told()) == 1


async def test_a_task_that_the_ai_asks_for_is_begun(working: None, desk: Desk, guest: Guest, ai: FakeAI) -> None:
    def with_action(request: AIRequest) -> AIResponse:
        towels = Action(id="a-1", type="create_task", params={"department": "housekeeping", "title": "Two more towels"})
        return confident(request).model_copy(update={"actions": [towels]})

    ai.respond = with_action
    await guest.ask("May I have two more towels?")

    async def listed() -> list[dict[str, object]]:
        return await desk.stack.rows("SELECT * FROM tasks WHERE property_id = :id", id=desk.stack.hotel)

    task = Task.model_validate((await eventually(listed, what="the task to be stored"))[0])
    assert (task.title, task.status) == ("Two more towels", "open")
    assert task.conversation_id == (await guest.conversation()).conversation_id
    await desk.change(task, status="done")
    await desk.handle(task).result()


async def test_a_conversation_that_has_ended_need_not_know(desk: Desk, served: None, stand_ins: None) -> None:
    ended = a_conversation_id()
    conversation = await stand_in(desk.client, ended)
    await conversation.terminate()
    for conversation_id in (ended, a_conversation_id()):
        task = await desk.create(conversation_id=conversation_id)
        await desk.change(task, status="done")
        await desk.handle(task).result()
        assert [each.status for each in await desk.versions(task)] == ["open", "done"]


@workflow.defn(sandboxed=False)
class Asking:
    """A workflow that gives a department something to do, and ends."""

    @workflow.run
    async def run(self, task: Task) -> None:
        await workflow.start_child_workflow(
            TaskWorkflow.run,
            TaskStart(task=task),
            id=task_workflow_id(task.id),
            task_queue=TaskQueue.GATEWAY,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
        )


async def test_a_task_outlives_the_workflow_that_asked_for_it(desk: Desk, served: None, client: Client) -> None:
    task = a_task(str(uuid.uuid4()), now=datetime.now(UTC), property_id=desk.stack.hotel)
    async with Worker(client, task_queue=STAND_INS, workflows=[Asking]):
        await client.execute_workflow(Asking.run, task, id=f"asking-{task.id}", task_queue=STAND_INS)
    await desk.is_stored(task, 1)

    async def found() -> bool:
        query = f"WorkflowType = 'Task' AND GatewayProperty = '{desk.stack.hotel}' AND GatewayState = 'open'"
        return [each.id async for each in desk.client.list_workflows(query)] == [task_workflow_id(task.id)]

    await eventually(found, what="the task to index itself, which its parent did not")
    await desk.change(task, status="done")
    await desk.handle(task).result()
