"""The automation workflow: carries out one rule for one event, its actions in order, each once."""

import asyncio
from datetime import timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy, VersioningBehavior
from temporalio.exceptions import ActivityError, is_cancelled_exception

with workflow.unsafe.imports_passed_through():
    from activities.automations.acting import AutomationActing
    from contracts.automations import Act, Acted, AutomationStart, CallWebhook, NotActed
    from contracts.clear_text import ClearText
    from contracts.names import AUTOMATION_WORKFLOW
    from workflows.waiting import cause_of

ACT_TIMEOUT = timedelta(seconds=30)
GIVES_UP = timedelta(days=1)
"""An action that is later than this no longer helps."""
RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(minutes=10))
NOTE_TIMEOUT = timedelta(seconds=10)
CALLS_BESIDE, CANCELS_ALL = "calls-of-endpoints-beside-the-rest", "a-cancel-ends-all-of-it"
"""Patches. Before the first, a webhook call delayed the actions after it; before the second, a cancel ended only the
action being done."""


@workflow.defn(name=AUTOMATION_WORKFLOW, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class AutomationWorkflow:
    @workflow.run
    async def run(self, start: AutomationStart) -> list[Acted]:
        """Returns the outcome of each action. A refused action does not stop the others, and staff are told of it.

        Each action begins when the one before has ended, except that none waits for a webhook call, which may be
        retried for a day.
        """
        rule = start.rule
        beside = any(isinstance(each, CallWebhook) for each in rule.then) and workflow.patched(CALLS_BESIDE)
        doing: list[asyncio.Task[Acted]] = []
        for number, action in enumerate(rule.then):
            act = Act(rule_id=rule.id, happening=start.happening, number=number, action=action)
            doing.append(asyncio.create_task(self._do(act)))
            if not (beside and isinstance(action, CallWebhook)):
                await doing[-1]
        return [await each for each in doing]

    async def _do(self, act: Act) -> Acted:
        acted = await self._act(act)
        if acted.outcome != "done":
            await self._tell_staff(NotActed(act=act, reason=acted.reason or acted.outcome))
        return acted

    async def _act(self, act: Act) -> Acted:
        try:
            return await workflow.execute_activity_method(
                AutomationActing.act,
                act,
                start_to_close_timeout=ACT_TIMEOUT,
                schedule_to_close_timeout=GIVES_UP,
                retry_policy=RETRIES,
                priority=Priority(fairness_key=act.happening.property_id),
                summary=ClearText(act.action.type),
            )
        except ActivityError as error:
            if is_cancelled_exception(error) and workflow.patched(CANCELS_ALL):
                raise  # an operator stops the whole automation
            return Acted(outcome="failed", reason=cause_of(error))

    async def _tell_staff(self, failed: NotActed) -> None:
        await workflow.execute_activity_method(
            AutomationActing.tell_staff,
            failed,
            start_to_close_timeout=NOTE_TIMEOUT,
            retry_policy=RETRIES,
            priority=Priority(fairness_key=failed.act.happening.property_id),
            summary=ClearText("Tell staff"),
        )
