"""The conversation workflow: one guest contact, from the first message until it is resolved.

Guests send signals, staff send updates. Their handlers only change the record and never wait. `run` takes the turns and
does their follow-up work, one coroutine drains the outbox, another watches deadlines. All three wait for changes of the
record.
"""

import asyncio
from datetime import datetime, timedelta

from temporalio import workflow
from temporalio.common import RawValue, VersioningBehavior
from temporalio.exceptions import ApplicationError

with workflow.unsafe.imports_passed_through():
    from contracts.base import Model
    from contracts.commands import (
        Assign,
        ChangePolicy,
        Command,
        DecideAction,
        DeliveryFailure,
        Opening,
        Redeliver,
        Reply,
        SetConversationPriority,
        Snooze,
        TaskDone,
    )
    from contracts.conversations import Conversation, ConversationState, Outcome
    from contracts.messages import ChannelType, GuestMessage, Message, Route
    from contracts.names import CONVERSATION_WORKFLOW
    from contracts.problems import AlreadyOpen, GatewayError, NotFound
    from contracts.rules import ConversationPolicy
    from workflows import editions, policy, promises, transitions
    from workflows.details import details
    from workflows.drain import Drain
    from workflows.follow_up import FollowUp
    from workflows.record import Record
    from workflows.search import Transition
    from workflows.timekeeper import Timekeeper
    from workflows.turn import TurnTaker
    from workflows.unforeseen import failing_the_task_only, read

