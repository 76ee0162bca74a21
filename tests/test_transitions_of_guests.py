"""Guest messages on their way into a conversation."""

from datetime import time, timedelta

import pytest

from contracts.conversations import ConversationState
from contracts.events import ContactFacts
from contracts.messages import Author, DeliveryState
from contracts.names import CONTENT_LIMIT
from contracts.rules import BusinessHours, ConversationPolicy, Period
from tests.records import NOW, a_command, a_message, a_record, a_reply, answered, arrived, happened, outcomes
from workflows import transitions
from workflows.record import OUTCOMES, SEEN, STAFF_REPLIES, WINDOW, Record
from workflows.transitions.guests import OPTED_OUT

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
LATER = NOW + timedelta(minutes=1)


def _said(record: Record) -> list[tuple[Author, str]]:
    return [(message.author, message.content) for message in record.window]


def test_the_first_message_starts_the_conversation() -> None:
    record = a_record()
    queue = arrived(record, a_message(guest_name="Rosa"))
    assert record.state is ACTIVE
    assert happened(record) == ["started", "message"]
    assert [arrival.message.id for arrival in queue] == ["g-1"]
    conversation = record.conversation
    assert (conversation.message_count, conversation.unread, conversation.guest_name) == (1, 1, "Rosa")
    assert record.profile.name == "Rosa"


def test_messages_wait_for_the_look_up() -> None:
    record = a_record(looked_up=False)
    assert arrived(record, a_message("g-1"), a_message("g-2"), a_message("g-1")) == []
    assert record.state is NEW
    transitions.looked_up(record, None, NOW)
    assert [arrival.message.id for arrival in record.queue] == ["g-1", "g-2"]
    assert record.unchecked == []


def test_a_look_up_tells_who_writes_and_what_was_said_before() -> None:
    record, earlier = a_record(looked_up=False), a_record(conversation_id="contact-00000000")
    arrived(earlier, a_message("g-0", "Hello"))
    arrived(record, a_message("g-0", "Hello"), a_message("g-1", "Hello again"))
    facts = ContactFacts(
        known_message_ids=["g-0"],
        guest_id="rosa",
        guest_name="Rosa",
        previous_conversation_id="contact-00000000",
        previous_messages=earlier.window,
    )
    transitions.looked_up(record, facts, NOW)
    assert [arrival.message.id for arrival in record.queue] == ["g-1"]
    assert _said(record) == [(Author.GUEST, "Hello"), (Author.GUEST, "Hello again")]
    conversation = record.conversation
    assert (conversation.guest_id, conversation.guest_name) == ("rosa", "Rosa")
    assert (record.profile.id, record.profile.name) == ("rosa", "Rosa")
    assert conversation.previous_conversation_id == "contact-00000000"


def test_a_look_up_keeps_the_window_bounded() -> None:
    record, earlier = a_record(looked_up=False), a_record(conversation_id="contact-00000000")
    arrived(record, a_message())
    arrived(earlier, a_message())
    for number in range(WINDOW):
        transitions.reply(record, a_reply(f"n-{number}", private=True), NOW)
    facts = ContactFacts(known_message_ids=["g-1"], previous_messages=earlier.window)
    transitions.looked_up(record, facts, NOW)
    assert [message.id for message in record.window] == [f"n-{number}" for number in range(WINDOW)]


def test_where_all_is_known_there_is_no_conversation() -> None:
    record = a_record(looked_up=False)
    arrived(record, a_message())
    transitions.looked_up(record, ContactFacts(known_message_ids=["g-1"]), NOW)
    assert (record.conversation.seq, record.queue, record.outcomes) == (0, [], [])


def test_a_message_to_a_person_is_handed_at_once() -> None:
    record = a_record(ESCALATED, assigned_to="ana")
    assert arrived(record, a_message()) == []
    assert outcomes(record) == {"g-1": ("handed", None)}


def test_a_message_reopens_a_resolved_conversation() -> None:
    record = a_record(RESOLVED, assigned_to="ana")
    assert len(arrived(record, a_message())) == 1
    conversation = record.conversation
    assert (conversation.state, conversation.assigned_to, conversation.resolved_at) == (ACTIVE, None, None)
    assert happened(record) == ["reopened", "message"]


def test_the_reply_goes_the_way_the_newest_message_came() -> None:
    record, pending = answered()
    arrived(record, a_message("g-2", adapter="messages"))
    assert transitions.attempt(record, pending, NOW).adapter == "messages"


def test_the_window_is_cut_and_the_outbox_is_whole() -> None:
    record = a_record()
    arrived(record, a_message(content="x" * (CONTENT_LIMIT + 1)))
    assert len(record.window[0].content) == CONTENT_LIMIT
    assert record.outbox[-1].message is not None
    assert len(record.outbox[-1].message.content) == CONTENT_LIMIT + 1


def test_what_is_remembered_is_bounded() -> None:
    record = a_record(ESCALATED)
    arrived(record, *(a_message(f"g-{number}") for number in range(SEEN + 1)))
    assert (len(record.window), len(record.seen), len(record.outcomes)) == (WINDOW, SEEN, OUTCOMES)
    assert not record.remembers("g-0")
    assert all(record.remembers(f"g-{number}") for number in range(1, SEEN + 1))
    assert len(record.unstored_outcomes) == SEEN + 1
    for number in range(STAFF_REPLIES + 1):
        transitions.reply(record, a_reply(f"s-{number}"), NOW)
    assert list(record.staff_replies) == [f"s-{number}" for number in range(1, STAFF_REPLIES + 1)]


