"""How a conversation moves: one thing at a time, and anything in any order."""

from datetime import timedelta

from hypothesis import HealthCheck, settings

from contracts.conversations import ConversationState, Draft
from contracts.events import ContactFacts
from contracts.messages import AIInfo, Author, DeliveryState
from contracts.names import CONTENT_LIMIT
from contracts.rules import ConversationPolicy
from tests.any_interleaving import AnyInterleaving
from tests.driven import copied
from tests.records import (
    BEN,
    NOW,
    a_command,
    a_message,
    a_record,
    a_reply,
    an_answer,
    answered,
    arrived,
    happened,
    outcomes,
)
from workflows import policy, transitions
from workflows.record import OUTCOMES, SEEN, STAFF_REPLIES, WINDOW, Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
QUEUED, SENT = DeliveryState.QUEUED, DeliveryState.SENT
LATER = NOW + timedelta(minutes=1)
RULES = ConversationPolicy()

TestAnyInterleaving = AnyInterleaving.TestCase
TestAnyInterleaving.settings = settings(
    max_examples=250,
    stateful_step_count=40,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)


def _said(record: Record) -> list[tuple[Author, str]]:
    return [(message.author, message.content) for message in record.window]


# --- guests ------------------------------------------------------------------------------------------------------


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


# --- staff -------------------------------------------------------------------------------------------------------


def test_a_reply_takes_an_ai_conversation_over() -> None:
    record = a_record()
    arrived(record, a_message())
    record.conversation.draft = Draft(id="d", content="At seven", ai=AIInfo(confidence=0.3, intent="breakfast"))
    message = transitions.reply(record, a_reply(), NOW)
    conversation = record.conversation
    assert (conversation.state, conversation.assigned_to) == (ESCALATED, "ana")
    assert (conversation.unread, conversation.draft) == (0, None)
    assert happened(record) == ["started", "message", "escalated", "claimed", "message"]
    assert (message.author, message.author_name, message.delivery.state) == (Author.STAFF, "Ana", QUEUED)
    assert [send.message.id for send in record.sends] == ["s-1"]
    assert outcomes(record) == {"g-1": ("handed", None)}


def test_a_reply_claims_what_is_nobodys() -> None:
    record = a_record(ESCALATED)
    transitions.reply(record, a_reply(by=BEN), NOW)
    assert record.conversation.assigned_to == "ben"
    assert happened(record) == ["claimed", "message"]


def test_a_note_changes_nothing() -> None:
    record = a_record()
    arrived(record, a_message())
    before = copied(record)
    note = transitions.reply(record, a_reply(private=True), LATER)
    assert (note.private, note.delivery.state) == (True, SENT)
    assert record.conversation == before.conversation.model_copy(update={"seq": note.seq})
    assert (record.queue, record.sends, record.outcomes) == (before.queue, [], [])
    assert record.snapshot().last_message == before.window[-1]


def test_a_reply_repeated_after_it_left_the_window_is_the_same_message() -> None:
    record = a_record(ESCALATED)
    first = transitions.reply(record, a_reply(), NOW)
    for number in range(WINDOW):
        transitions.reply(record, a_reply(f"n-{number}", private=True), NOW)
    assert record.message("s-1") is None
    before = copied(record)
    again = transitions.reply(record, a_reply(), LATER)
    assert (again.id, again.seq, again.content) == (first.id, first.seq, first.content)
    assert record == before


def test_a_claim_hands_over_what_waits_for_the_ai() -> None:
    record = a_record()
    arrived(record, a_message("g-1"), a_message("g-2"))
    transitions.claim(record, a_command(), NOW)
    assert record.queue == []
    assert outcomes(record) == {"g-1": ("handed", None), "g-2": ("handed", None)}
    assert "escalation" not in happened(record)  # who claims needs no notification


def test_escalating_notifies_staff_with_the_reason() -> None:
    record = a_record(ACTIVE)
    transitions.escalate(record, a_command(reason="VIP"), NOW)
    assert happened(record) == ["escalated", "escalation"]
    assert record.conversation.escalation is not None
    assert record.conversation.escalation.reason == "VIP"
    assert record.conversation.assigned_to is None


def test_returning_gives_the_ai_a_clean_start() -> None:
    record = a_record(ESCALATED, assigned_to="ana")
    record.failures = 2
    record.conversation.draft = Draft(id="d", content="At seven", ai=AIInfo(confidence=0.3, intent="breakfast"))
    transitions.return_to_ai(record, a_command(), NOW)
    conversation = record.conversation
    assert (conversation.state, conversation.assigned_to, conversation.escalation) == (ACTIVE, None, None)
    assert (conversation.draft, record.failures) == (None, 0)


