"""How a conversation moves: one thing at a time, and anything in any order."""

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, settings

from contracts.conversations import ConversationPolicy, ConversationState, Draft
from contracts.events import ContactFacts, Publication, SendResult
from contracts.messages import AIInfo, Author, Delivery, DeliveryState, Message
from contracts.names import BATCH_BYTES, CONTENT_LIMIT
from tests.any_interleaving import AnyInterleaving
from tests.driven import copied
from tests.records import ANA, BEN, NOW, a_command, a_message, a_record, a_reply, a_result, an_answer, arrived
from workflows import policy, transitions
from workflows.record import OUTCOMES, SEEN, STAFF_REPLIES, WINDOW, PendingSend, Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
QUEUED, SENT, FAILED, UNKNOWN = (
    DeliveryState.QUEUED,
    DeliveryState.SENT,
    DeliveryState.FAILED,
    DeliveryState.UNKNOWN,
)
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


def _happened(record: Record) -> list[str]:
    """What the outbox tells, in order."""
    return [event.change or (event.notification.kind if event.notification else "message") for event in record.outbox]


def _outcomes(record: Record) -> dict[str, tuple[str, str | None]]:
    return {outcome.message_id: (outcome.outcome, outcome.reply_id) for outcome in record.outcomes}


def _delivery(record: Record, message_id: str) -> Delivery:
    message = record.message(message_id)
    assert message is not None
    return message.delivery


def _answered(adapter: str = transitions.WEBCHAT) -> tuple[Record, PendingSend]:
    """A conversation whose first message the AI answers; the answer waits to be sent."""
    record = a_record(adapter=adapter)
    queue = arrived(record, a_message(adapter=adapter))
    transitions.conclude(record, queue, policy.after_answer(RULES, an_answer()), "r-1", NOW)
    return record, record.sends[0]


def _store(record: Record) -> Publication:
    publication = record.publication()
    record.stored(publication)
    return publication


# --- guests ------------------------------------------------------------------------------------------------------


def test_the_first_message_starts_the_conversation() -> None:
    record = a_record()
    queue = arrived(record, a_message(guest_name="Rosa"))
    assert record.state is ACTIVE
    assert _happened(record) == ["started", "message"]
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


def test_where_all_is_known_there_is_no_conversation() -> None:
    record = a_record(looked_up=False)
    arrived(record, a_message())
    transitions.looked_up(record, ContactFacts(known_message_ids=["g-1"]), NOW)
    assert (record.conversation.seq, record.queue, record.outcomes) == (0, [], [])


def test_a_message_to_a_person_is_handed_at_once() -> None:
    record = a_record(ESCALATED, assigned_to="ana")
    assert arrived(record, a_message()) == []
    assert _outcomes(record) == {"g-1": ("handed", None)}


def test_a_message_reopens_a_resolved_conversation() -> None:
    record = a_record(RESOLVED, assigned_to="ana")
    assert len(arrived(record, a_message())) == 1
    conversation = record.conversation
    assert (conversation.state, conversation.assigned_to, conversation.resolved_at) == (ACTIVE, None, None)
    assert _happened(record) == ["reopened", "message"]


def test_the_reply_goes_the_way_the_newest_message_came() -> None:
    record, pending = _answered()
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
    assert _happened(record) == ["started", "message", "escalated", "claimed", "message"]
    assert (message.author, message.author_name, message.delivery.state) == (Author.STAFF, "Ana", QUEUED)
    assert [send.message.id for send in record.sends] == ["s-1"]
    assert _outcomes(record) == {"g-1": ("handed", None)}


def test_a_reply_claims_what_is_nobodys() -> None:
    record = a_record(ESCALATED)
    transitions.reply(record, a_reply(by=BEN), NOW)
    assert record.conversation.assigned_to == "ben"
    assert _happened(record) == ["claimed", "message"]


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
    assert _outcomes(record) == {"g-1": ("handed", None), "g-2": ("handed", None)}
    assert "escalation" not in _happened(record)  # who claims needs no notification


def test_escalating_notifies_staff_with_the_reason() -> None:
    record = a_record(ACTIVE)
    transitions.escalate(record, a_command(reason="VIP"), NOW)
    assert _happened(record) == ["escalated", "escalation"]
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


def test_resolving_leaves_nothing_waiting() -> None:
    record = a_record()
    arrived(record, a_message())
    transitions.resolve(record, a_command(), LATER)
    conversation = record.conversation
    assert (conversation.state, conversation.resolved_at, conversation.unread) == (RESOLVED, LATER, 0)
    assert (record.queue, _outcomes(record)) == ([], {"g-1": ("handed", None)})


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
    assert earlier == [f"Question {number}" for number in range(transitions.AI_MESSAGES)]
    assert (request.context.state, request.context.message_count) == ("active", transitions.AI_MESSAGES + 1)


