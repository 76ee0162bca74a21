"""The conversation workflow: one guest contact, from the first message until it is resolved.

Guests signal, staff update; handlers only change the record, and never wait. `run` takes the turns, one coroutine
drains the outbox, another keeps the time. Whoever waits, waits for a change of the record.
"""

import asyncio
import functools
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import Priority, RetryPolicy, VersioningBehavior
from temporalio.exceptions import ActivityError, ApplicationError

with workflow.unsafe.imports_passed_through():
    from activities.turns import Turns
    from contracts.base import Model
    from contracts.clear_text import ClearText
    from contracts.commands import Command, Reply
    from contracts.conversations import Conversation, ConversationState, Outcome
    from contracts.events import (
        Answer,
        Ask,
        ContactLookup,
    )
    from contracts.messages import ChannelType, GuestMessage, Message, Route
    from contracts.names import CONVERSATION_WORKFLOW, TaskQueue
    from contracts.problems import GatewayError
    from contracts.rules import ConversationPolicy
    from workflows import policy, transitions
    from workflows.drain import HEARTBEAT_TIMEOUT, Drain
    from workflows.record import Arrival, Record
    from workflows.search import Transition
    from workflows.waiting import cause_of, wait

LOOK_UP_TIMEOUT = timedelta(milliseconds=500)
LOCAL_ENGINE_TIMEOUT = timedelta(seconds=1)
ANSWER_FIRST_BACKOFF = timedelta(milliseconds=200)
RESTARTS_OF_A_TURN = 3
"""How often a newer message may make a running answer stale; then the guest gets what there is."""
HISTORY_CEILING = 8192
"""Events above which even a running publish does not hold continue-as-new back."""


class ConversationStart(Model):
    property_id: str
    channel_type: ChannelType
    contact_key: str
    route: Route
    policy: ConversationPolicy
    carried: Record | None = None


