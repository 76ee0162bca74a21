"""What holds of every conversation, read from what was told of it alone; it need not be known how it was told.

A `Story` is one conversation of a contact (one `conversation_id`), whether a record was driven in memory or the
events come from a workflow's history or from storage:

- `events`: every `contracts.events.Event` of the conversation, in the order in which they were told. The delivery of
  their messages should be the last one known; QUEUED, where nobody noted any, is taken for "may have left".
- `outcomes`: every `Outcome` that holds at the end of the story, one a guest message (later words on the same message
  replace earlier ones in storage and in the workflow; bring what is left).
- `attempts`: every attempt to send one of its messages, with the moment at which it really began (in a history the
  time of ActivityTaskStarted). Attempts of the AI's messages suffice; others are checked for opting out, too.
- `acknowledged`: by `seq`, when an event was acknowledged to whoever caused it (in a history the time of the
  WorkflowTaskCompleted that tells it). An event without an entry counts as acknowledged at its own `at`.
- `complete`: the conversation has come to rest, so that every guest message must have its outcome.

`check(story)` holds all rules to it; each rule is a function of its own and raises AssertionError in words that name
ids and sequence numbers, never what somebody wrote. `check_contact(stories, received)` compares all conversations of
one contact with the ids of all messages that were acknowledged to the channel.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from contracts.conversations import ConversationState, Outcome
from contracts.events import Change, Event
from contracts.messages import Author, DeliveryState, Message

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState

DIAGRAM: dict[Change, tuple[set[ConversationState], ConversationState]] = {
    "started": ({NEW}, ACTIVE),
    "escalated": ({NEW, ACTIVE}, ESCALATED),
    "returned": ({ESCALATED}, ACTIVE),
    "resolved": ({NEW, ACTIVE, ESCALATED}, RESOLVED),
    "reopened": ({RESOLVED}, ACTIVE),
}
"""The states a change may come from, and the one it leads to."""
ONLY_WHILE_ESCALATED: frozenset[Change] = frozenset({"claimed", "unassigned", "snoozed", "woken"})
ENDS_A_WAIT: frozenset[Change] = frozenset({"returned", "resolved", "reopened", "opted_out"})
GONE = (DeliveryState.SENT, DeliveryState.DELIVERED, DeliveryState.READ)


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to send a message."""

    message_id: str
    began_at: datetime


@dataclass(frozen=True, slots=True)
class Story:
    """What was told of one conversation; the module says what belongs into each field."""

    events: Sequence[Event]
    outcomes: Sequence[Outcome] = ()
    attempts: Sequence[Attempt] = ()
    acknowledged: Mapping[int, datetime] = field(default_factory=dict)
    complete: bool = True

    @property
    def messages(self) -> dict[str, Message]:
        return {event.message.id: event.message for event in self.events if event.message is not None}

    @property
    def from_guest(self) -> dict[str, Message]:
        return {each.id: each for each in self.messages.values() if each.author is Author.GUEST}

    @property
    def outcome_of(self) -> dict[str, Outcome]:
        return {outcome.message_id: outcome for outcome in self.outcomes}

    def acknowledged_at(self, event: Event) -> datetime:
        return self.acknowledged.get(event.seq, event.at)

    def states(self) -> Iterator[tuple[Event, ConversationState]]:
        """Each event, and the state in which it found the conversation."""
        state = NEW
        for event in self.events:
            yield event, state
            if event.change in DIAGRAM:
                state = DIAGRAM[event.change][1]

    def stretches(self, begins: Change, ends: Collection[str]) -> Iterator[tuple[datetime, datetime | None]]:
        """From when one change was acknowledged until another came; None where none has come."""
        since: datetime | None = None
        for event in self.events:
            if event.change == begins:
                since = since or self.acknowledged_at(event)
            elif event.change in ends and since is not None:
                yield since, event.at
                since = None
        if since is not None:
            yield since, None


def check(story: Story) -> None:
    """Every rule."""
    for each in RULES:
        each(story)


