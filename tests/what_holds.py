"""What holds of a conversation at every moment, whatever happened to it in whatever order."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

from hypothesis.stateful import RuleBasedStateMachine, invariant

from contracts.conversations import ConversationState, Outcome
from contracts.events import Event
from contracts.messages import Author, Delivery, DeliveryState, GuestMessage, Message
from tests import story
from tests.driven import Driven, copied
from tests.records import BEN, a_reply
from tests.story import Story
from workflows import transitions
from workflows.ratings import rating_of
from workflows.record import Record
from workflows.transitions.sending import TAKEN_OVER

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
LIMITS = {"WINDOW": 3, "SEEN": 8, "OUTCOMES": 12, "STAFF_REPLIES": 3, "BATCH_BYTES": 2_000}
"""Small enough to be met at every turn."""
A_TICK = timedelta(milliseconds=1)


@dataclass
class Seen:
    """What the world knows of the conversation that now lives, beside the record."""

    received: list[GuestMessage]
    remembered: list[str]
    """Ids that the record has taken note of, in order."""
    written: list[str]
    """Ids of what staff wrote, in order."""
    copies: set[str]
    """Ids of messages that were said again."""
    gone: set[str]
    """Ids of messages that a channel took."""
    unsure: set[str]
    refused: set[str]
    """Ids of messages of which a channel or its provider said that they did not arrive."""
    outcomes: dict[str, Outcome]


class WhatHolds(RuleBasedStateMachine):
    """The invariants; `restless` records go on in a new run whenever they may."""

    driven: Driven
    seen: Seen
    conversation_id: str
    restless: bool

    @property
    def record(self) -> Record:
        return self.driven.record

    @property
    def log(self) -> Mapping[int, Event]:
        """All that was ever told, by `seq`: what is stored, and what waits to be."""
        return {event.seq: event for event in (*self.driven.stored.events, *self.record.outbox)}

    @property
    def deliveries(self) -> dict[str, Delivery]:
        """How far each message got, as storage will say."""
        told = {message.id: message.delivery for message in self.driven.stored.messages.values()}
        told |= {event.message.id: event.message.delivery for event in self.record.outbox if event.message}
        later = [(moved.message_id, moved.delivery) for moved in self.record.unstored_deliveries]
        for message_id, delivery in (*later, *self.driven.stored.reports.items()):
            if delivery.state.rank > told[message_id].state.rank:
                told[message_id] = delivery
        return told

    @property
    def outcomes(self) -> dict[str, Outcome]:
        return self.driven.stored.outcomes | {each.message_id: each for each in self.record.unstored_outcomes}

    def story(self, *, complete: bool = False) -> Story:
        deliveries = self.deliveries
        events = [
            event
            if event.message is None or event.message.delivery == deliveries[event.message.id]
            else event.model_copy(
                update={"message": event.message.model_copy(update={"delivery": deliveries[event.message.id]})}
            )
            for _, event in sorted(self.log.items())
        ]
        return Story(events, list(self.outcomes.values()), self.driven.attempts, complete=complete)

    @invariant()
    def the_story_holds(self) -> None:
        story.check(self.story())

    @invariant()
    def seq_has_no_gap(self) -> None:
        outbox, seq = [event.seq for event in self.record.outbox], self.record.conversation.seq
        assert outbox == list(range(seq + 1 - len(outbox), seq + 1))
        assert len(self.log) == seq
        assert self.record.told <= seq

    @invariant()
    def the_state_is_the_one_that_was_told(self) -> None:
        told = [
            story.DIAGRAM[event.change][1] for _, event in sorted(self.log.items()) if event.change in story.DIAGRAM
        ]
        assert self.record.state is (told[-1] if told else NEW)

    @invariant()
    def whose_it_is_fits_the_state(self) -> None:
        conversation = self.record.conversation
        assert conversation.assigned_to is None or conversation.state in (ESCALATED, RESOLVED)
        assert (conversation.resolved_at is not None) == (conversation.state is RESOLVED)
        assert (conversation.resolution is not None) == (conversation.state is RESOLVED)
        assert conversation.state is not ESCALATED or conversation.escalation is not None
        assert conversation.state is ACTIVE or not self.record.queue
        assert conversation.state is ESCALATED or not self.record.unread_by_ai
        assert conversation.state is ESCALATED or conversation.snoozed_until is None
        assert conversation.state is not RESOLVED or not conversation.pending_actions

    @invariant()
    def a_promise_is_made_to_who_waits_and_to_nobody_else(self) -> None:
        record = self.record
        wait, due = record.wait, record.conversation.response_due_at
        assert due == (None if wait is None else wait.due_at)
        assert not record.unread_by_ai or wait is not None, "a guest waits for a person without a promise"
        if wait is None:
            return
        assert record.state is ESCALATED
        since_staff = 0
        for seq, event in self.log.items():
            message = event.message
            if (
                message
                and message.author is Author.STAFF
                and not message.private
                and message.id not in self.seen.copies
            ):
                since_staff = seq
        asks = [
            event
            for seq, event in self.log.items()
            if seq > since_staff
            and (event.change == "escalated" or (event.message and event.message.author is Author.GUEST))
        ]
        assert asks, "nobody waits"
        if wait.remind_at is not None and wait.due_at is not None:
            assert wait.since <= wait.remind_at <= wait.due_at

    @invariant()
    def who_has_opted_out_is_sent_nothing(self) -> None:
        flying = self.driven.flight.sends if self.driven.flight is not None else []
        if self.record.opted_out and self.record.looked_up:
            assert not self.record.queue
            assert all(send in flying for send in self.record.sends) or not self._opted_out_here

    @property
    def _opted_out_here(self) -> bool:
        return any(event.change == "opted_out" for event in self.log.values())

    @invariant()
    def each_admitted_message_has_one_outcome(self) -> None:
        record, log, outcomes = self.record, self.log.values(), self.outcomes
        for kept in (record.outcomes, record.unstored_outcomes):
            assert len({outcome.message_id for outcome in kept}) == len(kept)
        waiting = {arrival.message.id for arrival in record.queue}
        admitted = {each.message.id for each in log if each.message and each.message.author is Author.GUEST}
        # What a person had and left unanswered waits for the AI again after a return, and is "handed" until then.
        assert admitted - waiting <= outcomes.keys() <= admitted
        assert all(outcomes[each].outcome == "handed" for each in waiting & outcomes.keys())
        assert all(outcomes[outcome.message_id] == outcome for outcome in record.outcomes)
        returned = any(event.change == "returned" for event in log)
        for message_id, before in self.seen.outcomes.items():
            if (before.outcome, outcomes[message_id].outcome) == ("handed", "answered"):
                came_through = outcomes[message_id].reply_id in self.seen.gone
                assert returned or came_through, "only a return gives the AI what a person had"
        self.seen.outcomes = outcomes

    @invariant()
    def the_rating_is_the_last_one_given(self) -> None:
        conversation, outcomes = self.record.conversation, self.outcomes
        given = [
            rating_of(event.message.content)
            for _, event in sorted(self.log.items())
            if event.message and event.message.id in outcomes and outcomes[event.message.id].outcome == "rated"
        ]
        assert conversation.rating == (given[-1] if given else None)
        assert (conversation.rated_at is None) == (conversation.rating is None)

    @invariant()
    def nobody_is_asked_again_too_soon(self) -> None:
        rules, told = self.record.policy.survey, self.deliveries
        asked = [event for _, event in sorted(self.log.items()) if event.change == "surveyed"]
        assert not asked or rules is not None
        questions = [self.log[event.seq - 1] for event in asked]
        for earlier, later in pairwise(questions):
            assert earlier.message is not None
            lost = told[earlier.message.id].state is DeliveryState.FAILED
            assert lost or (rules is not None and later.at - earlier.at >= rules.pause)

    @invariant()
    def storage_will_say_how_far_messages_got(self) -> None:
        record, told = self.record, self.deliveries
        own = [message for message in record.window if message.conversation_id == self.conversation_id]
        assert [told[message.id].state for message in own] == [message.delivery.state for message in own]
        queued = {message_id for message_id, delivery in told.items() if delivery.state is DeliveryState.QUEUED}
        assert queued == {send.message.id for send in record.sends}

    @invariant()
    def what_may_have_left_is_not_called_failed(self) -> None:
        for message in self._own_window():
            if message.delivery.reason == TAKEN_OVER:
                unsure = message.id in self.seen.unsure
                assert message.delivery.state is (DeliveryState.UNKNOWN if unsure else DeliveryState.FAILED)
            if message.id in self.seen.gone - self.seen.refused:
                assert message.delivery.state is DeliveryState.SENT

    def _own_window(self) -> list[Message]:
        return [message for message in self.record.window if message.conversation_id == self.conversation_id]

    @invariant()
    def counts_and_bounds_hold(self) -> None:
        record = self.record
        public = [event.message for event in self.log.values() if event.message and not event.message.private]
        assert record.conversation.message_count == len(public) == sum(record.figures.messages.values())
        for kept, limit in (
            (record.window, "WINDOW"),
            (record.unread_by_ai, "WINDOW"),
            (record.seen, "SEEN"),
            (record.outcomes, "OUTCOMES"),
            (record.staff_replies, "STAFF_REPLIES"),
        ):
            assert len(kept) <= LIMITS[limit], limit

    @invariant()
    def what_is_serialised_is_the_same_and_repeats_change_nothing(self) -> None:
        again = copied(self.record)
        recent = set(self.seen.remembered[-LIMITS["SEEN"] :])
        for message in self.seen.received:
            if message.id in recent:
                transitions.receive(again, message, self.driven.now)
        for message_id in self.seen.written[-LIMITS["STAFF_REPLIES"] :]:
            command = a_reply(message_id, by=BEN, conversation_id=self.conversation_id)
            reply = transitions.reply(again, command, self.driven.now)
            assert (reply.id, reply.seq) == (message_id, self.record.staff_replies[message_id])
        assert again == self.record
        if self.restless and not self.driven.flight and not self.driven.question:
            self.driven.record = again

    @invariant()
    def no_two_things_happen_at_once(self) -> None:
        self.driven.now += A_TICK
