"""That each rule of a story sees what breaks it."""

from collections.abc import Sequence
from datetime import timedelta

import pytest

from contracts.conversations import Outcome
from contracts.events import Audience, Change, Event, Notification
from contracts.messages import Author, Delivery, DeliveryState, Message
from tests.records import CONVERSATION_ID, NOW
from tests.story import Attempt, Story, check, check_contact

GUEST, AI, STAFF, SYSTEM = Author
QUEUED, UNKNOWN, SENT, FAILED, DELIVERED, READ = DeliveryState
Told = tuple[Author, str] | tuple[Author, str, DeliveryState] | Change | Audience


def _events(*told: Told) -> list[Event]:
    """A second after each other: messages by author and id, changes, and reminders or breaches by their audience."""
    events: list[Event] = []
    for seq, each in enumerate(told, start=1):
        at = NOW + timedelta(seconds=seq)
        if isinstance(each, tuple):
            state = each[2] if len(each) == 3 else SENT
            message = Message(
                id=each[1],
                conversation_id=CONVERSATION_ID,
                seq=seq,
                author=each[0],
                content="…",
                created_at=at,
                delivery=Delivery(state=state),
            )
            events.append(Event(seq=seq, at=at, message=message))
        elif each in ("everyone", "managers"):
            notification = Notification.model_validate(
                {"id": f"n-{seq}", "kind": "sla", "text": "Late", "audience": each, "at": at}
            )
            events.append(Event(seq=seq, at=at, notification=notification))
        else:
            events.append(Event.model_validate({"seq": seq, "at": at, "change": each}))
    return events


def _outcome(message_id: str, outcome: str, reply_id: str | None = None) -> Outcome:
    return Outcome.model_validate(
        {"messageId": message_id, "outcome": outcome, "replyId": reply_id, "reason": "…", "at": NOW}
    )


def _attempt(message_id: str, second: float) -> Attempt:
    return Attempt(message_id, NOW + timedelta(seconds=second))


ANSWERED = _events("started", (GUEST, "g-1"), (AI, "r-1"))
BY_R1 = _outcome("g-1", "answered", "r-1")
TAKEN_OVER = _events("started", (GUEST, "g-1"), (AI, "r-1"), "escalated", "claimed", "returned")


def test_a_true_story_is_believed() -> None:
    events = _events(
        "started",
        (GUEST, "g-1"),
        (AI, "r-1"),
        (GUEST, "g-2"),
        (SYSTEM, "r-2"),
        "escalated",
        "everyone",
        "managers",
        "claimed",
        (STAFF, "s-1"),
        (GUEST, "g-3"),
        "everyone",
        "returned",
        (AI, "r-3"),
        "resolved",
        "reopened",
        (GUEST, "g-4"),
        "opted_out",
        "opted_in",
    )
    outcomes = [
        BY_R1,
        _outcome("g-2", "handed", "r-2"),
        _outcome("g-3", "answered", "r-3"),
        _outcome("g-4", "suppressed"),
    ]
    attempts = [_attempt("r-1", 4), _attempt("r-2", 7), _attempt("r-3", 14.5)]
    check_contact([Story(events, outcomes, attempts)], ["g-1", "g-2", "g-3", "g-4"])


