"""Endpoints that hang or fail hold up neither one another nor what guests and staff wait for."""

import asyncio
from typing import Any

import pytest
from temporalio.client import WorkflowFailureError, WorkflowHandle
from temporalio.exceptions import ApplicationError, CancelledError

import worker
from activities.automations.actions import CALLS_AT_ONCE
from activities.storage.sealed_secrets import SealedSecrets
from activities.webhooks.sender import WebhookSender, webhook_id
from contracts.automations import Act, AutomationRule, Automations, CallWebhook, Facts, Happening
from contracts.names import automation_workflow_id
from contracts.property_events import PropertyEvent
from contracts.webhook_events import webhook_event
from tests.fakes.receiver import FakeReceiver
from tests.support import Stack, eventually
from tests.task_records import NOW, a_task
from tests.webhooks import Hooked, hook
from workflows.automation_client import AutomationRuns


@pytest.fixture
async def hooked(stack: Stack, receiver: FakeReceiver) -> Hooked:
    return await hook(stack, receiver, ["task.overdue"])


def _call(hooked: Hooked, position: int) -> Act:
    happening = Happening(property_id=hooked.stack.hotel, position=position, type="task.created", at=NOW)
    action = CallWebhook(type="call_webhook", endpoint_id=hooked.endpoint.id)
    return Act(rule_id="rule", happening=happening, number=0, action=action)


async def test_an_endpoint_that_hangs_is_called_so_often_at_once_and_no_more(
    stack: Stack, hooked: Hooked, receiver: FakeReceiver
) -> None:
    """What waits for it would have every activity of the worker, and guests no answers."""
    receiver.hold()
    async with worker.dependencies(stack.settings, stack.client) as activities:
        act = activities.automations.act
        calls = [asyncio.create_task(act(_call(hooked, position))) for position in range(CALLS_AT_ONCE)]
        await hooked.was_tried(CALLS_AT_ONCE)
        with pytest.raises(ApplicationError):  # to be tried again
            await act(_call(hooked, CALLS_AT_ONCE))
        receiver.let_go()
        done = [*await asyncio.gather(*calls), await act(_call(hooked, CALLS_AT_ONCE))]
    assert [each.outcome for each in done] == ["done"] * (CALLS_AT_ONCE + 1)
    assert len(receiver.received) == CALLS_AT_ONCE + 1


async def test_endpoints_that_hang_leave_connections_for_others(
    stack: Stack, hooked: Hooked, receiver: FakeReceiver
) -> None:
    event = PropertyEvent(type="task.created", property_id=stack.hotel, position=1, at=NOW, task=a_task())
    target = await hooked.endpoints.target(hooked.endpoint.id)
    assert target is not None
    sender = WebhookSender(stack.settings.webhooks, SealedSecrets(stack.settings.temporal))
    receiver.hold()
    sending = [asyncio.create_task(sender.send(target, webhook_id(n), webhook_event(event))) for n in range(20)]
    await hooked.was_tried(20)
    receiver.let_go()
    assert all(sent.attempt.reason is None for sent in await asyncio.gather(*sending))
    await sender.close()


async def _run(hooked: Hooked, *then: dict[str, Any]) -> WorkflowHandle[Any, list[dict[str, Any]]]:
    """Begins a rule that calls the endpoint and then does something else; it has been called once by now."""
    stack, call = hooked.stack, {"type": "call_webhook", "endpointId": hooked.endpoint.id}
    rule = AutomationRule.model_validate(
        {"id": "rule", "name": "A rule", "when": ["task.created"], "then": [call, *then]}
    )
    event = PropertyEvent(type="task.created", property_id=stack.hotel, position=1, at=NOW, task=a_task())
    automations = Automations(property_id=stack.hotel, rules=[rule])
    await AutomationRuns(stack.client, stack.settings).start(automations, event, Facts(task=event.task))
    await hooked.was_tried(1)
    return stack.client.get_workflow_handle(automation_workflow_id(stack.hotel, 1, rule.id))


async def _noticed(stack: Stack) -> list[str]:
    rows = await stack.rows("SELECT text FROM notifications WHERE property_id = :id", id=stack.hotel)
    return [str(row["text"]) for row in rows]


async def test_what_comes_after_a_call_does_not_wait_for_it(
    stack: Stack, hooked: Hooked, receiver: FakeReceiver, working: None
) -> None:
    """An endpoint is tried for a day, and somebody should look in within the hour."""
    receiver.status = lambda event: 503
    run = await _run(hooked, {"type": "notify_staff", "text": "Look in"})

    async def told() -> bool:
        return await _noticed(stack) == ["Look in"]

    await eventually(told, what="the next action")
    receiver.status = lambda event: 200
    assert [each["outcome"] for each in await run.result()] == ["done", "done"]


async def test_an_automation_that_an_operator_cancels_does_no_more(
    stack: Stack, hooked: Hooked, receiver: FakeReceiver, working: None
) -> None:
    receiver.status = lambda event: 503
    run = await _run(hooked)
    await run.cancel()
    with pytest.raises(WorkflowFailureError) as failed:
        await run.result()
    assert isinstance(failed.value.cause, CancelledError)
    assert await _noticed(stack) == []
