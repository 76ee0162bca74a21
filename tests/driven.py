"""A record driven as the workflow and its drain drive it, and what a storage would hold of it; no server, no clock."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from contracts.ai import AIResponse
from contracts.base import Model
from contracts.conversations import ConversationState, Outcome
from contracts.events import ContactFacts, Event, Publication, SendResult
from contracts.guests import Autonomy
from contracts.messages import Delivery, DeliveryState, Message
from contracts.tasks import Task
from tests.records import NOW, a_result, an_answer
from tests.story import Attempt
from workflows import editions, policy, promises, transitions
from workflows.owed import Arrival, PendingSend
from workflows.record import Record

STATE_AFTER = {"sent": DeliveryState.SENT, "failed": DeliveryState.FAILED}
PREVIOUS_MESSAGES = 4
STEPS_TO_CALM = 1_000
DEADLINES_AT_ONCE = 10

M = TypeVar("M", bound=Model)


def copied(model: M) -> M:
    """What is left of a model on the other side of a wire."""
    return type(model).model_validate_json(model.model_dump_json())


@dataclass
class Stored:
    """One conversation in storage: events once and without a gap, outcomes by message, deliveries only upwards."""

    events: list[Event] = field(default_factory=list)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    messages: dict[str, Message] = field(default_factory=dict)
    reports: dict[str, Delivery] = field(default_factory=dict)
    """What providers said of messages, known or not known yet."""
    opted_out: bool = False
    surveyed_at: datetime | None = None

    def publish(self, publication: Publication) -> None:
        for event in publication.events:
            if event.seq <= len(self.events):
                continue
            assert event.seq == len(self.events) + 1, "a gap"
            self.events.append(event)
            if event.message is not None:
                self.messages[event.message.id] = event.message
                if (reported := self.reports.get(event.message.id)) is not None:
                    self.move(event.message.id, reported)
        self.opted_out = self.opted_out if publication.opted_out is None else publication.opted_out
        survey = publication.conversation.survey
        self.surveyed_at = survey.asked_at if survey is not None else None
        self.outcomes |= {outcome.message_id: outcome for outcome in publication.outcomes}
        for moved in publication.deliveries:
            self.move(moved.message_id, moved.delivery)

    def report(self, message_id: str, delivery: Delivery) -> None:
        self.reports[message_id] = delivery
        self.move(message_id, delivery)

    def move(self, message_id: str, delivery: Delivery) -> None:
        message = self.messages.get(message_id)
        if message is not None and delivery.state.rank > message.delivery.state.rank:
            message.delivery = delivery


@dataclass
class Flight:
    """A deliver-and-publish on its way; `carried` is what left, `publication` what the record remembers of it."""

    publication: Publication
    carried: Publication
    sends: list[PendingSend]


@dataclass
class Question:
    """A turn that the AI thinks about, and what it publishes meanwhile."""

    arrivals: list[Arrival]
    reply_id: str
    autonomy: Autonomy
    lent: Publication | None
    carried: Publication | None


class Driven:
    """`earlier` is what storage holds of the contact's conversations before this one."""

    def __init__(self, record: Record, now: datetime = NOW, earlier: Sequence[Stored] = ()) -> None:
        self.record = record
        self.now = now
        self.earlier = earlier
        self.stored = Stored()
        self.flight: Flight | None = None
        self.question: Question | None = None
        self.drafting: list[Arrival] = []
        self.attempts: list[Attempt] = []
        self.tasks: dict[str, Task] = {}
        self._turns = 0

    # --- what the workflow asks itself -----------------------------------------------------------------------------

    @property
    def turn_is_due(self) -> bool:
        return self.record.looked_up and self.question is None and self._ai_has_work

    @property
    def draft_is_due(self) -> bool:
        idle = self.record.looked_up and self.question is None and not self.drafting
        return idle and bool(transitions.undrafted(self.record))

    @property
    def delivery_is_due(self) -> bool:
        return self.flight is None and (
            bool(transitions.due_sends(self.record, self.now)) or not self.record.all_stored
        )

    @property
    def follow_up_is_due(self) -> bool:
        return bool(self.record.steps) or self.record.asking.due or self.record.summary_due

    @property
    def is_over(self) -> bool:
        record = self.record
        owed = record.unchecked or record.queue or record.sends or self.follow_up_is_due
        if owed or self.flight or self.question or not record.all_stored:
            return False
        if record.looked_up and record.conversation.seq == 0:
            return True
        return record.state is ConversationState.RESOLVED and promises.window_is_over(record, self.now)

    @property
    def is_stale(self) -> bool:
        """A newer message came while the AI thinks, or a new turn waits behind one that a person took over."""
        if self.question is None or not self._owns_turn:
            return self.question is not None and self._ai_has_work
        return len(self.record.queue) > len(self.question.arrivals)

    @property
    def _ai_has_work(self) -> bool:
        return bool(self.record.queue) and self.record.state is ConversationState.ACTIVE

    @property
    def _owns_turn(self) -> bool:
        waiting = {arrival.message.id for arrival in self.record.queue}
        return (
            self.question is not None
            and self.question.arrivals[0].message.id in waiting
            and self.record.state is ConversationState.ACTIVE
        )

    def changed(self) -> None:
        """What the AI has not begun to send when a person takes over is not sent."""
        flying = self.flight.sends if self.flight is not None else []
        for send in list(self.record.sends):
            if send not in flying and not transitions.may_send(self.record, send):
                transitions.withdraw(self.record, send, self.now)

    def passes(self, time: timedelta) -> None:
        """Time goes by in one leap, as for workers that were away."""
        self.now += time
        for _ in range(DEADLINES_AT_ONCE):
            deadline = promises.next_deadline(self.record, self.now)
            if deadline is None or deadline.at > self.now:
                return
            promises.fall_due(self.record, self.now)
            self.changed()
        raise AssertionError("a deadline comes again and again")

    def goes_on(self) -> None:
        """Continue-as-new: all that the next run knows is the serialised record; what flies may have left."""
        for send in self.flight.sends if self.flight is not None else []:
            send.unsure = True
        self.record = copied(self.record)
        self.flight = None

    # --- turns -----------------------------------------------------------------------------------------------------

    def looks_up(self, *, storage_away: bool = False) -> None:
        transitions.looked_up(self.record, None if storage_away else self._facts(), self.now)
        self.changed()

    def _facts(self) -> ContactFacts:
        last = list(self.earlier[-1].messages.values()) if self.earlier else []
        asked = [message.id for message in self.record.unchecked]
        return ContactFacts(
            known_message_ids=[each for each in asked if any(each in stored.messages for stored in self.earlier)],
            guest_name="Rosa",
            surveyed_at=max((each.surveyed_at for each in self.earlier if each.surveyed_at is not None), default=None),
            opted_out=bool(self.earlier) and self.earlier[-1].opted_out,
            previous_conversation_id=last[0].conversation_id if last else None,
            previous_messages=[message for message in last if not message.private][-PREVIOUS_MESSAGES:],
        )

    def begins_turn(self, *, lend: bool) -> None:
        """Decides at once what is a person's anyway, and asks the AI of all else."""
        record, arrivals = self.record, list(self.record.queue)
        self.drafting = []  # whose messages these are now
        self._turns += 1
        reply_id = f"{record.conversation.conversation_id}-reply-{self._turns}"
        autonomy = policy.autonomy(record.policy, record.profile)
        decision = policy.before_asking(
            record.policy, arrivals, self.now, autonomy=autonomy, answered=record.answered_questions
        )
        if decision is not None:
            transitions.conclude(record, arrivals, decision, reply_id, self.now)
            self.changed()
            return
        request = transitions.ai_request(record, arrivals)
        assert request.context.turn_message_ids == [arrival.message.id for arrival in arrivals]
        assert {arrival.message.id for arrival in arrivals[:-1]} <= {each.id for each in request.context.messages}
        assert not any(message.private for message in request.context.messages)
        lendable = lend and self.flight is None and not record.sends and bool(record.outbox)
        lent = record.publication() if lendable else None
        self.question = Question(arrivals, reply_id, autonomy, lent, None if lent is None else copied(lent))

    def answers(self, answer: AIResponse | None, *, stored: bool) -> None:
        """The AI answers, or fails (None); what was lent to it is stored or not."""
        owns, record = self._owns_turn, self.record
        question = self._end_question(stored=stored, known=answer is not None)
        if owns:
            newest = policy.autonomy(record.policy, record.profile)
            autonomy = newest if record.policy.edition >= editions.THIRD else question.autonomy
            decision = (
                policy.after_failure(record.policy, record.failures + 1, "no answer in time")
                if answer is None
                else policy.after_answer(record.policy, answer, autonomy=autonomy)
            )
            transitions.conclude(record, question.arrivals, decision, question.reply_id, self.now)
        elif answer is not None and record.state is ConversationState.ESCALATED:
            transitions.overtaken(record, question.arrivals, answer, question.reply_id, self.now)
        self.changed()

    def forgets_question(self, *, stored: bool) -> None:
        """The question is stale: its answer is not waited for, and nobody knows what became of what was lent."""
        self._end_question(stored=stored, known=False)

    def _end_question(self, *, stored: bool, known: bool) -> Question:
        assert self.question is not None
        question, self.question = self.question, None
        if question.carried is not None and stored:
            self.stored.publish(question.carried)
        if question.lent is not None and known:
            self._note_published(question.lent, stored=stored)
        return question

    def begins_draft(self) -> None:
        """The AI thinks about a draft for what waits for a person, unless that is not for it to draft."""
        self.drafting = transitions.begin_draft(self.record, self.now)
        if self.drafting:
            request = transitions.ai_request(self.record, self.drafting)
            assert request.message.id == self.record.unread_by_ai[-1].message.id

    def ends_draft(self, answer: AIResponse | None) -> None:
        """The AI has written a draft, or failed (None). What somebody answered meanwhile needs none."""
        arrivals, self.drafting = self.drafting, []
        if answer is not None and transitions.still_wants_draft(self.record, arrivals):
            self._turns += 1
            reply_id = f"{self.record.conversation.conversation_id}-reply-{self._turns}"
            transitions.drafted(self.record, answer, reply_id, self.now)
        self.changed()

    def follows_up(self, summary: str | None) -> None:
        """Carries out the next action; with none left, a rating is asked for, and the summary comes or does not."""
        if self.record.steps:
            task = transitions.next_step(self.record, self.now)
            if task is not None:
                assert task.id not in self.tasks, "begun twice"
                self.tasks[task.id] = task
            self.changed()
            return
        if self.record.asking.due:
            transitions.ask_for_rating(self.record, self.now)
        if self.record.summary_due:
            transitions.summarised(self.record, summary, self.now)
        self.changed()

    # --- deliver and publish ---------------------------------------------------------------------------------------

    def takes_off(self) -> list[PendingSend]:
        """Begins a batch; gives what is sent with it."""
        record = self.record
        pending = transitions.due_sends(record, self.now)
        pending = [send for send in pending if not transitions.hold_back(record, send, self.now)]
        publication = record.publication()
        for send in pending:
            transitions.attempt(record, send, self.now)
            self.attempts.append(Attempt(send.message.id, self.now))
        self.flight = Flight(publication, copied(publication), pending)
        return pending

    def lands(self, results: list[SendResult], *, stored: bool, in_time: bool = True) -> None:
        """The batch is done. `in_time`: what came of its sends was written together with it."""
        assert self.flight is not None
        flight, states = self.flight, {each.message_id: STATE_AFTER.get(each.result) for each in results}
        reasons = {each.message_id: each.reason for each in results}
        for event in flight.carried.events if in_time else []:
            if event.message is not None and (state := states.get(event.message.id)) is not None:
                event.message.delivery = Delivery(state=state, reason=reasons[event.message.id])
        if stored:
            self.stored.publish(flight.carried)
        for result in results if stored else []:
            if (state := states[result.message_id]) is not None:
                self.stored.move(result.message_id, Delivery(state=state, reason=result.reason))
            result.noted = result.message_id in self.stored.messages
        self._end_flight(flight, results, stored=stored)

    def is_lost(self, *, stored: bool) -> None:
        """The worker died, and nobody says what became of the batch. It may be stored all the same."""
        assert self.flight is not None
        if stored:
            self.stored.publish(self.flight.carried)
        results = [
            a_result(send.message.id, "retry", reason="no answer in time", unsure=True) for send in self.flight.sends
        ]
        self._end_flight(self.flight, results, stored=False)

    def never_began(self) -> None:
        """No worker took the batch, or it was recalled before one did."""
        assert self.flight is not None
        for send in self.flight.sends:
            transitions.not_attempted(self.record, send, self.now)
        self.attempts = self.attempts[: len(self.attempts) - len(self.flight.sends)]
        self.flight = None
        self.changed()

    def _end_flight(self, flight: Flight, results: list[SendResult], *, stored: bool) -> None:
        self._note_published(flight.publication, stored=stored)
        for send, result in zip(flight.sends, results, strict=True):
            transitions.sent(self.record, send, result, self.now)
        self.flight = None
        self.changed()

    def _note_published(self, publication: Publication, *, stored: bool) -> None:
        last = publication.events[-1].seq if publication.events else 0
        self.record.told = max(self.record.told, last)
        if stored:
            self.record.stored(publication)

    def calms_down(self) -> None:
        """Nothing new happens, and everything works: until nothing is left to do."""
        for _ in range(STEPS_TO_CALM):
            if self.record.unchecked:
                self.looks_up()
            elif self.question is not None:
                self.answers(an_answer(), stored=True)
            elif self.turn_is_due:
                self.begins_turn(lend=True)
            elif self.drafting:
                self.ends_draft(an_answer())
            elif self.draft_is_due:
                self.begins_draft()
            elif self.follow_up_is_due:
                self.follows_up("They asked about breakfast.")
            elif self.flight is not None:
                self.lands([a_result(send.message.id) for send in self.flight.sends], stored=True)
            elif self.record.sends or not self.record.all_stored:
                held_until = [send.not_before for send in self.record.sends[:1] if send.not_before is not None]
                self.now = max([self.now, *held_until])
                self.takes_off()
            else:
                return
        raise AssertionError("it never comes to rest")
