"""The other workflows: tasks, webhooks, automations.

`python -m tests.replay.record` runs these as tests; the suite itself collects only `test_*.py`.
"""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from temporalio.client import WorkflowExecutionStatus, WorkflowHandle

from contracts.automations import Acted, AutomationRule, Automations, Facts
from contracts.names import automation_workflow_id, webhook_workflow_id
from contracts.property_events import PropertyEvent
from tests.desk import Desk
from tests.fakes.receiver import FakeReceiver
from tests.replay.store import keep
from tests.replay.waiting import settled
from tests.support import ANA, Guest, Stack, command, eventually
from tests.task_records import a_task
from tests.webhooks import delivering, hook
from workflows.automation_client import AutomationRuns


async def test_a_task_overdue_and_done(request: pytest.FixtureRequest, stack: Stack, working: None) -> None:
    desk = Desk(stack, stack.client)
    task = await desk.create(due_in=timedelta(seconds=2))
    await desk.change(task, assigned_to=ANA.id)

    async def overdue() -> bool:
        return len(await desk.notifications(task)) >= 1

    await eventually(overdue, what="the task to be overdue")
    await desk.change(task, status="done")
    await desk.handle(task).result()
    await keep(request.node.name, stack.client, desk.handle(task).id)


async def test_a_cancelled_task(request: pytest.FixtureRequest, stack: Stack, working: None) -> None:
    desk = Desk(stack, stack.client)
    task = await desk.create(due_in=timedelta(days=2))
    await desk.is_stored(task, 1)
    await desk.handle(task).cancel()
    await desk.handle(task).result()
    await keep(request.node.name, stack.client, desk.handle(task).id)


async def test_webhooks_that_fail_and_heal(
    request: pytest.FixtureRequest, stack: Stack, receiver: FakeReceiver
) -> None:
    """One failure, a wait that is ended, a wait that ends by itself in a new run, and a receiver that is gone."""
    hooked = await hook(stack, receiver, ["task.*"])
    answers = iter((500, 200, 500, 200, 410))
    receiver.status = lambda event: next(answers)
    await hooked.happens(3)
    async with delivering(stack):
        await hooked.deliveries.start(hooked.endpoint, history_limit=20)
        await hooked.was_tried(1)
        await hooked.deliveries.wake(hooked.endpoint.id)
        await hooked.becomes_disabled()
        handle = stack.client.get_workflow_handle(webhook_workflow_id(hooked.endpoint.id))
        await handle.result()
    await keep(request.node.name, stack.client, handle.id)


async def test_an_automation_with_a_refused_action(
    request: pytest.FixtureRequest, scene: Guest, stack: Stack, working: None
) -> None:
    """A conversation and a task that a rule changes, and a message that it may not send."""
    rule = AutomationRule.model_validate(
        {
            "id": "claimed",
            "name": "What is claimed is looked after",
            "when": ["conversation.claimed"],
            "then": [
                {"type": "create_task", "department": "front_desk", "title": "Look in"},
                {"type": "set_priority", "priority": "high"},
                {"type": "send_message", "content": "Somebody is on it"},
            ],
        }
    )
    await scene.ask("Hello?")
    await stack.conversations.escalate(command(await scene.conversation()))
    conversation = await stack.conversations.claim(command(await scene.conversation()))
    event = PropertyEvent(
        type="conversation.claimed",
        property_id=stack.hotel,
        position=1,
        at=datetime.now(UTC),
        conversation_id=conversation.conversation_id,
        conversation=conversation,
    )
    automations = Automations(property_id=stack.hotel, rules=[rule])
    await AutomationRuns(stack.client, stack.settings).start(automations, event, Facts(conversation=conversation))
    handle = stack.client.get_workflow_handle(automation_workflow_id(stack.hotel, 1, rule.id))
    await handle.result()
    await settled(stack, scene)
    await keep(f"{request.node.name}_and_its_rule", stack.client, handle.id)


async def _calling(stack: Stack, receiver: FakeReceiver) -> WorkflowHandle[Any, list[Acted]]:
    """A rule that calls a program of the hotel's, and then does something else."""
    hooked = await hook(stack, receiver, ["task.overdue"])
    call = {"type": "call_webhook", "endpointId": hooked.endpoint.id}
    then = [call, {"type": "create_task", "department": "front_desk", "title": "Look in"}, call]
    rule = AutomationRule.model_validate({"id": "calls", "name": "Calls", "when": ["task.created"], "then": then})
    event = PropertyEvent(
        type="task.created", property_id=stack.hotel, position=1, at=datetime.now(UTC), task=a_task("asked-for")
    )
    automations = Automations(property_id=stack.hotel, rules=[rule])
    await AutomationRuns(stack.client, stack.settings).start(automations, event, Facts(task=event.task))
    await hooked.was_tried(1)
    return stack.client.get_workflow_handle(automation_workflow_id(stack.hotel, 1, rule.id))


async def test_an_automation_that_calls(
    request: pytest.FixtureRequest, stack: Stack, receiver: FakeReceiver, working: None
) -> None:
    answers = iter((503, 200, 200))
    receiver.status = lambda event: next(answers)
    handle = await _calling(stack, receiver)
    await handle.result()
    await keep(request.node.name, stack.client, handle.id)


async def test_an_automation_that_is_cancelled(
    request: pytest.FixtureRequest, stack: Stack, receiver: FakeReceiver, working: None
) -> None:
    receiver.status = lambda event: 503 if len(receiver.attempts) < 2 else 200
    handle = await _calling(stack, receiver)
    await handle.cancel()

    async def ended() -> bool:
        return (await handle.describe()).status is not WorkflowExecutionStatus.RUNNING

    await eventually(ended, what="the automation to end")
    await keep(request.node.name, stack.client, handle.id)