def test_a_confident_answer_is_said() -> None:
    record, pending = _answered()
    assert _said(record)[-1] == (Author.AI, "At seven.")
    assert (pending.in_reply_to, pending.received_at) == (["g-1"], NOW)
    assert pending.message.ai == AIInfo(confidence=0.9, intent="breakfast", sources=["breakfast.md"])
    assert _outcomes(record) == {"g-1": ("answered", "r-1")}
    assert (record.queue, record.conversation.current_intent) == ([], "breakfast")


def test_an_answer_settles_its_turn_and_leaves_what_came_meanwhile() -> None:
    record = a_record()
    turn = arrived(record, a_message("g-1", received_at=LATER), a_message("g-2"))
    arrived(record, a_message("g-3"))
    transitions.conclude(record, turn, policy.after_answer(RULES, an_answer()), "r-1", LATER)
    assert [arrival.message.id for arrival in record.queue] == ["g-3"]
    assert _outcomes(record) == {"g-1": ("answered", "r-1"), "g-2": ("answered", "r-1")}
    assert record.sends[0].received_at == NOW  # of the oldest


def test_doubt_hands_everything_over_and_keeps_the_draft() -> None:
    record = a_record()
    turn = arrived(record, a_message("g-1"))
    arrived(record, a_message("g-2"))
    decision = policy.after_answer(RULES, an_answer("At six?", confidence=0.2))
    transitions.conclude(record, turn, decision, "r-1", NOW)
    assert (record.state, record.conversation.assigned_to) == (ESCALATED, None)
    assert _said(record)[-1] == (Author.SYSTEM, RULES.handover_text)
    assert _outcomes(record) == {"g-1": ("handed", "r-1"), "g-2": ("handed", None)}
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
    assert _happened(record).count("ai_timeout") == 2
    assert _outcomes(record) == {"g-1": ("handed", "r-1"), "g-2": ("handed", "r-2")}


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


# --- sending -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("adapter", "held_until", "due"),
    [
        pytest.param(transitions.WEBCHAT, [None, None, None], 3, id="web chat takes all"),
        pytest.param("messages", [None, None, None], 1, id="a channel takes one"),
        pytest.param("messages", [NOW, None, None], 1, id="exactly when it may go again"),
        pytest.param("messages", [LATER, None, None], 0, id="one that waits holds back the rest"),
        pytest.param(transitions.WEBCHAT, [LATER, None, None], 0, id="on web chat too"),
        pytest.param(transitions.WEBCHAT, [None, LATER, None], 1, id="those before it go"),
    ],
)
def test_due_sends(adapter: str, held_until: list[datetime | None], due: int) -> None:
    record = a_record(ESCALATED, adapter=adapter)
    for number, until in enumerate(held_until):
        transitions.reply(record, a_reply(f"s-{number}"), NOW)
        record.sends[-1].not_before = until
    assert transitions.due_sends(record, NOW) == record.sends[:due]


def test_an_attempt_says_where_to_and_for_what() -> None:
    record, pending = _answered("messages")
    first, second = (transitions.attempt(record, pending, at) for at in (NOW, LATER))
    assert (first.attempt, second.attempt, pending.first_attempt_at) == (1, 2, NOW)
    assert first.message == second.message
    assert (first.message.recipient_id, first.message.channel_id) == ("visitor", "desk")
    assert (first.message.message_id, first.message.in_reply_to) == ("r-1", ["g-1"])


REFUSED = Delivery(state=FAILED, reason="opted out")
TAKEN_OVER = "A person took over before it was sent"


@pytest.mark.parametrize(
    ("state", "result", "delivery", "outcome", "still_waits", "state_after"),
    [
        pytest.param(ACTIVE, a_result("r-1"), Delivery(state=SENT), "answered", False, ACTIVE, id="sent"),
        pytest.param(
            ESCALATED, a_result("r-1"), Delivery(state=SENT), "answered", False, ESCALATED, id="sent, taken over since"
        ),
        pytest.param(
            ACTIVE, a_result("r-1", "retry"), Delivery(state=QUEUED), "answered", True, ACTIVE, id="tried again"
        ),
        pytest.param(
            ACTIVE, a_result("r-1", "failed", reason="opted out"), REFUSED, "handed", False, ESCALATED, id="refused"
        ),
        pytest.param(
            RESOLVED,
            a_result("r-1", "failed", reason="opted out"),
            REFUSED,
            "handed",
            False,
            RESOLVED,
            id="refused, resolved since",
        ),
        pytest.param(
            ESCALATED,
            a_result("r-1", "retry"),
            Delivery(state=FAILED, reason=TAKEN_OVER),
            "handed",
            False,
            ESCALATED,
            id="not sent, taken over since",
        ),
        pytest.param(
            ESCALATED,
            a_result("r-1", "retry", unsure=True),
            Delivery(state=UNKNOWN, reason=TAKEN_OVER),
            "handed",
            False,
            ESCALATED,
            id="perhaps sent, taken over since",
        ),
    ],
)
def test_after_an_attempt_to_send_an_answer(
    state: ConversationState,
    result: SendResult,
    delivery: Delivery,
    outcome: str,
    still_waits: bool,
    state_after: ConversationState,
) -> None:
    record, pending = _answered("messages")
    transitions.attempt(record, pending, NOW)
    record.conversation.state = state
    transitions.sent(record, pending, result, NOW)
    assert _delivery(record, "r-1") == delivery
    assert _outcomes(record)["g-1"][0] == outcome
    assert record.sends == ([pending] if still_waits else [])
    assert record.state is state_after


