"""Follow-up work of a conversation: the AI's actions, the rating question, and summaries."""

from collections.abc import Callable

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, WorkflowAlreadyStartedError

with workflow.unsafe.imports_passed_through():
    from activities.turns import Turns
    from contracts.clear_text import ClearText
    from contracts.conversations import ConversationState
    from contracts.events import Summarise
    from contracts.names import TASK_WORKFLOW, TaskQueue, task_workflow_id
    from contracts.rules import ConversationPolicy
    from contracts.tasks import Task, TaskPolicy
    from workflows import search, task_policy, transitions
    from workflows.drain import HEARTBEAT_TIMEOUT
    from workflows.record import Record
    from workflows.task_policy import TaskStart

SUMMARY_ATTEMPTS = 2
SUMMED_UP_AT_HAND_OVER = "summary-at-hand-over"
"""Patch gate: runs escalated before these summaries existed continue without one."""

ASKS_FOR_RATING = "asks-for-a-rating"
"""Patch gate: runs resolved by code that did not ask for ratings end without the question."""


class FollowUp:
    """Does the follow-up work. `changed` is called when it has changed the record."""

    def __init__(self, record: Record, *, changed: Callable[[], object]) -> None:
        self._record = record
        self._changed = changed

    @property
    def is_due(self) -> bool:
        return bool(self._record.steps) or self._record.asking.due or self._record.summary_due

    async def take(self) -> None:
        """Takes the next action; after the last one, asks for a rating and summarises."""
        if self._record.steps:
            task = transitions.next_step(self._record, workflow.now())
            if task is not None:
                await _start(task, self._record.policy)
            self._changed()
            return
        if self._record.asking.due:
            self._ask_for_rating()
        if self._record.summary_due:
            if self._record.state is ConversationState.RESOLVED or workflow.patched(SUMMED_UP_AT_HAND_OVER):
                await self._sum_up()
            else:
                self._record.summary_due = False
        self._changed()

    def _ask_for_rating(self) -> None:
        self._record.asking.due = False
        if workflow.patched(ASKS_FOR_RATING):
            transitions.ask_for_rating(self._record, workflow.now())
            self._changed()

    async def _sum_up(self) -> None:
        """Asks the AI for a summary. A failure, or a change of state meanwhile, leaves the conversation without one."""
        record = self._record
        state = record.state
        handle = self._start_summary()
        await workflow.wait_condition(
            lambda: handle.done() or not record.summary_due or record.state is not state or bool(record.steps)
        )
        stale = not handle.done()
        if stale:
            handle.cancel()
        try:
            summary = await handle
        except ActivityError:
            summary = None
        if record.summary_due and record.state is state and not stale:
            transitions.summarised(record, summary, workflow.now())

    def _start_summary(self) -> workflow.ActivityHandle[str | None]:
        record = self._record
        own = record.conversation.conversation_id
        asked = Summarise(
            conversation=record.conversation,
            messages=[each for each in record.window if each.conversation_id == own and not each.private],
        )
        return workflow.start_activity_method(
            Turns.summarise,
            asked,
            task_queue=TaskQueue.AI,
            start_to_close_timeout=record.policy.ai_timeout,
            schedule_to_close_timeout=SUMMARY_ATTEMPTS * record.policy.ai_timeout,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(maximum_attempts=SUMMARY_ATTEMPTS),
            cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
            priority=Priority(fairness_key=record.conversation.property_id),
            summary=ClearText("Summarise"),
        )


async def _start(task: Task, rules: ConversationPolicy) -> None:
    """Starts a task's workflow, unless it was started before. It outlives the conversation."""
    try:
        await workflow.start_child_workflow(
            TASK_WORKFLOW,
            TaskStart(
                task=task,
                policy=TaskPolicy(reminder_lead=rules.task_reminder_lead, raise_overdue=rules.raise_overdue_tasks),
            ),
            id=task_workflow_id(task.id),
            task_queue=TaskQueue.GATEWAY,
            parent_close_policy=workflow.ParentClosePolicy.ABANDON,
            search_attributes=search.initial_of_task(task),
            static_summary=ClearText(task_policy.summary(task)),
        )
    except WorkflowAlreadyStartedError:
        return
