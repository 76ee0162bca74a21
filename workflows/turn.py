"""The AI's turns: look up the contact, wait for a burst to end, ask the engine, decide."""

import functools
from collections.abc import Callable
from datetime import timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy
from temporalio.exceptions import ActivityError, FailureError

with workflow.unsafe.imports_passed_through():
    from activities.turns import Turns
    from contracts.clear_text import ClearText
    from contracts.conversations import ConversationState
    from contracts.events import Answer, Ask, ContactLookup
    from contracts.names import TaskQueue
    from workflows import editions, policy, promises, transitions
    from workflows.drain import HEARTBEAT_TIMEOUT, Drain
    from workflows.owed import Arrival
    from workflows.record import Record
    from workflows.waiting import cause_of, wait

LOOK_UP_TIMEOUT = timedelta(milliseconds=500)
ANSWER_FIRST_BACKOFF = timedelta(milliseconds=200)
ASKS_BEHIND_A_DELIVERY = "asks-behind-a-delivery"
RESTARTS_OF_A_TURN = promises.ANSWERS_AT_MOST - 1
"""How often a newer message may make a running answer stale. After that the guest gets the answer as it is."""


class TurnTaker:
    """Takes one turn at a time. `changed` is called after a turn has changed the record."""

    def __init__(self, record: Record, drain: Drain, *, changed: Callable[[], object]) -> None:
        self._record = record
        self._drain = drain
        self._changed = changed
        self._asking: list[Arrival] = []  # the turn whose answer is awaited
        self._restarts = 0

    @property
    def is_due(self) -> bool:
        return bool(self._record.unchecked) or self.has_work or bool(transitions.undrafted(self._record))

    @property
    def has_work(self) -> bool:
        return bool(self._record.queue) and self._record.state is ConversationState.ACTIVE

    @property
    def is_near(self) -> bool:
        """Whether a turn is about to begin, so that guest message and answer can go out in one batch."""
        return self.has_work and not (self._asking and not self._is_stale(self._asking))

    async def take(self) -> None:
        if self._record.unchecked:
            await self._look_up()
        self._restarts = 0
        while self.has_work:
            await self._debounce(lambda: self._record.queue if self.has_work else [])
            await self._let_delivery_end()
            arrivals = list(self._record.queue)
            # A person may have taken over while we waited; every await below is followed by the same check.
            if not arrivals or not self.has_work:
                return
            if await self._is_done(arrivals):
                self._changed()
                return
            self._restarts += 1
        await self._draft()

    async def _draft(self) -> None:
        """Writes a draft for a person, once a burst has ended. A newer message makes it stale, like an answer."""
        record = self._record
        while transitions.undrafted(record):
            await self._debounce(lambda: transitions.undrafted(record))
            if not transitions.undrafted(record):
                return
            arrivals = transitions.begin_draft(record, workflow.now())
            if not arrivals:
                return
            reply_id = str(workflow.uuid4())
            ask = Ask(turn_id=reply_id, request=transitions.ai_request(record, arrivals))
            answer = await self._answer(ask, functools.partial(self._is_needless, arrivals))
            if isinstance(answer, Answer):
                record.vip = record.vip if answer.vip is None else answer.vip
                if transitions.still_wants_draft(record, arrivals):
                    transitions.drafted(record, answer.response, reply_id, workflow.now())
                self._changed()
            self._restarts += 1

    def _is_needless(self, arrivals: list[Arrival]) -> bool:
        """Whether a draft is not wanted any more, or should answer a newer message as well."""
        if not transitions.still_wants_draft(self._record, arrivals):
            return True
        return self._restarts < RESTARTS_OF_A_TURN and bool(transitions.undrafted(self._record))

    async def _look_up(self) -> None:
        """Asks storage once what it knows of the contact. If it has all messages already, nothing is left to do."""
        record = self._record
        lookup = ContactLookup(
            property_id=record.conversation.property_id,
            channel_type=record.conversation.channel_type,
            sender_id=record.route.sender_id,
            contact_key=record.contact_key,
            conversation_id=record.conversation.conversation_id,
            message_ids=[message.id for message in record.unchecked],
        )
        try:
            facts = await workflow.execute_local_activity_method(
                Turns.look_up,
                lookup,
                start_to_close_timeout=LOOK_UP_TIMEOUT,
                schedule_to_close_timeout=2 * LOOK_UP_TIMEOUT,
                retry_policy=RetryPolicy(maximum_attempts=1),
                summary=ClearText("Look up the contact"),
            )
        except FailureError:  # a local activity's own error is not wrapped, nor is its time-out in a replay
            facts = None  # too slow or failing counts as away
        transitions.looked_up(record, facts, workflow.now())
        self._changed()

    async def _debounce(self, waiting: Callable[[], list[Arrival]]) -> None:
        """Lets a burst of messages become one turn; it ends when none of them waits any more, as after a claim."""
        while (left := promises.debounce_left(self._record.policy, waiting(), workflow.now())) > timedelta(0):
            await wait(lambda: not waiting(), left, "Debounce")

    async def _let_delivery_end(self) -> None:
        """Waits for a delivery in flight when the guest writes meanwhile.

        Only one batch is in flight. Without waiting, the guest's message would be published in a batch of its own, and
        the new answer would have to wait for that; this way it is published along with the question.
        """
        if self._drain.is_flying and self.has_work and workflow.patched(ASKS_BEHIND_A_DELIVERY):
            await workflow.wait_condition(lambda: not (self._drain.is_flying and self.has_work))

    async def _is_done(self, arrivals: list[Arrival]) -> bool:
        """Asks and decides. Returns False if a newer message made the answer stale."""
        record = self._record
        reply_id = str(workflow.uuid4())
        autonomy = policy.autonomy(record.policy, record.profile, vip=record.vip)
        decision: policy.TurnDecision | None = policy.before_asking(
            record.policy, arrivals, workflow.now(), autonomy=autonomy, answered=record.answered_questions
        )
        if decision is None:
            self._asking = arrivals
            ask = Ask(turn_id=reply_id, request=transitions.ai_request(record, arrivals))
            ask.publication = self._drain.lend()
            answer = await self._answer(ask, lambda: self._is_stale(arrivals))
            if answer is None:
                return False
            if isinstance(answer, Answer) and answer.vip is not None:
                record.vip = answer.vip
            if record.policy.edition >= editions.THIRD or (isinstance(answer, Answer) and answer.vip is not None):
                autonomy = policy.autonomy(record.policy, record.profile, vip=record.vip)
            if not self._owns(arrivals):
                if isinstance(answer, Answer) and record.state is ConversationState.ESCALATED:
                    transitions.overtaken(record, arrivals, answer.response, reply_id, workflow.now())
                return True
            if isinstance(answer, Answer):
                decision = policy.after_answer(record.policy, answer.response, autonomy=autonomy)
            else:
                decision = policy.after_failure(record.policy, record.failures + 1, answer)
        transitions.conclude(record, arrivals, decision, reply_id, workflow.now())
        return True

    def _owns(self, arrivals: list[Arrival]) -> bool:
        """Whether the turn is still the AI's. A person who takes over empties the queue."""
        waiting = {arrival.message.id for arrival in self._record.queue}
        return arrivals[0].message.id in waiting and self._record.state is ConversationState.ACTIVE

    async def _answer(self, ask: Ask, is_stale: Callable[[], bool]) -> Answer | str | None:
        """The engine's answer, or the cause of its failure, or None if the question became stale."""
        handle = self._start_answer(ask)
        await workflow.wait_condition(lambda: handle.done() or is_stale())
        stale = not handle.done()
        if stale:
            handle.cancel()
        try:
            answer = await handle
        except ActivityError as error:
            self._drain.take_back(ask.publication, None)
            return None if stale else cause_of(error)
        else:
            self._drain.take_back(ask.publication, answer.published)
            return answer
        finally:
            self._asking = []

    def _is_stale(self, arrivals: list[Arrival]) -> bool:
        """Whether a newer message should be answered as well, or a new turn waits behind one that a person took."""
        if not self._owns(arrivals):
            return self.has_work
        return self._restarts < RESTARTS_OF_A_TURN and len(self._record.queue) > len(arrivals)

    def _start_answer(self, ask: Ask) -> workflow.ActivityHandle[Answer]:
        """Starts the answer activity. Unpublished events may go along, so that staff see them while the AI thinks.

        It is not a local activity even for a fast engine: a query may end a workflow task while one runs, and a replay
        then sees another order of events. Five events per message are cheaper than a stuck conversation. On the
        workflow's own queue, Temporal usually gives it to the asking worker in the response to its workflow task.
        """
        record = self._record
        return workflow.start_activity_method(
            Turns.answer,
            ask,
            task_queue=TaskQueue.GATEWAY if record.policy.answers_at_once else TaskQueue.AI,
            start_to_close_timeout=record.policy.ai_timeout,
            schedule_to_close_timeout=record.policy.ai_timeout,
            heartbeat_timeout=HEARTBEAT_TIMEOUT,
            retry_policy=RetryPolicy(
                initial_interval=ANSWER_FIRST_BACKOFF, maximum_attempts=1 + record.policy.max_retries
            ),
            cancellation_type=workflow.ActivityCancellationType.TRY_CANCEL,
            priority=Priority(fairness_key=record.conversation.property_id),
            summary=ClearText("Answer"),
        )