def test_a_message_to_nobody_is_kept_and_settled() -> None:
    record = a_record()
    assert arrived(record, a_message(suppressed="Automatic mail")) == []
    assert (record.state, record.conversation.unread) == (NEW, 0)
    assert happened(record) == ["message"]
    (outcome,) = record.outcomes
    assert (outcome.outcome, outcome.reason) == ("suppressed", "Automatic mail")


def test_a_message_to_nobody_opens_nothing_again() -> None:
    record = a_record(RESOLVED)
    arrived(record, a_message(suppressed="Automatic mail"))
    assert record.state is RESOLVED


def test_opting_out_takes_back_all_that_is_owed() -> None:
    record, _ = answered()
    arrived(record, a_message("g-2"))
    arrived(record, a_message("g-3", "STOP", opts="out"))
    assert record.opted_out
    assert happened(record)[-2:] == ["opted_out", "message"]
    assert (record.queue, record.sends) == ([], [])
    assert outcomes(record) == dict.fromkeys(("g-1", "g-2", "g-3"), ("suppressed", None))
    reasons = {each.message_id: each.reason for each in record.outcomes}
    assert reasons == {"g-1": OPTED_OUT, "g-2": OPTED_OUT, "g-3": "The guest opted out of this channel"}
    told = record.message("r-1")
    assert told is not None
    assert (told.delivery.state, told.delivery.reason) == (DeliveryState.FAILED, OPTED_OUT)


def test_opting_out_ends_a_wait_and_leaves_nothing_to_the_ai() -> None:
    record = a_record(ESCALATED)
    arrived(record, a_message())
    before = record.model_copy()
    arrived(record, a_message("g-2", "STOP", opts="out"))
    assert before.wait is not None
    assert (record.wait, record.conversation.response_due_at, record.unread_by_ai) == (None, None, [])
    transitions.return_to_ai(record, a_command(), NOW)
    assert record.queue == []


def test_who_has_opted_out_is_answered_by_nobody_until_they_opt_in() -> None:
    record = a_record()
    arrived(record, a_message("g-1", "STOP", opts="out"), a_message("g-2", "STOP", opts="out"), a_message("g-3"))
    assert [each.reason for each in record.outcomes][1:] == ["The guest opted out of this channel", OPTED_OUT]
    assert happened(record) == ["opted_out", "message", "message", "message"]
    queue = arrived(record, a_message("g-4", "START", opts="in"), a_message("g-5"))
    assert [arrival.message.id for arrival in queue] == ["g-5"]
    assert happened(record)[4:] == ["opted_in", "message", "started", "message"]
    assert record.outcomes[-1].reason == "The guest opted in to this channel again"


def test_storage_knows_who_has_opted_out() -> None:
    record = a_record(looked_up=False)
    arrived(record, a_message())
    transitions.looked_up(record, ContactFacts(opted_out=True), NOW)
    assert (record.queue, outcomes(record)) == ([], {"g-1": ("suppressed", None)})


@pytest.mark.parametrize(
    ("text", "priority", "told"),
    [
        pytest.param("When is breakfast?", "normal", ["message"], id="a question"),
        pytest.param("I want a refund", "normal", ["message"], id="a topic that people answer"),
        pytest.param("My wife is bleeding", "urgent", ["message", "priority", "escalation"], id="an emergency"),
    ],
)
def test_an_emergency_is_urgent_with_a_person_too(text: str, priority: str, told: list[str]) -> None:
    record = a_record(ESCALATED, assigned_to="ana")
    arrived(record, a_message(content=text))
    assert (record.conversation.priority, happened(record)) == (priority, told)
    arrived(record, a_message("g-2", text))
    assert happened(record) == [*told, "message"], "told once"


def test_a_message_ends_a_snooze_and_begins_a_wait() -> None:
    record = a_record(ESCALATED, assigned_to="ana")
    record.conversation.snoozed_until = LATER
    arrived(record, a_message())
    assert happened(record) == ["message", "woken"]
    assert record.snapshot().snoozed_until is None
    assert record.wait is not None
    assert (record.wait.since, record.wait.first) == (NOW, True)
    assert record.conversation.response_due_at == record.wait.due_at == NOW + timedelta(minutes=15)


def test_the_guest_learns_once_when_somebody_is_back() -> None:
    hours = BusinessHours(weekly={"monday": [Period(opens=time(9), closes=time(17))]})
    record = a_record(ESCALATED, policy=ConversationPolicy(hours=hours))
    arrived(record, a_message("g-1"), a_message("g-2"))
    said = "Our team is away at the moment and will reply from Monday, 02 March, 09:00."
    assert _said(record)[1] == (Author.SYSTEM, said)
    (send,) = record.sends
    assert (send.in_reply_to, send.received_at) == (["g-1"], NOW)
    assert outcomes(record) == {"g-1": ("handed", send.message.id), "g-2": ("handed", None)}
