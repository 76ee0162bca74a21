"""A conversation to which anything happens in any order; what holds all the same stands in `what_holds`."""

import sys
from datetime import time, timedelta
from itertools import cycle
from typing import Literal, get_args

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule

from contracts.ai import Action, AIResponse
from contracts.commands import DeliveryFailure, Opening, TaskDone
from contracts.conversations import ConversationState
from contracts.events import SendResult
from contracts.messages import Author, Delivery, DeliveryState, GuestMessage
from contracts.rules import BusinessHours, ConversationPolicy, Period, SurveyRules, Weekday
from tests import story
from tests.driven import Driven, Stored, copied
from tests.records import ANA, a_message, a_record, a_result, an_answer
from tests.staff_at_work import COUNTS, StaffAtWork
from tests.what_holds import LIMITS, Seen
from workflows import editions, transitions
from workflows import record as record_module
from workflows.transitions import guests, sending, staff

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState

TIMES = st.sampled_from(
    [timedelta(seconds=5)] + [timedelta(minutes=2)] * 3 + [timedelta(minutes=16), timedelta(hours=9), timedelta(days=2)]
)
TEXTS = st.sampled_from(
    ["When is breakfast?"] * 3
    + ["5", "Two stars"]
    + ["早餐几点？" * 150] * 3
    + ["I want to speak to a person", "I want a refund", "My wife is bleeding"]
)
AGES = st.sampled_from([timedelta(0)] * 6 + [timedelta(days=2)])
ADAPTERS = st.sampled_from([transitions.WEBCHAT, "messages"])
TOWELS = Action(id="a", type="create_task", params={"department": "housekeeping", "title": "Towels"})
LATE = Action(id="b", type="request_late_checkout", params={"until": "14:00"})
LOOK = Action(id="c", type="notify_staff", params={"text": "A birthday"})
STRANGE = [Action(id="d", type="open_the_safe"), Action(id="e", type="create_task", params={"title": ""})]
ANSWERS = st.sampled_from(
    [an_answer()] * 3
    + [
        an_answer(actions=[TOWELS, LATE]),
        an_answer(actions=[LATE, *STRANGE]),
        an_answer(confidence=0.2, actions=[LOOK]),
    ]
    + [an_answer(should_escalate=True), an_answer(" "), None]
)
FATES = st.sampled_from(["lands"] * 3 + ["is lost", "never began"])
KINDS = [
    a_result(""),
    a_result("", "failed", reason="opted out"),
    a_result("", "retry", reason="busy"),
    a_result("", "retry", reason="busy", retry_after=120),
    a_result("", "retry", reason="cut off", unsure=True),
]
RESULTS = st.lists(st.sampled_from(KINDS), min_size=1, max_size=3)
OFFICE = BusinessHours(
    time_zone="Europe/Lisbon",
    weekly={day: [Period(opens=time(9), closes=time(13))] for day in get_args(Weekday)},
)
SURVEY = SurveyRules(window=timedelta(hours=10), pause=timedelta(hours=11))
POLICIES = st.sampled_from(
    [
        ConversationPolicy(max_retries=1),
        ConversationPolicy(max_retries=1, resolved_window=timedelta(minutes=10), summaries=False),
        ConversationPolicy(max_retries=1, hours=OFFICE, escalated_timeout=timedelta(days=1)),
        ConversationPolicy(max_retries=1, autonomy="draft", approvals={"create_task": "ask"}),
        ConversationPolicy(max_retries=1, survey=SURVEY),
        ConversationPolicy(max_retries=1, survey=SURVEY, resolved_window=timedelta(hours=12), summaries=False),
    ]
)