def test_resolving() -> None:
    record = a_record(ESCALATED, assigned_to="ana")
    arrived(record, a_message())
    transitions.resolve(record, a_command(), LATER)
    conversation = record.conversation
    assert (conversation.state, conversation.resolved_at, conversation.unread) == (RESOLVED, LATER, 0)
    assert happened(record) == ["message", "resolved"]


def test_who_waits_for_an_answer_opens_a_resolved_conversation_again() -> None:
    record = a_record()
    arrived(record, a_message())
    transitions.resolve(record, a_command(), LATER)
    assert (record.state, record.conversation.resolved_at) == (ACTIVE, None)
    assert [arrival.message.id for arrival in record.queue] == ["g-1"]
    assert happened(record) == ["started", "message", "resolved", "reopened"]


# --- the AI ------------------------------------------------------------------------------------------------------


def test_a_request_holds_the_turn_and_a_little_before_it() -> None:
    record = a_record()
    for number in range(transitions.AI_MESSAGES):
        arrived(record, a_message(f"g-{number}", f"Question {number}"))
    transitions.reply(record, a_reply(private=True), NOW)
    queue = arrived(record, a_message("g-9", "x" * (CONTENT_LIMIT + 1)))[-2:]
    request = transitions.ai_request(record, queue)
    assert (request.message.id, len(request.message.content)) == ("g-9", CONTENT_LIMIT)
    assert request.context.turn_message_ids == [arrival.message.id for arrival in queue]
    earlier = [message.content for message in request.context.messages]
    assert earlier == [f"Question {number}" for number in range(1, transitions.AI_MESSAGES)]
    assert (request.context.state, request.context.message_count) == ("active", transitions.AI_MESSAGES + 1)


def test_a_confident_answer_is_said() -> None:
    record, pending = answered()
    assert _said(record)[-1] == (Author.AI, "At seven.")
    assert (pending.in_reply_to, pending.received_at) == (["g-1"], NOW)
    assert pending.message.ai == AIInfo(confidence=0.9, intent="breakfast", sources=["breakfast.md"])
    assert outcomes(record) == {"g-1": ("answered", "r-1")}
    assert (record.queue, record.conversation.current_intent) == ([], "breakfast")


def test_an_answer_settles_its_turn_and_leaves_what_came_meanwhile() -> None:
    record = a_record()
    turn = arrived(record, a_message("g-1", received_at=LATER), a_message("g-2"))
    arrived(record, a_message("g-3"))
    transitions.conclude(record, turn, policy.after_answer(RULES, an_answer()), "r-1", LATER)
    assert [arrival.message.id for arrival in record.queue] == ["g-3"]
    assert outcomes(record) == {"g-1": ("answered", "r-1"), "g-2": ("answered", "r-1")}
    assert record.sends[0].received_at == NOW  # of the oldest


def test_doubt_hands_everything_over_and_keeps_the_draft() -> None:
    record = a_record()
    turn = arrived(record, a_message("g-1"))
    arrived(record, a_message("g-2"))
    decision = policy.after_answer(RULES, an_answer("At six?", confidence=0.2))
    transitions.conclude(record, turn, decision, "r-1", NOW)
    assert (record.state, record.conversation.assigned_to) == (ESCALATED, None)
    assert _said(record)[-1] == (Author.SYSTEM, RULES.handover_text)
    assert outcomes(record) == {"g-1": ("handed", "r-1"), "g-2": ("handed", None)}
    assert record.conversation.draft is not None
    assert (record.conversation.draft.id, record.conversation.draft.content) == ("r-1-draft", "At six?")


def test_two_failures_in_a_row_bring_a_person() -> None:
    record = a_record()
    for number, state in ((1, ACTIVE), (2, ESCALATED)):
        turn = arrived(record, a_message(f"g-{number}"))
        failure = policy.after_failure(RULES, record.failures + 1, "no answer in time")
        transitions.conclude(record, turn, failure, f"r-{number}", NOW)
        assert (record.failures, record.state, record.conversation.needs_review) == (number, state, True)
        assert _said(record)[-1] == (Author.SYSTEM, RULES.fallback_text)
    assert happened(record).count("ai_timeout") == 2
    assert outcomes(record) == {"g-1": ("handed", "r-1"), "g-2": ("handed", "r-2")}


def test_an_answer_between_two_failures_begins_the_count_anew() -> None:
    record = a_record()
    for number, decision in enumerate(
        (
            policy.after_failure(RULES, 1, "x"),
            policy.after_answer(RULES, an_answer()),
            policy.after_failure(RULES, 1, "x"),
        )
    ):
        transitions.conclude(record, arrived(record, a_message(f"g-{number}")), decision, f"r-{number}", NOW)
    assert (record.failures, record.state) == (1, ACTIVE)


def test_blank_words_are_no_draft() -> None:
    record = a_record(ESCALATED)
    transitions.keep_as_draft(record, an_answer(" \n"), "d-1", NOW)
    assert (record.conversation.draft, record.outbox) == (None, [])