def check_contact(stories: Sequence[Story], received: Collection[str]) -> None:
    """Every rule for each conversation of a contact; and each message that was acknowledged is told in one of them."""
    for story in stories:
        check(story)
    told = Counter(message_id for story in stories for message_id in story.from_guest)
    assert not (missing := untold(stories, received)), f"received and never told: {sorted(missing)}"
    assert not (twice := [each for each, count in told.items() if count > 1]), f"told more than once: {twice}"


def untold(stories: Iterable[Story], received: Collection[str]) -> set[str]:
    """Which of the messages that were acknowledged are told in none of a contact's conversations."""
    return set(received).difference(*(story.from_guest for story in stories))


def events_are_in_order_without_a_gap(story: Story) -> None:
    seqs = [event.seq for event in story.events]
    assert seqs == list(range(1, len(seqs) + 1)), f"not 1, 2, 3 …: {seqs}"
    for earlier, later in zip(story.events, story.events[1:], strict=False):
        assert earlier.at <= later.at, f"{later.seq} is told as older than {earlier.seq}"


def each_event_tells_one_thing(story: Story) -> None:
    for event in story.events:
        told = [each for each in (event.message, event.change, event.notification) if each is not None]
        assert len(told) == 1, f"{event.seq} tells {len(told)} things"
        assert event.message is None or event.message.seq == event.seq, f"{event.seq} carries another's message"


def no_message_is_told_twice(story: Story) -> None:
    ids = Counter(event.message.id for event in story.events if event.message is not None)
    assert not (twice := [each for each, count in ids.items() if count > 1]), f"told more than once: {twice}"


def states_move_along_the_diagram(story: Story) -> None:
    """A new conversation is resolved, or a person's, only before the guest has said anything that wants an answer."""
    said = False
    for event, state in story.states():
        if event.message is not None and event.message.author is Author.GUEST:
            outcome = story.outcome_of.get(event.message.id)
            said = said or outcome is None or outcome.outcome != "suppressed"
        if event.change in DIAGRAM:
            assert state in DIAGRAM[event.change][0], f"{event.seq}: {event.change} from {state}"
            late = state is NEW and said and event.change in ("escalated", "resolved")
            assert not late, f"{event.seq}: {event.change} from new, though the guest had written"


def what_only_a_person_does_happens_while_one_has_it(story: Story) -> None:
    for event, state in story.states():
        if event.change in ONLY_WHILE_ESCALATED:
            assert state is ESCALATED, f"{event.seq}: {event.change} while {state}"


def each_guest_message_has_one_outcome(story: Story) -> None:
    counts = Counter(outcome.message_id for outcome in story.outcomes)
    assert not (twice := [each for each, count in counts.items() if count > 1]), f"more than one outcome: {twice}"
    assert not (strange := counts.keys() - story.from_guest.keys()), f"outcomes of nothing told: {sorted(strange)}"
    missing = story.from_guest.keys() - counts.keys()
    assert not (story.complete and missing), f"no outcome: {sorted(missing)}"


def outcomes_name_the_reply_that_was_given(story: Story) -> None:
    messages = story.messages
    for outcome in story.outcomes:
        reply = messages.get(outcome.reply_id) if outcome.reply_id is not None else None
        assert outcome.reply_id is None or reply is not None, f"{outcome.message_id}: its reply was never told"
        if outcome.outcome == "answered":
            assert reply is not None, f"{outcome.message_id} is answered by nothing"
            assert reply.author is Author.AI, f"{outcome.message_id} is answered by {reply.author}"
            failed = reply.delivery.state in (DeliveryState.FAILED, DeliveryState.UNKNOWN)
            assert not failed, f"{outcome.message_id} is called answered, but its reply is {reply.delivery.state}"
        elif reply is not None:
            assert outcome.outcome in ("handed", "rated"), f"{outcome.message_id} is suppressed and has a reply"
            assert reply.author is Author.SYSTEM, f"{outcome.message_id} is handed, but {reply.author} replied"
        if reply is not None:
            assert reply.seq > messages[outcome.message_id].seq, f"{outcome.message_id} was replied to before it came"


def a_turn_has_one_reply(story: Story) -> None:
    """Whatever the AI says answers a message that nothing else answers, unless it never reached the guest."""
    given = {outcome.reply_id for outcome in story.outcomes if outcome.outcome == "answered"}
    for message in story.messages.values():
        if message.author is Author.AI and message.delivery.state in (*GONE, DeliveryState.QUEUED):
            assert message.id in given, f"{message.id}: a second reply, or one to nothing"