class AnyInterleaving(StaffAtWork):
    """Guests, two people, the AI, a channel, storage and time do to a record what they like, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        for name, limit in LIMITS.items():
            for module in (record_module, guests, sending, staff):
                self.patch.setattr(module, name, limit, raising=False)

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # what failed before is what must be told
                self.driven.calms_down()
                self._comes_to_rest()
        finally:
            self.patch.undo()

    @initialize(
        adapter=ADAPTERS,
        rules=POLICIES,
        edition=st.sampled_from([editions.NEWEST, editions.NEWEST, editions.THIRD, editions.SECOND, 0]),
        looked_up=st.sampled_from([True, True, True, False]),
        restless=st.booleans(),
        begins_with=st.sampled_from(["a message", "a message", "an earlier conversation", "staff"]),
    )
    def begins(
        self,
        adapter: str,
        rules: ConversationPolicy,
        edition: int,
        looked_up: bool,
        restless: bool,
        begins_with: str,
    ) -> None:
        self.restless = restless
        self.adapter = adapter
        self.policy = rules.model_copy(update={"edition": edition})
        self.earlier: list[Stored] = []
        self.written: list[GuestMessage] = []
        self.count = 0
        self._begins_conversation(by_staff=begins_with == "staff")
        if begins_with == "an earlier conversation":
            for _ in range(LIMITS["WINDOW"]):
                self._writes("Hello")
            self.driven.calms_down()
            self.command(ANA, "resolve")
            self.driven.calms_down()
            self.driven.passes(max(rules.resolved_window, rules.survey.window if rules.survey else timedelta(0)))
            self.ends_and_the_guest_begins_another()
            self.message_of_an_earlier_conversation_comes_again(0)
        if looked_up and self.record.unchecked:
            self._is_looked_up(storage_away=False)

    def _begins_conversation(self, *, by_staff: bool = False) -> None:
        self.conversation_id = f"contact-{len(self.earlier):08}"
        record = a_record(
            looked_up=False, adapter=self.adapter, policy=self.policy, conversation_id=self.conversation_id
        )
        now = self.driven.now if self.earlier else record.conversation.created_at
        record.conversation.created_at = now
        self.driven = Driven(record, now, self.earlier)
        self.seen = Seen([], [], [], set(), set(), set(), set(), {})
        if by_staff:
            opening = Opening(by=ANA, message_id=self.next_id("opening"), content="Your room is ready")
            for _ in range(2):
                transitions.open_conversation(self.record, opening, now)
            self.seen.written.append(opening.message_id)
        else:
            self._writes("When is breakfast?")

    def next_id(self, kind: str) -> str:
        self.count += 1
        return f"{kind}-{self.count}"

    # --- guests ----------------------------------------------------------------------------------------------------

    @rule(text=TEXTS, age=AGES, count=COUNTS, adapter=ADAPTERS)
    def guest_writes(self, text: str, age: timedelta, count: int, adapter: str) -> None:
        self.adapter = adapter
        for _ in range(count):
            self._writes(text, age)

    @rule(opts=st.sampled_from(["in", "in", "out", None]))
    def guest_opts_or_writes_what_nobody_may_answer(self, opts: Literal["in", "out"] | None) -> None:
        self._writes("STOP", opts=opts, suppressed="Automatic mail" if opts is None else None)

    def _writes(
        self,
        text: str,
        age: timedelta = timedelta(0),
        *,
        opts: Literal["in", "out"] | None = None,
        suppressed: str | None = None,
    ) -> None:
        now, message_id = self.driven.now, self.next_id("guest")
        message = a_message(
            message_id,
            text,
            adapter=self.adapter,
            sent_at=now - age,
            received_at=now,
            opts=opts,
            suppressed=suppressed,
        )
        self._receives(message)

    def _receives(self, message: GuestMessage) -> None:
        self.seen.received.append(message)
        self.seen.remembered.append(message.id)
        transitions.receive(self.record, message, self.driven.now)
        self.driven.changed()

    @precondition(lambda self: self.earlier and self.written and not self.record.looked_up)
    @rule(which=st.integers(0))
    def message_of_an_earlier_conversation_comes_again(self, which: int) -> None:
        message = self.written[which % len(self.written)]
        if message not in self.seen.received:
            self._receives(message)

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

    @precondition(lambda self: self.driven.draft_is_due or self.driven.drafting)
    @rule(answer=ANSWERS)
    def draft_moves(self, answer: AIResponse | None) -> None:
        if self.driven.drafting:
            answered = not self.record.unread_by_ai
            before = self.record.conversation.draft
            self.driven.ends_draft(answer)
            assert not answered or self.record.conversation.draft == before, "a draft of what a person has answered"
        else:
            self.driven.begins_draft()

    @precondition(lambda self: self.driven.follow_up_is_due and not self.driven.question)
    @rule(summary=st.sampled_from(["They asked about breakfast.", None]))
    def what_follows_is_done(self, summary: str | None) -> None:
        steps = len(self.record.steps)
        self.driven.follows_up(summary)
        assert len(self.record.steps) == max(0, steps - 1)

    @precondition(lambda self: self.record.policy.survey and not self.driven.question and self.record.looked_up)
    @rule(words=st.lists(st.sampled_from(["5", "Two stars", "When is breakfast?"]), min_size=2, max_size=4))
    def is_answered_and_resolved_and_says(self, words: list[str]) -> None:
        """The whole way to a rating, which steps at random seldom take, and what a guest may say to the question."""
        self.driven.calms_down()
        if self.record.state is not RESOLVED:
            self.command(ANA, "resolve")
        self.driven.calms_down()
        self.seen.gone |= {
            message.id
            for message in self.driven.stored.messages.values()
            if message.delivery.state is DeliveryState.SENT
        }
        for each in words:
            self._writes(each)

    @precondition(lambda self: self.driven.tasks)
    @rule(which=st.integers(0))
    def a_department_is_done(self, which: int) -> None:
        task = list(self.driven.tasks.values())[which % len(self.driven.tasks)]
        done = TaskDone(conversation_id=self.conversation_id, task_id=task.id, title=task.title)
        marker = f"task-done {task.id}"
        if marker in self.seen.remembered[: -LIMITS["SEEN"]]:
            return  # forgotten since, as all that is bounded is
        if self.record.state is not RESOLVED and marker not in self.seen.remembered:
            self.seen.remembered.append(marker)
        transitions.task_done(self.record, done, self.driven.now)
        before = copied(self.record)
        transitions.task_done(self.record, done, self.driven.now)
        assert self.record == before, "told twice"

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
                self.seen.gone |= {result.message_id for result in results if result.result == "sent"}
                self.seen.refused |= {result.message_id for result in results if result.result == "failed"}
                self.seen.unsure |= {result.message_id for result in results if result.unsure}
                self.driven.lands(results, stored=stored, in_time=in_time)
            case "is lost":
                self.seen.unsure |= set(sent)
                self.driven.is_lost(stored=stored)
            case "never began":
                self.driven.never_began()

    @precondition(lambda self: self.driven.delivery_is_due)
    @rule(fate=FATES, kinds=RESULTS, stored=st.booleans(), in_time=st.booleans())
    def batch_comes_and_goes(self, fate: str, kinds: list[SendResult], stored: bool, in_time: bool) -> None:
        self._batch_begins()
        self.batch_moves(fate, kinds, stored, in_time)

    def _batch_begins(self) -> None:
        pending = self.driven.takes_off()
        assert self.record.state is not ESCALATED or all(send.message.author is not Author.AI for send in pending)
        assert not (pending and self.record.opted_out)
        assert pending == self.record.sends[: len(pending)], "out of order"
        assert self.seen.gone.isdisjoint(send.message.id for send in pending), "sent twice"
        assert self.driven.flight is not None
        events = self.driven.flight.carried.events
        size = sum(len(event.model_dump_json().encode()) for event in events)
        assert size <= LIMITS["BATCH_BYTES"] or len(events) == 1

    @precondition(lambda self: self._reportable())
    @rule(which=st.integers(0))
    def a_provider_reports_a_failure(self, which: int) -> None:
        message_id = self._reportable()[which % len(self._reportable())]
        failure = DeliveryFailure(conversation_id=self.conversation_id, message_id=message_id, reason="unreachable")
        self.seen.refused.add(message_id)
        self.driven.stored.report(message_id, Delivery(state=DeliveryState.FAILED, reason="unreachable"))
        for _ in range(2):
            before = copied(self.record)
            transitions.delivery_failed(self.record, failure, self.driven.now)
            self.driven.changed()
        assert self.record == before, "heard twice"

    def _reportable(self) -> list[str]:
        """What a channel has taken or may have; not what was given up in flight, of which nothing is known yet."""
        flying = {send.message.id for send in self.driven.flight.sends} if self.driven.flight is not None else set()
        waiting = {send.message.id for send in self.record.sends}
        possible = self.seen.gone | self.seen.unsure | flying
        return [each.id for each in self._own_window() if each.id in possible - (flying - waiting)]

    @precondition(lambda self: not self.driven.question and not self.driven.drafting)
    @rule()
    def goes_on_in_a_new_run(self) -> None:
        if self.driven.flight is not None:
            self.seen.unsure |= {send.message.id for send in self.driven.flight.sends}
        self.driven.goes_on()

    @precondition(lambda self: self.record.sends or self.record.state is RESOLVED or not self.driven.delivery_is_due)
    @rule(time=TIMES)
    def time_passes(self, time: timedelta) -> None:
        self.driven.passes(time)

    @precondition(lambda self: self.driven.is_over)
    @rule()
    def ends_and_the_guest_begins_another(self) -> None:
        self._comes_to_rest()
        self.earlier.append(self.driven.stored)
        self.written += self.seen.received
        self._begins_conversation()

    def _comes_to_rest(self) -> None:
        stored, record = self.driven.stored, self.record
        assert len(stored.events) == record.conversation.seq
        assert not record.queue
        assert not transitions.undrafted(record)
        assert stored.outcomes == self.outcomes
        story.check(self.story(complete=True))
        new = {message.id for message in self.seen.received} - {message.id for message in self.written}
        told = {message.id for message in stored.messages.values() if message.author is Author.GUEST}
        assert new <= told, "received and never told"
        for outcome in stored.outcomes.values():
            if outcome.outcome == "answered":
                assert stored.messages[outcome.reply_id or ""].delivery.state is DeliveryState.SENT
