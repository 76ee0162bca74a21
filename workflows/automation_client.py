"""Typed client for automation workflows."""

from datetime import timedelta

from temporalio.client import Client
from temporalio.common import Priority, WorkflowIDConflictPolicy, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError

from contracts.automations import AutomationRule, Automations, AutomationStart, Facts, Happening
from contracts.clear_text import ClearText
from contracts.names import TaskQueue, automation_workflow_id
from contracts.property_events import PropertyEvent
from settings import Settings
from workflows.automation import AutomationWorkflow
from workflows.automation_policy import due
from workflows.calls import reaching_temporal
from workflows.hours import is_open
from workflows.rules import business_hours
from workflows.search import of_property

START_SECONDS = 10


class AutomationRuns:
    """Runs the rules of properties. `start` raises Unavailable while Temporal is away."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._settings = settings

    def firing(self, automations: Automations, event: PropertyEvent, facts: Facts) -> list[AutomationRule]:
        """The rules that fire for an event, in order, each with the actions to carry out."""
        hours = business_hours(self._settings, event.property_id)
        known = facts.model_copy(update={"open": is_open(hours, event.at)})
        return [rule for each in automations.rules if (rule := due(each, event, known)) is not None]

    async def start(self, automations: Automations, event: PropertyEvent, facts: Facts) -> None:
        """Starts each rule that fires. However often this is called, a rule runs once for an event."""
        for rule in self.firing(automations, event, facts):
            await self._start(AutomationStart(rule=rule, happening=Happening.of(event)))

    async def _start(self, start: AutomationStart) -> None:
        happened = start.happening
        starting = self._client.start_workflow(
            AutomationWorkflow.run,
            start,
            id=automation_workflow_id(happened.property_id, happened.position, start.rule.id),
            task_queue=TaskQueue.GATEWAY,
            id_conflict_policy=WorkflowIDConflictPolicy.FAIL,
            id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
            search_attributes=of_property(happened.property_id),
            static_summary=ClearText(f"{happened.property_id} · {start.rule.id} · {happened.type}"),
            priority=Priority(fairness_key=happened.property_id),
            rpc_timeout=timedelta(seconds=START_SECONDS),
        )
        try:
            await reaching_temporal(starting)
        except WorkflowAlreadyStartedError:
            return
