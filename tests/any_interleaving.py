"""A conversation to which anything happens in any order, and what holds all the same."""

import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import cycle

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from contracts.ai import AIResponse
from contracts.commands import Actor, Command
from contracts.conversations import ConversationState, Outcome
from contracts.events import Change, Event, SendResult
from contracts.messages import Author, DeliveryState, GuestMessage, Message
from contracts.rules import ConversationPolicy
from tests.driven import Driven, Stored, copied
from tests.records import ANA, BEN, a_command, a_message, a_record, a_reply, a_result, an_answer
from workflows import policy, transitions
from workflows import record as record_module
from workflows.record import Record
from workflows.transitions import guests, staff
from workflows.transitions.sending import TAKEN_OVER

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState

EDGES: dict[Change, tuple[set[ConversationState], ConversationState]] = {
    "started": ({NEW}, ACTIVE),
    # Staff may be quicker than the look-up that a new conversation begins with.
    "escalated": ({NEW, ACTIVE}, ESCALATED),
    "returned": ({ESCALATED}, ACTIVE),
    "resolved": ({NEW, ACTIVE, ESCALATED}, RESOLVED),
    "reopened": ({RESOLVED}, ACTIVE),
    "snoozed": ({ESCALATED}, ESCALATED),
}
"""The states a change may come from, and the one it leads to."""

COMMANDS: dict[policy.CommandName, Callable[[Record, Command, datetime], None]] = {
    "claim": transitions.claim,
    "escalate": transitions.escalate,
    "return": transitions.return_to_ai,
    "resolve": transitions.resolve,
}
STATE_AFTER_COMMAND = {"claim": ESCALATED, "escalate": ESCALATED, "return": ACTIVE, "resolve": RESOLVED}

LIMITS = {"WINDOW": 3, "SEEN": 8, "OUTCOMES": 5, "STAFF_REPLIES": 3, "BATCH_BYTES": 2_000}
"""Small enough to be met at every turn."""
TIMES = st.sampled_from(
    [timedelta(seconds=5)] + [timedelta(minutes=2)] * 3 + [timedelta(minutes=16), timedelta(days=2)]
)
ACTS = st.sampled_from(["note", "reply", "claim", "escalate", "return", "return", "return", "resolve"])
PEOPLE = st.sampled_from([ANA, BEN])
TEXTS = st.sampled_from(["When is breakfast?"] * 3 + ["早餐几点？" * 150] * 3 + ["I want to speak to a person"])
AGES = st.sampled_from([timedelta(0)] * 6 + [timedelta(days=2)])
COUNTS = st.sampled_from([1, 1, 1, 2, 9])
ADAPTERS = st.sampled_from([transitions.WEBCHAT, "messages"])
ANSWERS = st.sampled_from(
    [an_answer()] * 3 + [an_answer(confidence=0.2), an_answer(should_escalate=True), an_answer(" "), None]
)
FATES = st.sampled_from(["lands"] * 3 + ["is lost", "never began", "is out of sight"])
KINDS = [
    a_result(""),
    a_result("", "failed", reason="opted out"),
    a_result("", "retry", reason="busy"),
    a_result("", "retry", reason="busy", retry_after=120),
    a_result("", "retry", reason="cut off", unsure=True),
]
RESULTS = st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)