def test_a_withdrawn_answer_becomes_a_draft() -> None:
    record, pending = _answered()
    transitions.claim(record, a_command(ANA), NOW)
    assert not transitions.may_send(record, pending)
    transitions.withdraw(record, pending, NOW)
    assert record.conversation.draft is not None
    assert (record.conversation.draft.id, record.conversation.draft.content) == ("r-1-draft", "At seven.")
    assert (record.sends, _outcomes(record)) == ([], {"g-1": ("handed", None)})


@pytest.mark.parametrize("state", ConversationState)
def test_only_the_ai_needs_the_conversation_to_be_its_own(state: ConversationState) -> None:
    record, pending = _answered()
    record.conversation.state = state
    assert transitions.may_send(record, pending) is (state is ACTIVE)
    for author in (Author.SYSTEM, Author.STAFF):
        message = pending.message.model_copy(update={"author": author})
        assert transitions.may_send(record, PendingSend(message=message))


def test_staff_are_told_of_a_message_that_does_not_leave() -> None:
    record = a_record(ESCALATED, policy=ConversationPolicy(max_retries=0))
    transitions.reply(record, a_reply(), NOW)
    pending = record.sends[0]
    for _ in range(2):
        transitions.attempt(record, pending, NOW)
        transitions.sent(record, pending, a_result("s-1", "retry", reason="busy"), NOW)
    assert _happened(record).count("delivery_failed") == 1


# --- the outbox --------------------------------------------------------------------------------------------------


def test_storing_takes_away_what_was_published_and_no_more() -> None:
    record, _ = _answered()
    publication = copied(record.publication())
    arrived(record, a_message("g-2"))
    transitions.settle(record, ["g-1"], "handed", "The reply was not delivered", LATER)
    record.stored(publication)
    assert [event.message.id for event in record.outbox if event.message] == ["g-2"]
    assert [(outcome.message_id, outcome.outcome) for outcome in record.unstored_outcomes] == [("g-1", "handed")]
    assert not record.all_stored
    _store(record)
    assert record.all_stored


@pytest.mark.parametrize("character", ["x", "é", "早", "🛎"])
def test_a_batch_is_bounded_in_bytes(character: str) -> None:
    record = a_record(ESCALATED)
    arrived(record, *(a_message(f"g-{number}", character * 20_000) for number in range(20)))
    batches: list[int] = []
    while record.outbox:
        events = _store(record).events
        assert sum(len(event.model_dump_json().encode()) for event in events) <= BATCH_BYTES
        batches.append(len(events))
    assert (sum(batches), len(batches) > 1) == (20, True)


def test_an_event_larger_than_a_batch_goes_alone() -> None:
    record = a_record(ESCALATED)
    arrived(record, a_message("g-1", "x" * BATCH_BYTES), a_message("g-2"))
    assert [[event.seq for event in _store(record).events] for _ in range(2)] == [[1], [2]]


@pytest.mark.parametrize(
    ("published", "noted", "told"),
    [
        pytest.param(True, True, False, id="storage knows"),
        pytest.param(True, False, True, id="storage has the message and not this"),
        pytest.param(False, False, True, id="a publish on its way has the message and not this"),
    ],
)
def test_storage_is_told_how_far_a_message_got(published: bool, noted: bool, told: bool) -> None:
    record, pending = _answered()
    publication = record.publication()
    if published:
        record.stored(publication)
    transitions.sent(record, pending, a_result("r-1", noted=noted), NOW)
    record.stored(publication)
    assert [moved.message_id for moved in record.unstored_deliveries] == (["r-1"] if told else [])
    assert all(moved.delivery.state is SENT for moved in record.publication().deliveries)


def test_what_is_told_later_carries_the_newest_delivery() -> None:
    record, pending = _answered()
    transitions.sent(record, pending, a_result("r-1"), NOW)
    messages: list[Message] = [event.message for event in record.publication().events if event.message]
    assert [message.delivery.state for message in messages] == [DeliveryState.DELIVERED, SENT]