HISTORY_CEILING = 8192
"""Number of history events above which even a running publish does not delay continue-as-new."""
CARRIED_CHARACTERS = 400_000
"""Upper limit of text that the next run is given. At four bytes each, this nearly fills one Temporal payload."""


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
        self._turns = TurnTaker(self._record, self._drain, changed=self._changed)
        self._follow_up = FollowUp(self._record, changed=self._changed)
        self._time = Timekeeper(self._record, changed=self._changed)
        self._leaving = False
        self._describe()

    @workflow.run
    async def run(self, start: ConversationStart) -> None:
        helpers = [asyncio.create_task(self._drain.run()), asyncio.create_task(self._time.run())]
        while not self._is_over():
            try:
                with failing_the_task_only():
                    await self._work(start, helpers)
            except asyncio.CancelledError:
                self._end_by_operator()

    async def _work(self, start: ConversationStart, helpers: list[asyncio.Task[None]]) -> None:
        """Waits for something to do, and does it."""
        await workflow.wait_condition(
            lambda: self._has_work() or self._is_over() or self._should_continue() or any(t.done() for t in helpers)
        )
        for helper in helpers:
            if helper.done():  # only an error ends them, and it should fail this task, not the conversation
                raise RuntimeError("a background coroutine of the conversation has ended") from helper.exception()
        if self._should_continue() and not self._is_over():
            await self._continue_as_new(start)
        if self._turns.is_due:
            await self._turns.take()
        elif self._follow_up.is_due:
            await self._follow_up.take()

    def _has_work(self) -> bool:
        return not self._leaving and (self._turns.is_due or self._follow_up.is_due)

    def _turn_is_near(self) -> bool:
        return self._turns.is_near

    def _end_by_operator(self) -> None:
        """Handles a cancel from the Temporal UI: hands open messages to staff, and publishes all before the end."""
        record, now = self._record, workflow.now()
        self._leaving = self._drain.paused = False
        self._drain.forget_loan()
        record.notify("system", "An operator ended the conversation", now)
        record.hand_over_queue("An operator ended the conversation", now)
        record.policy.resolved_window = timedelta(0)
        if record.state is not ConversationState.RESOLVED:
            record.resolve(now, reason="An operator ended the conversation")
        record.summary_due = record.asking.due = False
        if record.conversation.survey is not None:
            record.conversation.survey.until = now
        self._changed()

    # --- signals from guests, channels and departments -------------------------------------------------------------

    @workflow.signal
    def receive(self, message: RawValue) -> None:
        transitions.receive(self._record, read(message, GuestMessage), workflow.now())
        self._changed()

    @workflow.signal
    def delivery_failed(self, failure: RawValue) -> None:
        transitions.delivery_failed(self._record, read(failure, DeliveryFailure), workflow.now())
        self._changed()

    @workflow.signal
    def task_done(self, done: RawValue) -> None:
        transitions.task_done(self._record, read(done, TaskDone), workflow.now())
        self._changed()

    # --- updates from staff ----------------------------------------------------------------------------------------

    @workflow.update
    def open(self, opening: Opening) -> Conversation:
        transitions.open_conversation(self._record, opening, workflow.now())
        return self._changed()

    @open.validator
    def _open_is_possible(self, opening: Opening) -> None:
        conversation = self._record.conversation
        if opening.message_id in self._record.staff_replies:
            return
        if conversation.state is ConversationState.RESOLVED:
            with_template = opening.template is not None
            _raise(policy.refusal_of_channel(self._record, with_template=with_template, now=workflow.now()))
        elif conversation.seq > 0 or self._record.unchecked:
            own = conversation.conversation_id
            raise _as_application_error(
                AlreadyOpen(f"conversation {own} is {conversation.state}; write in it", conversationId=own)
            )

    @workflow.update
    def reply(self, command: Reply) -> Message:
        message = transitions.reply(self._record, command, workflow.now())
        self._changed()
        return message

    @reply.validator
    def _reply_is_possible(self, command: Reply) -> None:
        if command.message_id in self._record.staff_replies:
            return
        _raise(policy.refusal_of_id(self._record, command.message_id))
        self._refuse("note" if command.private else "reply", command)
        if not command.private:
            _raise(policy.refusal_of_words(self._record, command, workflow.now()))

    @workflow.update
    def redeliver(self, command: Redeliver) -> Message:
        message = transitions.redeliver(self._record, command, workflow.now())
        self._changed()
        return message

    @redeliver.validator
    def _redeliver_is_possible(self, command: Redeliver) -> None:
        self._refuse("retry", command)
        _raise(policy.refusal_of_redelivery(self._record, command, workflow.now()))

    @workflow.update
    def claim(self, command: Command) -> Conversation:
        transitions.claim(self._record, command, workflow.now())
        return self._changed()

    @claim.validator
    def _claim_is_possible(self, command: Command) -> None:
        self._refuse("claim", command)

    @workflow.update
    def assign(self, command: Assign) -> Conversation:
        transitions.assign(self._record, command, workflow.now())
        return self._changed()

    @assign.validator
    def _assign_is_possible(self, command: Assign) -> None:
        self._refuse("assign", command)

    @workflow.update
    def unassign(self, command: Command) -> Conversation:
        transitions.unassign(self._record, command, workflow.now())
        return self._changed()

    @unassign.validator
    def _unassign_is_possible(self, command: Command) -> None:
        self._refuse("unassign", command)

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
    def _return_to_ai_is_possible(self, command: Command) -> None:
        self._refuse("return", command)

    @workflow.update
    def snooze(self, command: Snooze) -> Conversation:
        transitions.snooze(self._record, command, workflow.now())
        return self._changed()

    @snooze.validator
    def _snooze_is_possible(self, command: Snooze) -> None:
        self._refuse("snooze", command)
        _raise(policy.refusal_of_moment(command.until, workflow.now()))

    @workflow.update
    def prioritise(self, command: SetConversationPriority) -> Conversation:
        transitions.prioritise(self._record, command, workflow.now())
        return self._changed()

    @prioritise.validator
    def _prioritise_is_possible(self, command: SetConversationPriority) -> None:
        self._refuse("priority", command)

    @workflow.update
    def resolve(self, command: Command) -> Conversation:
        transitions.resolve(self._record, command, workflow.now())
        return self._changed()

    @resolve.validator
    def _resolve_is_possible(self, command: Command) -> None:
        self._refuse("resolve", command)

    @workflow.update
    def read(self, command: Command) -> Conversation:
        transitions.read(self._record, command, workflow.now())
        return self._changed()

    @read.validator
    def _read_is_possible(self, command: Command) -> None:
        self._refuse("read", command)

    @workflow.update
    def reviewed(self, command: Command) -> Conversation:
        transitions.reviewed(self._record, command, workflow.now())
        return self._changed()

    @reviewed.validator
    def _reviewed_is_possible(self, command: Command) -> None:
        self._refuse("reviewed", command)

    @workflow.update
    def change_policy(self, command: ChangePolicy) -> Conversation:
        transitions.change_policy(self._record, command, workflow.now())
        return self._changed()

    @change_policy.validator
    def _change_policy_is_possible(self, command: ChangePolicy) -> None:
        self._refuse("policy", command)

    @workflow.update
    def decide(self, command: DecideAction) -> Conversation:
        transitions.decide(self._record, command, workflow.now())
        return self._changed()

    @decide.validator
    def _decide_is_possible(self, command: DecideAction) -> None:
        self._refuse("action", command)
        if all(action.id != command.action_id for action in self._record.conversation.pending_actions):
            raise _as_application_error(NotFound("no action with this id is waiting for a decision"))

    def _refuse(self, name: policy.CommandName, command: Command) -> None:
        _raise(policy.refusal(self._record, name, command.by.id, command.conversation_id))

    # --- queries ---------------------------------------------------------------------------------------------------

    @workflow.query
    def conversation(self) -> Conversation:
        return self._record.snapshot()

    @workflow.query
    def messages(self) -> list[Message]:
        """The newest messages, as many as the window holds."""
        own = self._record.conversation.conversation_id
        return [message for message in self._record.window if message.conversation_id == own]

    @workflow.query
    def outcomes(self) -> list[Outcome]:
        return self._record.outcomes

    @workflow.query
    def unsettled(self, now: datetime) -> list[str]:
        """Ids of guest messages whose outcome is overdue at `now`, which a query's own clock does not know."""
        return promises.unsettled(self._record, now)

    # --- the end, and continue-as-new ------------------------------------------------------------------------------

    def _is_over(self) -> bool:
        """Whether the conversation is resolved, its window is over, and nothing is owed to anybody."""
        record = self._record
        owed = record.unchecked or record.queue or record.sends or self._follow_up.is_due
        if owed or not record.all_stored or self._drain.is_flying:
            return False
        if record.looked_up and record.conversation.seq == 0:
            return True  # storage knew every message already, so there is no conversation here
        return record.state is ConversationState.RESOLVED and promises.window_is_over(record, workflow.now())

    def _should_continue(self) -> bool:
        """Whether to continue as new: above the limit once a turn is due, and at 1.5 times the limit in any case.

        A record with more text than Temporal accepts at once waits for storage to take some of it, since starting the
        next run would fail forever. Right after a delivery, the guest's next message would fail the task that ends the
        run.
        """
        info, limit = workflow.info(), self._record.policy.history_limit
        length = info.get_current_history_length()
        if length > limit and _characters(self._record) > CARRIED_CHARACTERS:
            return False
        if info.is_continue_as_new_suggested() or length > limit + limit // 2:
            return True
        return length > limit and not self._drain.is_flying and self._turns.is_due

    async def _continue_as_new(self, start: ConversationStart) -> None:
        """Continues as new with the record, once nothing is in flight whose result would be lost."""
        self._leaving = self._drain.paused = True
        await workflow.wait_condition(
            lambda: (
                workflow.all_handlers_finished()
                and (not self._drain.is_flying or workflow.info().get_current_history_length() > HISTORY_CEILING)
            )
        )
        self._drain.abandon()
        self._record.policy.edition = editions.NEWEST
        workflow.continue_as_new(start.model_copy(update={"carried": self._record}))

    # --- what others see -------------------------------------------------------------------------------------------

    def _changed(self) -> Conversation:
        """Does everything that follows from a change of the record, whoever made it."""
        self._drain.recall_ai_sends()
        self._describe()
        return self._record.snapshot()

    def _describe(self) -> None:
        """Updates what operators see: details always, search attributes on transitions only (an upsert is an event)."""
        record = self._record
        wanted = Transition(record.conversation)
        if record.conversation.seq > 0 and wanted.fingerprint != record.indexed:
            workflow.upsert_search_attributes(wanted.updates())
            record.indexed = wanted.fingerprint
        workflow.set_current_details(details(record, workflow.now()))