class AnyInterleaving(RuleBasedStateMachine):
    """Guests, two people, the AI, a channel, storage and time do to a record what they like, in any order.

    One that is restless goes on in a new run whenever it may.
    """

    driven: Driven

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for name, limit in LIMITS.items():
            for module in (record_module, guests, staff):
                self.patch.setattr(module, name, limit, raising=False)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # what failed before is what must be told
                self.driven.calms_down()
                self._storage_has_it_all()
        finally:
            self.patch.undo()

    @initialize(
        adapter=ADAPTERS,
        window=st.sampled_from([timedelta(0), timedelta(minutes=10)]),
        looked_up=st.sampled_from([True, True, True, False]),
        restless=st.booleans(),
        was_here_before=st.booleans(),
    )
    def begins(self, adapter: str, window: timedelta, looked_up: bool, restless: bool, was_here_before: bool) -> None:
        self.restless = restless
        self.adapter = adapter
        self.policy = ConversationPolicy(resolved_window=window, max_retries=1)
        self.earlier: list[Stored] = []
        self.written: list[GuestMessage] = []
        self.count = 0
        self._begins_conversation()
        if was_here_before:
            for _ in range(LIMITS["WINDOW"]):
                self._writes("Hello")
            self.driven.calms_down()
            self._command(ANA, "resolve")
            self.driven.calms_down()
            self.driven.passes(window)
            self.ends_and_the_guest_begins_another()
            self.message_of_an_earlier_conversation_comes_again(0)
        if looked_up:
            self._is_looked_up(storage_away=False)

    def _begins_conversation(self) -> None:
        self.conversation_id = f"contact-{len(self.earlier):08}"
        record = a_record(
            looked_up=False, adapter=self.adapter, policy=self.policy, conversation_id=self.conversation_id
        )
        self.driven = Driven(record, self.driven.now if self.earlier else record.conversation.created_at, self.earlier)
        self.received: list[GuestMessage] = []
        self.replies: list[str] = []
        self.outcomes: dict[str, Outcome] = {}
        self.gone: set[str] = set()
        self.unsure: set[str] = set()
        self._writes("When is breakfast?")

    @property
    def record(self) -> Record:
        return self.driven.record

    def _next_id(self, kind: str) -> str:
        self.count += 1
        return f"{kind}-{self.count}"

    # --- guests ----------------------------------------------------------------------------------------------------

    @rule(text=TEXTS, age=AGES, count=COUNTS, adapter=ADAPTERS)
    def guest_writes(self, text: str, age: timedelta, count: int, adapter: str) -> None:
        self.adapter = adapter
        for _ in range(count):
            self._writes(text, age)

    def _writes(self, text: str, age: timedelta = timedelta(0)) -> None:
        now = self.driven.now
        message_id = self._next_id("guest")
        self._receives(a_message(message_id, text, adapter=self.adapter, sent_at=now - age, received_at=now))

    def _receives(self, message: GuestMessage) -> None:
        self.received.append(message)
        transitions.receive(self.record, message, self.driven.now)
        self.driven.changed()

    @precondition(lambda self: self.earlier and not self.record.looked_up)
    @rule(which=st.integers(0))
    def message_of_an_earlier_conversation_comes_again(self, which: int) -> None:
        message = self.written[which % len(self.written)]
        if message not in self.received:
            self._receives(message)

    # --- staff -----------------------------------------------------------------------------------------------------

    @rule(by=PEOPLE, act=ACTS, text=TEXTS, count=COUNTS)
    def staff_act(self, by: Actor, act: policy.CommandName, text: str, count: int) -> None:
        if policy.refusal(self.record, act, by.id, self.conversation_id) is not None:
            return
        match act:
            case "reply":
                self._reply(by, text)
            case "note":
                self._notes(by, count)
            case _:
                self._command(by, act)

    def _reply(self, by: Actor, text: str) -> None:
        message = self._say("staff", by, text)
        assert (message.content, message.author) == (text, Author.STAFF)
        assert (self.record.state, self.record.conversation.assigned_to) == (ESCALATED, by.id)

    def _notes(self, by: Actor, count: int) -> None:
        before = copied(self.record.conversation)
        for _ in range(count):
            assert self._say("note", by, "A nice guest", private=True).private
        assert self.record.conversation == before.model_copy(update={"seq": before.seq + count})

    def _say(self, kind: str, by: Actor, text: str, *, private: bool = False) -> Message:
        message_id = self._next_id(kind)
        reply = a_reply(message_id, text, by=by, private=private, conversation_id=self.conversation_id)
        message = transitions.reply(self.record, reply, self.driven.now)
        self.driven.changed()
        self.replies.append(message_id)
        return message

    def _command(self, by: Actor, name: policy.CommandName) -> None:
        command, waiting = a_command(by, conversation_id=self.conversation_id), list(self.record.queue)
        COMMANDS[name](self.record, command, self.driven.now)
        self.driven.changed()
        if name == "resolve" and waiting:
            assert self.record.state is ACTIVE, "who waits for an answer opens it again at once"
            return
        assert self.record.state is STATE_AFTER_COMMAND[name]
        assert name != "claim" or self.record.conversation.assigned_to == by.id
        before = copied(self.record)
        assert policy.refusal(self.record, name, by.id, self.conversation_id) is None
        COMMANDS[name](self.record, command, self.driven.now)
        self.driven.changed()
        assert self.record == before, "one's own command again changes nothing"

    # --- the AI ----------------------------------------------------------------------------------------------------

    @precondition(lambda self: self.record.unchecked or self.driven.turn_is_due or self.driven.question)
    @rule(answer=ANSWERS, stored=st.booleans(), lends=st.booleans(), patient=st.booleans())
    def turn_moves(self, answer: AIResponse | None, stored: bool, lends: bool, patient: bool) -> None:
        driven = self.driven
        if self.record.unchecked:
            self._is_looked_up(storage_away=not stored)
        elif driven.question is None:
            driven.begins_turn(lend=lends)
        elif driven.is_stale and not patient:
            driven.forgets_question(stored=stored)
        else:
            driven.answers(answer, stored=stored)

    def _is_looked_up(self, *, storage_away: bool) -> None:
        self.driven.looks_up(storage_away=storage_away)
        known = {each for earlier in self.earlier for each in earlier.messages}
        assert storage_away or known.isdisjoint(arrival.message.id for arrival in self.record.queue)

    @precondition(lambda self: self.record.state is not ESCALATED and not self.driven.question)
    @rule(answer=ANSWERS)
    def guest_writes_and_is_answered(self, answer: AIResponse | None) -> None:
        self._writes("When is breakfast?")
        for _ in range(3):
            if self.record.unchecked or self.driven.turn_is_due or self.driven.question:
                self.turn_moves(answer, stored=False, lends=False, patient=True)

    # --- the channel, storage, time --------------------------------------------------------------------------------

    @precondition(lambda self: self.driven.flight or self.driven.delivery_is_due)
    @rule(fate=FATES, kinds=RESULTS, stored=st.booleans(), in_time=st.booleans())
    def batch_moves(self, fate: str, kinds: list[SendResult], stored: bool, in_time: bool) -> None:
        flight = self.driven.flight
        if flight is None:
            self._batch_begins()
            return
        sent = [send.message.id for send in flight.sends]
        match fate:
            case "lands":
                results = [
                    a.model_copy(update={"message_id": each}) for each, a in zip(sent, cycle(kinds), strict=False)
                ]
                self.gone |= {result.message_id for result in results if result.result == "sent"}
                self.unsure |= {result.message_id for result in results if result.unsure}
                self.driven.lands(results, stored=stored, in_time=in_time)
            case "is lost":
                self.unsure |= set(sent)
                self.driven.is_lost(stored=stored)
            case "never began":
                self.driven.never_began()
            case "is out of sight" if self.driven.question is None:
                self.unsure |= set(sent)
                self.driven.goes_on()

    @precondition(lambda self: self.driven.delivery_is_due)
    @rule(fate=FATES, kinds=RESULTS, stored=st.booleans(), in_time=st.booleans())
    def batch_comes_and_goes(self, fate: str, kinds: list[SendResult], stored: bool, in_time: bool) -> None:
        self._batch_begins()
        self.batch_moves(fate, kinds, stored, in_time)

    def _batch_begins(self) -> None:
        pending = self.driven.takes_off()
        assert self.record.state is not ESCALATED or all(send.message.author is not Author.AI for send in pending)
        assert pending == self.record.sends[: len(pending)], "out of order"
        assert self.gone.isdisjoint(send.message.id for send in pending), "sent twice"
        assert self.driven.flight is not None
        events = self.driven.flight.carried.events
        size = sum(len(event.model_dump_json().encode()) for event in events)
        assert size <= LIMITS["BATCH_BYTES"] or len(events) == 1

    @precondition(lambda self: self.record.sends or self.record.state is RESOLVED or not self.driven.delivery_is_due)
    @rule(time=TIMES)
    def time_passes(self, time: timedelta) -> None:
        self.driven.passes(time)

    @precondition(lambda self: self.driven.is_over)
    @rule()
    def ends_and_the_guest_begins_another(self) -> None:
        self._storage_has_it_all()
        self.earlier.append(self.driven.stored)
        self.written += self.received
        self._begins_conversation()

    def _storage_has_it_all(self) -> None:
        stored, record = self.driven.stored, self.record
        assert len(stored.events) == record.conversation.seq
        assert not record.queue
        guests = [message.id for message in stored.messages.values() if message.author is Author.GUEST]
        assert sorted(stored.outcomes) == sorted(guests)
        for outcome in stored.outcomes.values():
            if outcome.outcome == "answered":
                assert stored.messages[outcome.reply_id or ""].delivery.state is DeliveryState.SENT

    # --- what always holds -----------------------------------------------------------------------------------------

    @property
    def _log(self) -> dict[int, Event]:
        """All that was ever told, by `seq`: what is stored, and what waits to be."""
        return {event.seq: event for event in (*self.driven.stored.events, *self.record.outbox)}

    @invariant()
    def seq_has_no_gap(self) -> None:
        outbox, seq = [event.seq for event in self.record.outbox], self.record.conversation.seq
        assert outbox == list(range(seq + 1 - len(outbox), seq + 1))
        assert sorted(self._log) == list(range(1, seq + 1))
        assert self.record.told <= seq

    @invariant()
    def states_move_along_the_diagram(self) -> None:
        state = NEW
        for _, event in sorted(self._log.items()):
            if event.change in EDGES:
                sources, target = EDGES[event.change]
                assert state in sources, f"{event.change} from {state}"
                state = target
        assert self.record.state is state

    @invariant()
    def whose_it_is_fits_the_state(self) -> None:
        conversation = self.record.conversation
        assert conversation.assigned_to is None or conversation.state in (ESCALATED, RESOLVED)
        assert (conversation.resolved_at is not None) == (conversation.state is RESOLVED)
        assert conversation.state is not ESCALATED or conversation.escalation is not None
        assert conversation.state is ACTIVE or not self.record.queue

    @invariant()
    def each_admitted_message_has_one_outcome(self) -> None:
        record, log = self.record, self._log.values()
        for kept in (record.outcomes, record.unstored_outcomes):
            assert len({outcome.message_id for outcome in kept}) == len(kept)
        outcomes = self.driven.stored.outcomes | {each.message_id: each for each in record.unstored_outcomes}
        waiting = {arrival.message.id for arrival in record.queue}
        admitted = {each.message.id for each in log if each.message and each.message.author is Author.GUEST}
        # What a person had and left unanswered waits for the AI again after a return, and is "handed" until then.
        assert admitted - waiting <= outcomes.keys() <= admitted
        assert all(outcomes[each].outcome == "handed" for each in waiting & outcomes.keys())
        assert all(outcomes[outcome.message_id] == outcome for outcome in record.outcomes)
        for message_id, before in self.outcomes.items():
            if (before.outcome, outcomes[message_id].outcome) == ("handed", "answered"):
                assert any(event.change == "returned" for event in log), "only a return gives the AI what a person had"
        self.outcomes = outcomes

    @invariant()
    def storage_will_say_how_far_messages_got(self) -> None:
        record = self.record
        told = {message.id: message.delivery for message in self.driven.stored.messages.values()}
        told |= {event.message.id: event.message.delivery for event in record.outbox if event.message}
        told |= {moved.message_id: moved.delivery for moved in record.unstored_deliveries}
        own = [message for message in record.window if message.conversation_id == self.conversation_id]
        assert [told[message.id].state for message in own] == [message.delivery.state for message in own]
        queued = {message_id for message_id, delivery in told.items() if delivery.state is DeliveryState.QUEUED}
        assert queued == {send.message.id for send in record.sends}
        replies = {event.message.id: event.message for event in self._log.values() if event.message}
        for outcome in self.outcomes.values():
            if outcome.outcome == "answered":
                reply = replies[outcome.reply_id or ""]
                assert reply.author is Author.AI
                assert told[reply.id].state in (DeliveryState.QUEUED, DeliveryState.SENT)

    @invariant()
    def what_may_have_left_is_not_called_failed(self) -> None:
        for message in self.record.window:
            if message.delivery.reason == TAKEN_OVER:
                unsure = message.id in self.unsure
                assert message.delivery.state is (DeliveryState.UNKNOWN if unsure else DeliveryState.FAILED)

    @invariant()
    def counts_and_bounds_hold(self) -> None:
        record = self.record
        public = [event.message for event in self._log.values() if event.message and not event.message.private]
        assert record.conversation.message_count == len(public)
        assert len(record.window) <= LIMITS["WINDOW"]
        assert len(record.seen) <= LIMITS["SEEN"]
        assert len(record.outcomes) <= LIMITS["OUTCOMES"]
        assert len(record.staff_replies) <= LIMITS["STAFF_REPLIES"]

    @invariant()
    def what_is_serialised_is_the_same_and_repeats_change_nothing(self) -> None:
        again = copied(self.record)
        for message in self.received[-LIMITS["SEEN"] :]:
            transitions.receive(again, message, self.driven.now)
        for message_id in self.replies[-LIMITS["STAFF_REPLIES"] :]:
            command = a_reply(message_id, by=BEN, conversation_id=self.conversation_id)
            reply = transitions.reply(again, command, self.driven.now)
            assert (reply.id, reply.seq) == (message_id, self.record.staff_replies[message_id])
        assert again == self.record
        if self.restless and not self.driven.flight and not self.driven.question:
            self.driven.record = again
