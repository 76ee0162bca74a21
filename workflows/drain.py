"""Drains the outbox: delivers and publishes one batch at a time, concurrently with the rest of the conversation."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, CancelledError, TimeoutError, TimeoutType

with workflow.unsafe.imports_passed_through():
    from activities.turns import Turns
    from contracts.clear_text import ClearText
    from contracts.events import DeliverAndPublish, DeliverAndPublishResult, Publication, Published, SendResult
    from contracts.messages import Author
    from contracts.names import TaskQueue
    from workflows import policy, transitions
    from workflows.owed import PendingSend
    from workflows.record import Record
    from workflows.waiting import cause_of, wait

SEND_TIMEOUT = timedelta(seconds=30)
SEND_SCHEDULE_TIMEOUT = timedelta(seconds=60)
HEARTBEAT_TIMEOUT = timedelta(seconds=10)


@dataclass
class _Delivery:
    """The one deliver-and-publish activity in flight."""

    handle: workflow.ActivityHandle[DeliverAndPublishResult]
    publication: Publication
    sends: list[PendingSend]
    newest: int
    """The newest `seq` of the outbox when this began. The batch may end before it."""


class Drain:
    """Keeps the order: at most one batch is in flight, and the next begins where it ended.

    `turn_is_near` delays a publish for a moment, so that a guest's message and its answer go out together. `changed` is
    called when a batch has changed the record. While `paused`, no new batch begins.
    """

    def __init__(self, record: Record, *, turn_is_near: Callable[[], bool], changed: Callable[[], object]) -> None:
        self.paused = False
        self._record = record
        self._turn_is_near = turn_is_near
        self._changed = changed
        self._delivery: _Delivery | None = None
        self._offered = 0
        """Events up to this `seq` were lent to an answer or refused by storage, so they do not trigger a publish."""
        self._storage_failures = 0
        self._storage_again_at: datetime | None = None

    @property
    def is_flying(self) -> bool:
        return self._delivery is not None

    def lend(self) -> Publication | None:
        """Lends the answer activity what is unpublished, so that staff see the guest's message while the AI thinks."""
        if self.is_flying or self._record.sends or not self._record.outbox:
            return None
        publication = self._record.publication()
        self._offered = publication.events[-1].seq
        return publication

    def take_back(self, publication: Publication | None, published: Published | None) -> None:
        """Takes back what was lent, with the result. With None the result is unknown, and it is published again."""
        if publication is None:
            return
        if published is None:
            self.forget_loan()
        else:
            self._note_published(publication, published, publication.events[-1].seq)

    def forget_loan(self) -> None:
        """Forgets what was lent without a result: it is published again."""
        self._offered = 0

    async def run(self) -> None:
        """Delivers and publishes batch after batch for as long as the workflow runs."""
        while True:
            await self._wait_until_due()
            pending = transitions.due_sends(self._record, workflow.now())
            # Ownership is checked here, before every attempt: nothing may await between this and starting the activity.
            pending = [send for send in pending if not transitions.hold_back(self._record, send, workflow.now())]
            self._delivery = self._start(pending)
            try:
                result = await self._delivery.handle
            except asyncio.CancelledError:
                # Cancelled before the handle's first step: the activity was never scheduled.
                if (task := asyncio.current_task()) is not None and task.cancelling():
                    raise
                self._not_begun(self._delivery)
            except ActivityError as error:
                if _never_began(error):
                    self._not_begun(self._delivery)
                else:
                    self._ended_without_a_word(self._delivery, error)
            else:
                self._delivered(self._delivery, result)
            self._delivery = None
            self._changed()

    async def _wait_until_due(self) -> None:
        while not self._is_due():
            wake_at = self._wakes_at()
            if wake_at is None:
                await workflow.wait_condition(lambda: self._is_due() or self._wakes_at() is not None)
            else:
                await wait(self._is_due, wake_at - workflow.now(), "Try again")

    def _is_due(self) -> bool:
        if self.paused:
            return False
        record, now = self._record, workflow.now()
        if transitions.due_sends(record, now):
            return True
        if self._turn_is_near():
            return False
        fresh = bool(record.outbox) and record.outbox[-1].seq > self._offered
        settled = bool(record.unstored_outcomes or record.unstored_deliveries) and not record.outbox
        again_at = self._storage_again_at
        if again_at is not None:
            return fresh or now >= again_at
        return fresh or settled

    def _wakes_at(self) -> datetime | None:
        """The next moment at which a delivery becomes due by time alone."""
        moments = [send.not_before for send in self._record.sends[:1] if send.not_before is not None]
        if self._storage_again_at is not None:
            moments.append(self._storage_again_at)
        later = [moment for moment in moments if moment > workflow.now()]
        return min(later, default=None)

    def _start(self, pending: list[PendingSend]) -> _Delivery:
        record, now = self._record, workflow.now()
        publication = record.publication()
        sends = [transitions.attempt(record, send, now) for send in pending]
        outside = any(send.adapter != transitions.WEBCHAT for send in sends)
        by_staff = any(send.author == Author.STAFF for send in sends)
        handle = workflow.start_activity_method(
            Turns.deliver_and_publish,
            DeliverAndPublish(publication=publication, sends=sends),
            task_queue=TaskQueue.CHANNELS if outside else TaskQueue.GATEWAY,
            schedule_to_start_timeout=SEND_SCHEDULE_TIMEOUT,
            start_to_close_timeout=SEND_TIMEOUT,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            # One attempt: whether to retry is decided here, because a person may have taken over meanwhile.
            retry_policy=RetryPolicy(maximum_attempts=1),
            # A cancelled send either never began or runs to its end; only its result says which.
            cancellation_type=workflow.ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
            priority=Priority(priority_key=1 if by_staff else 3, fairness_key=record.conversation.property_id),
            summary=ClearText("Deliver and publish" if sends else "Publish"),
        )
        return _Delivery(handle, publication, pending, newest=record.conversation.seq)

    def _delivered(self, delivery: _Delivery, result: DeliverAndPublishResult) -> None:
        self._note_published(delivery.publication, result.published, delivery.newest)
        results = {each.message_id: each for each in result.sends}
        for send in delivery.sends:
            transitions.sent(self._record, send, results[send.message.id], workflow.now())

    def _not_begun(self, delivery: _Delivery) -> None:
        """The activity never began: the batch is unpublished as before, and its sends were not attempted."""
        for send in delivery.sends:
            transitions.not_attempted(self._record, send, workflow.now())

    def _ended_without_a_word(self, delivery: _Delivery, error: ActivityError) -> None:
        """The activity failed without a result: the publish is repeated, and the sends count as unsure."""
        self._note_published(delivery.publication, Published(stored=False, told=False), delivery.newest)
        for send in delivery.sends:
            result = SendResult(message_id=send.message.id, result="retry", reason=cause_of(error), unsure=True)
            transitions.sent(self._record, send, result, workflow.now())

    def _note_published(self, publication: Publication, published: Published, newest: int) -> None:
        last = publication.events[-1].seq if publication.events else 0
        if published.told:
            self._record.told = max(self._record.told, last)
        if published.stored:
            self._record.stored(publication)
            self._offered, self._storage_failures, self._storage_again_at = last, 0, None
        else:
            # Not only the batch: while storage is away, the rest of a long outbox must not trigger publishes either.
            self._offered = max(self._offered, newest)
            now = workflow.now()
            if self._storage_again_at is None or now >= self._storage_again_at:
                # Only attempts made to test storage lengthen the backoff; a busy conversation must not.
                self._storage_failures += 1
            self._storage_again_at = now + policy.storage_backoff(self._storage_failures)

    def abandon(self) -> None:
        """The run ends with a batch in flight: marks its sends as possibly sent, for the next run."""
        for send in self._delivery.sends if self._delivery is not None else []:
            send.unsure = True

    def recall_ai_sends(self) -> None:
        """A person took over: AI sends that have not begun are cancelled; those that have begun finish."""
        delivery = self._delivery
        flying = delivery.sends if delivery is not None else []
        for send in list(self._record.sends):
            if send not in flying and not transitions.may_send(self._record, send):
                transitions.withdraw(self._record, send, workflow.now())
        if delivery is not None and any(not transitions.may_send(self._record, send) for send in flying):
            delivery.handle.cancel()


def _never_began(error: ActivityError) -> bool:
    cause = error.cause
    late = isinstance(cause, TimeoutError) and cause.type is TimeoutType.SCHEDULE_TO_START
    return late or isinstance(cause, CancelledError)