def _begin(start: ConversationStart) -> Record:
    """The record of a new conversation, whose id names the first run of its chain."""
    conversation_id = f"{start.contact_key}-{workflow.info().first_execution_run_id[:8]}"
    where = (start.property_id, start.channel_type, start.contact_key, start.route)
    return Record.begin(conversation_id, *where, start.policy, workflow.now())


def _characters(record: Record) -> int:
    """Counts the characters of all messages and template parameters that the next run would be given."""
    messages: list[Message | GuestMessage] = [*record.unchecked, *record.window]
    messages += [arrival.message for arrival in (*record.queue, *record.unread_by_ai)]
    messages += [event.message for event in record.outbox if event.message is not None]
    messages += [send.message for send in record.sends]
    templates = [*record.templates.values(), *(send.template for send in record.sends if send.template is not None)]
    return sum(each.characters for each in messages) + sum(len("".join(each.texts)) for each in templates)


def _as_application_error(refusal: GatewayError) -> ApplicationError:
    members = refusal.members if refusal.field is None else {**refusal.members, "field": refusal.field}
    return ApplicationError(refusal.detail, members, type=refusal.code, non_retryable=True)


def _raise(refusal: GatewayError | None) -> None:
    if refusal is not None:
        raise _as_application_error(refusal)