@pytest.mark.parametrize(
    ("story", "wrong"),
    [
        pytest.param(Story(ANSWERED[1:], [BY_R1]), "not 1, 2, 3", id="a gap"),
        pytest.param(Story([ANSWERED[0], ANSWERED[2], ANSWERED[1]], [BY_R1]), "not 1, 2, 3", id="out of order"),
        pytest.param(
            Story([Event(seq=1, at=NOW, change="started"), Event(seq=2, at=NOW - timedelta(1), change="read")]),
            "told as older",
            id="time runs backwards",
        ),
        pytest.param(Story([Event(seq=1, at=NOW)]), "tells 0 things", id="nothing told"),
        pytest.param(Story(_events((GUEST, "g-1"), (GUEST, "g-1"))), "told more than once", id="a message twice"),
        pytest.param(Story(_events("returned")), "returned from new", id="off the diagram"),
        pytest.param(Story(_events("started", "resolved", "escalated")), "escalated from resolved", id="too late"),
        pytest.param(
            Story(_events((GUEST, "g-1"), "resolved"), [_outcome("g-1", "handed")]),
            "from new, though the guest had written",
            id="resolved before it began",
        ),
        pytest.param(Story(_events("started", "snoozed")), "snoozed while active", id="snoozed while the AI has it"),
        pytest.param(Story(ANSWERED), "no outcome", id="no outcome"),
        pytest.param(Story(ANSWERED, [BY_R1, BY_R1]), "more than one outcome", id="two outcomes"),
        pytest.param(
            Story(ANSWERED, [BY_R1, _outcome("g-9", "handed")]), "outcomes of nothing", id="a strange outcome"
        ),
        pytest.param(Story(ANSWERED, [_outcome("g-1", "answered", "r-9")]), "never told", id="a reply never told"),
        pytest.param(Story(ANSWERED, [_outcome("g-1", "answered")]), "answered by nothing", id="no reply"),
        pytest.param(Story(ANSWERED, [_outcome("g-1", "handed", "r-1")]), "handed, but ai", id="handed, yet answered"),
        pytest.param(
            Story(_events("started", (GUEST, "g-1"), (AI, "r-1", FAILED)), [BY_R1]),
            "its reply is failed",
            id="a lost reply",
        ),
        pytest.param(
            Story(_events("started", (AI, "r-1"), (GUEST, "g-1")), [BY_R1]), "before it came", id="a reply beforehand"
        ),
        pytest.param(
            Story(_events("started", (GUEST, "g-1"), (AI, "r-1"), (AI, "r-2")), [BY_R1]),
            "a second reply",
            id="two replies",
        ),
        pytest.param(
            Story(
                _events("started", (GUEST, "g-1"), (GUEST, "g-2"), (AI, "r-1"), (AI, "r-2")),
                [_outcome("g-1", "answered", "r-2"), _outcome("g-2", "answered", "r-1")],
            ),
            "out of order",
            id="replies that cross",
        ),
        pytest.param(
            Story(TAKEN_OVER, [BY_R1], [_attempt("r-1", 4.5)]), "while a person had", id="sent after a take-over"
        ),
        pytest.param(
            Story(
                _events("started", (GUEST, "g-1"), (AI, "r-1"), "escalated", "resolved"), [BY_R1], [_attempt("r-1", 9)]
            ),
            "while a person had",
            id="sent after a person resolved it",
        ),
        pytest.param(
            Story(_events("started", (GUEST, "g-1"), (AI, "r-1"), "opted_out"), [BY_R1], [_attempt("r-1", 9)]),
            "opted out",
            id="sent to who has opted out",
        ),
        pytest.param(Story(_events("escalated", "everyone", "everyone")), "reminded again", id="reminded twice"),
        pytest.param(Story(_events("escalated", "managers", "managers")), "breached again", id="breached twice"),
        pytest.param(Story(_events("escalated", "managers", "everyone")), "after the breach", id="reminded too late"),
        pytest.param(Story(_events("started", "managers")), "a promise while active", id="a promise of the AI's"),
    ],
)
def test_a_false_story_is_not(story: Story, wrong: str) -> None:
    with pytest.raises(AssertionError, match=wrong):
        check(story)


@pytest.mark.parametrize(
    ("received", "stories", "wrong"),
    [
        pytest.param(["g-1", "g-2"], 1, "never told", id="lost"),
        pytest.param(["g-1"], 2, "more than once", id="told in two conversations"),
    ],
)
def test_a_contacts_messages_are_each_told_once(received: Sequence[str], stories: int, wrong: str) -> None:
    with pytest.raises(AssertionError, match=wrong):
        check_contact([Story(ANSWERED, [BY_R1])] * stories, received)


def test_what_was_begun_before_the_acknowledgement_is_no_fault() -> None:
    attempts = [_attempt("r-1", 4.5)]
    check(Story(TAKEN_OVER, [BY_R1], attempts, acknowledged={4: NOW + timedelta(seconds=4.5)}))


def test_a_story_that_goes_on_may_owe_an_outcome() -> None:
    check(Story(ANSWERED[:2], complete=False))
