"""The task workflow: work for a department, from its creation until it is done or cancelled.

Staff send updates; the handler only changes the record and never waits. One coroutine publishes, another keeps time.
"""

import asyncio
import functools
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy, VersioningBehavior
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.tasks import TaskPublishing
    from contracts.clear_text import ClearText
    from contracts.commands import TaskDone
    from contracts.names import TASK_WORKFLOW, contact_key_of, workflow_id
    from contracts.task_events import TaskChanged
    from contracts.tasks import ChangeTask, VersionedTask
    from workflows import search, task_policy
    from workflows.task_policy import TaskStart
    from workflows.unforeseen import failing_the_task_only
    from workflows.waiting import wait

PUBLISH_TIMEOUT = timedelta(seconds=10)
PUBLISH_RETRIES = RetryPolicy(initial_interval=timedelta(seconds=1), maximum_interval=timedelta(seconds=30))
"""Unlimited: while storage is away, only what lists show is delayed."""
CONVERSATION_ENDED = "ExternalWorkflowExecutionNotFound"
"""Temporal's error type for a signal to a workflow that is not running."""
LONGEST_SLEEP = timedelta(days=365)
"""Temporal does not support timers until the end of the calendar."""


@workflow.defn(name=TASK_WORKFLOW, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class TaskWorkflow:
    @workflow.init
    def __init__(self, start: TaskStart) -> None:
        self._record = start.carried or task_policy.begin(start, workflow.now())
        self._describe()

    @workflow.run
    async def run(self, start: TaskStart) -> None:
        helpers = [asyncio.create_task(self._publish()), asyncio.create_task(self._keep_time())]
        while not task_policy.is_over(self._record):
            try:
                with failing_the_task_only():
                    await self._work(start, helpers)
            except asyncio.CancelledError:  # by an operator, in the Temporal UI
                task_policy.cancel(self._record, workflow.now())
                self._describe()

    async def _work(self, start: TaskStart, helpers: list[asyncio.Task[None]]) -> None:
        """Waits for something to do, and does it."""
        record = self._record
        await workflow.wait_condition(
            lambda: (
                record.guest_untold
                or task_policy.is_over(record)
                or self._should_continue()
                or any(helper.done() for helper in helpers)
            )
        )
        for helper in helpers:
            if (
                helper.done()
            ):  # they never end by themselves: their error fails this workflow task, not the hotel's task
                raise RuntimeError("a background coroutine of the task has ended") from helper.exception()
        if record.guest_untold:
            await self._tell_guest()
        elif self._should_continue() and not task_policy.is_over(record):
            await workflow.wait_condition(workflow.all_handlers_finished)
            # Publishing is idempotent, so one in flight is simply started again.
            workflow.continue_as_new(start.model_copy(update={"carried": record}))

    # --- staff update ----------------------------------------------------------------------------------------------

    @workflow.update
    def change(self, command: ChangeTask) -> TaskChanged:
        task_policy.change(self._record, command, workflow.now())
        self._describe()
        return task_policy.changed(self._record)

    @change.validator
    def _change_is_possible(self, command: ChangeTask) -> None:
        refusal = task_policy.refusal(self._record, command)
        if refusal is not None:
            raise ApplicationError(refusal.detail, refusal.members, type=refusal.code, non_retryable=True)

    @workflow.query
    def task(self) -> VersionedTask:
        return self._record.current

    # --- publishing ------------------------------------------------------------------------------------------------

    async def _publish(self) -> None:
        """Publishes what storage does not have, batch after batch, for as long as the workflow runs."""
        record = self._record
        while True:
            await workflow.wait_condition(lambda: not task_policy.all_stored(record))
            publication = task_policy.publication(record)
            published = await workflow.execute_activity_method(
                TaskPublishing.publish_task,
                publication,
                start_to_close_timeout=PUBLISH_TIMEOUT,
                retry_policy=PUBLISH_RETRIES,
                priority=Priority(fairness_key=publication.property_id),
                summary=ClearText("Publish"),
            )
            task_policy.stored(record, publication, published.newer, workflow.now())
            self._describe()

    async def _tell_guest(self) -> None:
        """Tells the conversation that asked for the task that it is done, unless that has ended."""
        record, task = self._record, self._record.task
        if task.conversation_id is not None:
            done = TaskDone(conversation_id=task.conversation_id, task_id=task.id, title=task.title)
            conversation = workflow.get_external_workflow_handle(workflow_id(contact_key_of(task.conversation_id)))
            try:
                await conversation.signal("task_done", done)
            except ApplicationError as error:
                if error.type != CONVERSATION_ENDED:
                    raise
        record.guest_told, record.guest_untold = True, False
        self._describe()

    # --- time ------------------------------------------------------------------------------------------------------

    async def _keep_time(self) -> None:
        """Keeps one timer, which sleeps once and then checks again. Only an earlier deadline wakes it sooner."""
        while True:
            await workflow.wait_condition(lambda: task_policy.next_deadline(self._record) is not None)
            deadline, now = task_policy.next_deadline(self._record), workflow.now()
            if deadline is not None and deadline > now:
                sleep = min(deadline - now, LONGEST_SLEEP)
                await wait(functools.partial(self._is_sooner, deadline), sleep, "Due date")
            else:
                task_policy.time_passes(self._record, now)
                self._describe()

    def _is_sooner(self, armed: datetime) -> bool:
        deadline = task_policy.next_deadline(self._record)
        return deadline is None or deadline < armed

    def _should_continue(self) -> bool:
        info = workflow.info()
        limit = self._record.policy.history_limit
        return info.is_continue_as_new_suggested() or info.get_current_history_length() > limit

    # --- what others see -------------------------------------------------------------------------------------------

    def _describe(self) -> None:
        """Informs operators: upserts search attributes only if they differ (each is an event), details always."""
        known = workflow.info().typed_search_attributes
        updates = [each for each in search.of_task(self._record.task) if known.get(each.key) != each.value]
        if updates:
            workflow.upsert_search_attributes(updates)
        workflow.set_current_details(task_policy.details(self._record))