def replies_come_in_the_order_of_what_they_answer(story: Story) -> None:
    messages, newest = story.messages, 0
    for message_id in story.from_guest:
        outcome = story.outcome_of.get(message_id)
        if outcome is not None and outcome.reply_id is not None:
            seq = messages[outcome.reply_id].seq
            assert seq >= newest, f"{message_id} was replied to out of order"
            newest = seq


def the_ai_is_silent_while_a_person_has_it(story: Story) -> None:
    """From the moment a take-over is acknowledged until the conversation is the AI's again, it begins no attempt."""
    messages = story.messages
    silences = list(story.stretches("escalated", ("returned", "reopened")))
    for attempt in story.attempts:
        if messages[attempt.message_id].author is Author.AI:
            _lies_outside(attempt, silences, "was begun while a person had the conversation")


def nothing_is_sent_to_who_has_opted_out(story: Story) -> None:
    silences = list(story.stretches("opted_out", ("opted_in",)))
    for attempt in story.attempts:
        _lies_outside(attempt, silences, "was begun though the guest had opted out")


def a_guest_who_waits_is_promised_once(story: Story) -> None:
    """Of each wait for a person, one reminder and one breach are told at most, and only while a person has it."""
    told: Counter[str] = Counter()
    for event, state in story.states():
        message = event.message
        if event.change in ENDS_A_WAIT or (message and message.author is Author.STAFF and not message.private):
            told.clear()
        if event.notification is not None and event.notification.kind == "sla":
            assert state is ESCALATED, f"{event.seq}: a promise while {state}"
            told[event.notification.audience] += 1
            what = "breached" if event.notification.audience == "managers" else "reminded"
            assert told[event.notification.audience] == 1, f"{event.seq}: {what} again in one wait"
            assert what == "breached" or not told["managers"], f"{event.seq}: reminded after the breach"


def a_guest_is_asked_for_a_rating_once_a_resolution(story: Story) -> None:
    asked = False
    for event, state in story.states():
        if event.change == "resolved":
            asked = False
        elif event.change == "surveyed":
            assert state is RESOLVED, f"{event.seq}: asked for a rating while {state}"
            assert not asked, f"{event.seq}: asked for a rating again"
            asked = True


def a_rating_answers_a_question_and_opens_nothing(story: Story) -> None:
    """It comes after the question, to a resolved conversation, is told as such, and the first one is thanked for."""
    asked, thanked, rated = False, 0, False
    for event, state in story.states():
        outcome = story.outcome_of.get(event.message.id) if event.message is not None else None
        assert not rated or event.change == "rated", f"{event.seq} follows a rating that was not told"
        rated = outcome is not None and outcome.outcome == "rated"
        if event.change == "surveyed":
            asked, thanked = True, 0
        elif rated and outcome is not None:
            assert asked, f"{event.seq}: a rating that nobody asked for"
            assert state is RESOLVED, f"{event.seq}: a rating while {state}"
            thanked += outcome.reply_id is not None
            assert thanked == 1, f"{event.seq}: {thanked} thanks for the ratings of one question"


def _lies_outside(attempt: Attempt, stretches: list[tuple[datetime, datetime | None]], wrong: str) -> None:
    for since, until in stretches:
        within = since < attempt.began_at and (until is None or attempt.began_at < until)
        assert not within, f"{attempt.message_id} {wrong}: at {attempt.began_at.isoformat()}"


RULES = (
    events_are_in_order_without_a_gap,
    each_event_tells_one_thing,
    no_message_is_told_twice,
    states_move_along_the_diagram,
    what_only_a_person_does_happens_while_one_has_it,
    each_guest_message_has_one_outcome,
    outcomes_name_the_reply_that_was_given,
    a_turn_has_one_reply,
    replies_come_in_the_order_of_what_they_answer,
    the_ai_is_silent_while_a_person_has_it,
    nothing_is_sent_to_who_has_opted_out,
    a_guest_who_waits_is_promised_once,
    a_guest_is_asked_for_a_rating_once_a_resolution,
    a_rating_answers_a_question_and_opens_nothing,
)