@workflow.defn(name=CONVERSATION_WORKFLOW, versioning_behavior=VersioningBehavior.AUTO_UPGRADE)
class ConversationWorkflow:
    @workflow.init
    def __init__(self, start: ConversationStart) -> None:
        self._record = start.carried or _begin(start)
        self._drain = Drain(self._record, turn_is_near=self._turn_is_near, changed=self._changed)
        self._asking: list[Arrival] = []  # the turn whose slow answer is awaited
        self._restarts = 0
        self._leaving = False
        self._describe()

    @workflow.run
    async def run(self, start: ConversationStart) -> None:
        helpers = [asyncio.create_task(self._drain.run()), asyncio.create_task(self._keep_time())]
        while not self._is_over():
            try:
                await self._work(start, helpers)
            except asyncio.CancelledError:
                self._end_by_operator()

    async def _work(self, start: ConversationStart, helpers: list[asyncio.Task[None]]) -> None:
        """Waits for something to do, and does it."""
        await workflow.wait_condition(
            lambda: self._turn_is_due() or self._is_over() or self._should_continue() or any(t.done() for t in helpers)
        )
        for helper in helpers:
            if helper.done():  # they never end: what broke them fails this task, not the conversation
                raise RuntimeError("a helper of the conversation has ended") from helper.exception()
        if self._should_continue() and not self._is_over():
            await self._continue_as_new(start)
        await self._take_turn()

    def _end_by_operator(self) -> None:
        """Cancelled in the Temporal UI: what is unanswered is handed to staff, and all is told before the end."""
        record, now = self._record, workflow.now()
        self._leaving = self._drain.paused = False
        self._drain.forget_loan()
        record.notify("system", "An operator ended the conversation", now)
        record.hand_over_queue("An operator ended the conversation", now)
        record.policy.resolved_window = timedelta(0)
        if record.state is not ConversationState.RESOLVED:
            record.resolve(now)
        self._changed()

    # --- guests signal ---------------------------------------------------------------------------------------------

    @workflow.signal
    def receive(self, message: GuestMessage) -> None:
        transitions.receive(self._record, message, workflow.now())
        self._changed()

    # --- staff update ----------------------------------------------------------------------------------------------

    @workflow.update
    def reply(self, command: Reply) -> Message:
        message = transitions.reply(self._record, command, workflow.now())
        self._changed()
        return message

    @reply.validator
    def _reply_is_possible(self, command: Reply) -> None:
        if command.message_id not in self._record.staff_replies:
            self._refuse("note" if command.private else "reply", command)

    @workflow.update
    def claim(self, command: Command) -> Conversation:
        transitions.claim(self._record, command, workflow.now())
        return self._changed()

    @claim.validator
    def _claim_is_possible(self, command: Command) -> None:
        self._refuse("claim", command)

    @workflow.update
    def escalate(self, command: Command) -> Conversation:
        transitions.escalate(self._record, command, workflow.now())
        return self._changed()

    @escalate.validator
    def _escalate_is_possible(self, command: Command) -> None:
        self._refuse("escalate", command)

    @workflow.update
    def return_to_ai(self, command: Command) -> Conversation:
        transitions.return_to_ai(self._record, command, workflow.now())
        return self._changed()

    @return_to_ai.validator
    def _return_is_possible(self, command: Command) -> None:
        self._refuse("return", command)

    @workflow.update
    def resolve(self, command: Command) -> Conversation:
        transitions.resolve(self._record, command, workflow.now())
        return self._changed()

    @resolve.validator
    def _resolve_is_possible(self, command: Command) -> None:
        self._refuse("resolve", command)

    def _refuse(self, name: policy.CommandName, command: Command) -> None:
        refusal = policy.refusal(self._record, name, command.by.id, command.conversation_id)
        if refusal is not None:
            raise _as_application_error(refusal)

    # --- queries ---------------------------------------------------------------------------------------------------

    @workflow.query
    def conversation(self) -> Conversation:
        return self._record.snapshot()

    @workflow.query
    def messages(self) -> list[Message]:
        """The newest messages, at most the window."""
        own = self._record.conversation.conversation_id
        return [message for message in self._record.window if message.conversation_id == own]

    @workflow.query
    def outcomes(self) -> list[Outcome]:
        return self._record.outcomes

    # --- turns -----------------------------------------------------------------------------------------------------

    def _turn_is_due(self) -> bool:
        return not self._leaving and bool(self._record.unchecked or self._ai_has_work())

    def _ai_has_work(self) -> bool:
        return bool(self._record.queue) and self._record.state is ConversationState.ACTIVE

    async def _take_turn(self) -> None:
        if self._record.unchecked:
            await self._look_up()
        self._restarts = 0
        while self._ai_has_work():
            await self._debounce()
            arrivals = list(self._record.queue)
            # A person may have taken over while we waited; every await below is followed by the same question.
            if not arrivals or not self._ai_has_work():
                return
            if await self._turn_is_done(arrivals):
                self._changed()
                return
            self._restarts += 1

    async def _look_up(self) -> None:
        """Asks storage once what it knows of the contact; where it has all messages already, nothing is left to do."""
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
        except ActivityError:
            facts = None  # too slow is as good as away
        transitions.looked_up(record, facts, workflow.now())
        self._changed()

    async def _debounce(self) -> None:
        """Lets a burst of messages become one turn; a claim ends the wait."""
        while (left := policy.debounce_left(self._record, workflow.now())) > timedelta(0):
            await wait(lambda: not self._ai_has_work(), left, "Debounce")
            if not self._ai_has_work():
                return

    async def _turn_is_done(self, arrivals: list[Arrival]) -> bool:
        """Asks and decides; False where a newer message made the answer stale."""
        record = self._record
        reply_id = str(workflow.uuid4())
        decision: policy.TurnDecision | None = policy.before_asking(record.policy, arrivals, workflow.now())
        if decision is None:
            answer = await self._answer(
                Ask(turn_id=reply_id, request=transitions.ai_request(record, arrivals)), arrivals
            )
            if answer is None:
                return False
            if not self._owns(arrivals):
                if isinstance(answer, Answer):
                    transitions.keep_as_draft(record, answer.response, reply_id, workflow.now())
                return True
            if isinstance(answer, Answer):
                decision = policy.after_answer(record.policy, answer.response)
            else:
                decision = policy.after_failure(record.policy, record.failures + 1, answer)
        transitions.conclude(record, arrivals, decision, reply_id, workflow.now())
        return True

    def _owns(self, arrivals: list[Arrival]) -> bool:
        """Whether the turn is still the AI's: a person who takes over empties the queue."""
        waiting = {arrival.message.id for arrival in self._record.queue}
        return arrivals[0].message.id in waiting and self._record.state is ConversationState.ACTIVE

    async def _answer(self, ask: Ask, arrivals: list[Arrival]) -> Answer | str | None:
        """The engine's answer; the cause of its failure; or None where a newer message made the question stale."""
        if self._record.policy.local_engine:
            handle = self._start_local_answer(ask)
        else:
            handle = self._start_answer(ask)
            self._asking = arrivals
        await workflow.wait_condition(lambda: handle.done() or self._is_stale(arrivals))
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
        """A newer message wants to be answered along, or a new turn waits behind one that a person took over."""
        if not self._owns(arrivals):
            return self._ai_has_work()
        return self._restarts < RESTARTS_OF_A_TURN and len(self._record.queue) > len(arrivals)

    def _start_local_answer(self, ask: Ask) -> workflow.ActivityHandle[Answer]:
        return workflow.start_local_activity_method(
            Turns.answer,
            ask,
            start_to_close_timeout=LOCAL_ENGINE_TIMEOUT,
            schedule_to_close_timeout=self._record.policy.ai_timeout,
            retry_policy=RetryPolicy(
                initial_interval=ANSWER_FIRST_BACKOFF, maximum_attempts=1 + self._record.policy.max_retries
            ),
            summary=ClearText("Answer"),
        )

    def _start_answer(self, ask: Ask) -> workflow.ActivityHandle[Answer]:
        """A slow engine. What is unpublished goes along, so that staff read the guest while the AI thinks."""
        record = self._record
        ask.publication = self._drain.lend()
        return workflow.start_activity_method(
            Turns.answer,
            ask,
            task_queue=TaskQueue.AI,
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

    def _turn_is_near(self) -> bool:
        """A turn is about to begin: what it says goes out in the same batch as what the guest said."""
        return self._ai_has_work() and not (self._asking and not self._is_stale(self._asking))

    # --- time, the end, and going on in a new run ------------------------------------------------------------------

    async def _keep_time(self) -> None:
        """One timer at a time, which sleeps once and looks again; only an earlier deadline wakes it before."""
        while True:
            await workflow.wait_condition(lambda: self._is_idle() or self._deadline() is not None)
            if self._is_idle():
                self._record.resolve(workflow.now())
                self._changed()
            elif (armed := self._deadline()) is not None:
                await wait(functools.partial(self._is_sooner, armed), armed - workflow.now(), "Deadline")

    def _is_idle(self) -> bool:
        return policy.is_idle(self._record, workflow.now())

    def _deadline(self) -> datetime | None:
        deadline = policy.next_deadline(self._record)
        return deadline if deadline is not None and deadline > workflow.now() else None

    def _is_sooner(self, armed: datetime) -> bool:
        deadline = self._deadline()
        return deadline is None or deadline < armed

    def _is_over(self) -> bool:
        """Resolved, its window over, and nothing owed to anybody."""
        record = self._record
        if record.unchecked or record.queue or record.sends or not record.all_stored or self._drain.is_flying:
            return False
        if record.looked_up and record.conversation.seq == 0:
            return True  # storage had all of it: there is no conversation here
        return record.state is ConversationState.RESOLVED and policy.window_is_over(record, workflow.now())

    def _should_continue(self) -> bool:
        """At the limit when a guest has just written, well above it whenever that may be.

        Right after a delivery the guest's next message would come in between, and fail the task that ends the run.
        """
        info, limit = workflow.info(), self._record.policy.history_limit
        length = info.get_current_history_length()
        if info.is_continue_as_new_suggested() or length > 2 * limit:
            return True
        return length > limit and not self._drain.is_flying and bool(self._record.unchecked or self._ai_has_work())

    async def _continue_as_new(self, start: ConversationStart) -> None:
        """Goes on in a new run with the record, once nothing is in flight whose result would be lost."""
        self._leaving = self._drain.paused = True
        await workflow.wait_condition(
            lambda: (
                workflow.all_handlers_finished()
                and (not self._drain.is_flying or workflow.info().get_current_history_length() > HISTORY_CEILING)
            )
        )
        self._drain.abandon()
        workflow.continue_as_new(start.model_copy(update={"carried": self._record}))

    # --- what others see -------------------------------------------------------------------------------------------

    def _changed(self) -> Conversation:
        """Everything that follows from a change of the record, whoever made it."""
        self._drain.recall_ai_sends()
        self._describe()
        return self._record.snapshot()

    def _describe(self) -> None:
        """Tells operators: search attributes on a transition only (each upsert is an event), details always."""
        record = self._record
        wanted = Transition(record.conversation)
        if record.conversation.seq > 0 and wanted.fingerprint != record.indexed:
            workflow.upsert_search_attributes(wanted.updates())
            record.indexed = wanted.fingerprint
        workflow.set_current_details(policy.details(record))


def _begin(start: ConversationStart) -> Record:
    """A new conversation, named after the first run of its chain."""
    conversation_id = f"{start.contact_key}-{workflow.info().first_execution_run_id[:8]}"
    where = (start.property_id, start.channel_type, start.contact_key, start.route)
    return Record.begin(conversation_id, *where, start.policy, workflow.now())


def _as_application_error(refusal: GatewayError) -> ApplicationError:
    return ApplicationError(refusal.detail, refusal.members, type=refusal.code, non_retryable=True)
