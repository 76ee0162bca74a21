"""Every decision of a conversation, row by row: what is the case, and what follows."""

from datetime import UTC, datetime, timedelta

import pytest

from contracts.ai import AIResponse
from contracts.conversations import ConversationPolicy, ConversationState, Outcome
from contracts.events import SendResult
from contracts.problems import GatewayError, HeldByOther, Resolved, WrongState
from tests.records import (
    ANA,
    BEN,
    CONVERSATION_ID,
    NOW,
    a_message,
    a_record,
    a_reply,
    a_result,
    an_answer,
    arrived,
)
from workflows import policy, transitions
from workflows.policy import Fallback, Handover, SendVerdict
from workflows.policy import Reply as Answered
from workflows.record import PendingSend

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
COMMANDS: tuple[policy.CommandName, ...] = ("reply", "note", "claim", "escalate", "return", "resolve")
A_MOMENT = timedelta(microseconds=1)
MINUTE = timedelta(minutes=1)
RULES = ConversationPolicy()


# --- asking for a person -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("I want to speak to a person", id="speak to a person"),
        pytest.param("Can I talk to someone?", id="someone"),
        pytest.param("I'D LIKE TO SPEAK WITH YOUR MANAGER", id="in capitals"),
        pytest.param("Put me through to reception, please", id="put me through"),
        pytest.param("I want to talk to the front desk", id="front desk, two words"),
        pytest.param("Connect me with a colleague", id="connect me"),
        pytest.param("get me the manager", id="get me"),
        pytest.param("I need a human", id="need a human"),
        pytest.param("I'd prefer a real person", id="prefer"),
        pytest.param("Is there a live agent?", id="live agent"),
        pytest.param("Thanks. Now I want to talk to an operator", id="in a later sentence"),
        pytest.param("Quero falar com uma pessoa", id="Portuguese"),
        pytest.param("posso falar com a recepção?", id="Portuguese with accents"),
        pytest.param("Quiero hablar con un agente", id="Spanish"),
        pytest.param("hablar con la recepcion", id="Spanish without accents"),
        pytest.param("Je veux parler à une vraie personne", id="French"),
        pytest.param("parler a quelqu’un", id="French, curly apostrophe"),
        pytest.param("Ich möchte mit einem echten Menschen sprechen", id="German"),
        pytest.param("Kann ich mit der Rezeption reden?", id="German, reception"),
    ],
)
def test_asks_for_a_person(text: str) -> None:
    assert policy.asks_for_person(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("When is breakfast?", id="a question"),
        pytest.param("Is reception open all night?", id="about reception"),
        pytest.param("A room for one person", id="a person, not asked for"),
        pytest.param("I want towels. The staff was kind", id="across a full stop"),
        pytest.param("Do you have a personal trainer I can talk to?", id="part of a word"),
        pytest.param("Your staff is great", id="praise"),
        pytest.param("Wir sprechen Deutsch", id="German, no person"),
    ],
)
def test_does_not_ask_for_a_person(text: str) -> None:
    assert not policy.asks_for_person(text)


# --- commands ----------------------------------------------------------------------------------------------------

Refusal = type[GatewayError] | None


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("state", "holder", "refused"),
    [
        pytest.param(NEW, None, {"return": WrongState}, id="new"),
        pytest.param(ACTIVE, None, {"return": WrongState}, id="the AI's"),
        pytest.param(ESCALATED, None, {}, id="nobody's yet"),
        pytest.param(ESCALATED, "ana", {}, id="one's own"),
        pytest.param(ESCALATED, "ben", {"reply": HeldByOther, "claim": HeldByOther}, id="somebody else's"),
        pytest.param(RESOLVED, None, dict.fromkeys(COMMANDS, Resolved), id="resolved"),
        pytest.param(RESOLVED, "ana", dict.fromkeys(COMMANDS, Resolved), id="resolved, one's own"),
        pytest.param(RESOLVED, "ben", dict.fromkeys(COMMANDS, Resolved), id="resolved, somebody else's"),
    ],
)
def test_refusal(
    state: ConversationState,
    holder: str | None,
    refused: dict[policy.CommandName, type[GatewayError]],
    command: policy.CommandName,
) -> None:
    record = a_record(state, assigned_to=holder)
    before = record.model_copy(deep=True)
    refusal = policy.refusal(record, command, ANA.id, CONVERSATION_ID)
    assert (None if refusal is None else type(refusal)) == refused.get(command)
    assert record == before
    if refusal is not None:
        assert refusal.members["state"] == state
        assert refusal.members.get("assignedTo") == (holder if isinstance(refusal, HeldByOther) else None)


@pytest.mark.parametrize(
    ("state", "last", "command", "expected"),
    [
        pytest.param(ACTIVE, ("return", "ana"), "return", None, id="one's own return again"),
        pytest.param(ACTIVE, ("return", "ben"), "return", WrongState, id="another's return"),
        pytest.param(ACTIVE, ("claim", "ana"), "return", WrongState, id="a return after another command"),
        pytest.param(RESOLVED, ("resolve", "ana"), "resolve", None, id="one's own resolve again"),
        pytest.param(RESOLVED, ("resolve", "ben"), "resolve", Resolved, id="another's resolve"),
        pytest.param(RESOLVED, ("claim", "ana"), "claim", Resolved, id="one's own claim, resolved since"),
        pytest.param(RESOLVED, ("return", "ana"), "return", Resolved, id="one's own return, resolved since"),
    ],
)
def test_refusal_of_a_repeated_command(
    state: ConversationState, last: tuple[str, str], command: policy.CommandName, expected: Refusal
) -> None:
    record = a_record(state)
    record.last_command = last
    refusal = policy.refusal(record, command, ANA.id, CONVERSATION_ID)
    assert (None if refusal is None else type(refusal)) == expected


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("state", ConversationState)
def test_a_command_to_an_earlier_conversation_is_refused(state: ConversationState, command: policy.CommandName) -> None:
    record = a_record(state)
    record.last_command = (command, ANA.id)
    refusal = policy.refusal(record, command, ANA.id, "contact-00000000")
    assert isinstance(refusal, Resolved)
    assert (refusal.status, refusal.members["state"]) == (409, "resolved")


# --- turns -------------------------------------------------------------------------------------------------------

A_PERSON = "The guest asked for a person"
TOO_LATE = "The message reached us too late to be answered by the AI"


@pytest.mark.parametrize(
    ("messages", "reason"),
    [
        pytest.param([("When is breakfast?", timedelta(0))], None, id="a question"),
        pytest.param([("I want to speak to a person", timedelta(0))], A_PERSON, id="asks for a person"),
        pytest.param([("Get me the manager", timedelta(0)), ("Now", timedelta(0))], A_PERSON, id="asked earlier"),
        pytest.param([("Hi", RULES.message_age_limit)], None, id="exactly at the age limit"),
        pytest.param([("Hi", RULES.message_age_limit + A_MOMENT)], TOO_LATE, id="just over the age limit"),
        pytest.param([("Hi", timedelta(days=2)), ("Hi", timedelta(0))], TOO_LATE, id="one of two is late"),
        pytest.param([("I need a human", timedelta(days=2))], A_PERSON, id="late, and asks for a person"),
        pytest.param([("Hi", timedelta(days=-1))], None, id="from a clock that runs ahead"),
    ],
)
def test_before_asking(messages: list[tuple[str, timedelta]], reason: str | None) -> None:
    written = [a_message(f"g-{n}", text, sent_at=NOW - age) for n, (text, age) in enumerate(messages)]
    decision = policy.before_asking(RULES, arrived(a_record(), *written), NOW)
    assert decision == (None if reason is None else Handover(reason, RULES.handover_text))


SURE, AT_THRESHOLD, UNSURE = an_answer(confidence=1), an_answer(confidence=0.7), an_answer(confidence=0.699)
ASKS, EMPTY, BLANK = an_answer(should_escalate=True), an_answer(""), an_answer(" \n\t")
EMPTY_TEXT = Handover("The AI gave an empty answer", RULES.handover_text)


@pytest.mark.parametrize(
    ("response", "expected"),
    [
        pytest.param(SURE, Answered("At seven.", "Answered with confidence 1.00", SURE), id="sure"),
        pytest.param(
            AT_THRESHOLD,
            Answered("At seven.", "Answered with confidence 0.70", AT_THRESHOLD),
            id="exactly at the threshold",
        ),
        pytest.param(
            UNSURE,
            Handover("The AI is unsure (0.70, needs 0.70)", RULES.handover_text, UNSURE),
            id="just below the threshold",
        ),
        pytest.param(
            ASKS,
            Handover("The AI asks for a person (breakfast)", RULES.handover_text, ASKS),
            id="sure, but asks for a person",
        ),
        pytest.param(EMPTY, EMPTY_TEXT, id="nothing said"),
        pytest.param(BLANK, EMPTY_TEXT, id="blanks said"),
    ],
)
def test_after_answer(response: AIResponse, expected: policy.TurnDecision) -> None:
    assert policy.after_answer(RULES, response) == expected


@pytest.mark.parametrize(
    ("threshold", "confidence", "answers"),
    [
        pytest.param(0, 0, True, id="threshold 0 takes everything"),
        pytest.param(1, 1, True, id="threshold 1 takes certainty"),
        pytest.param(1, 0.999, False, id="threshold 1 takes nothing less"),
    ],
)
def test_after_answer_at_the_ends_of_the_scale(threshold: float, confidence: float, answers: bool) -> None:
    rules = ConversationPolicy(escalation_threshold=threshold)
    decision = policy.after_answer(rules, an_answer(confidence=confidence))
    assert isinstance(decision, Answered) is answers


@pytest.mark.parametrize(
    ("failures", "escalation"),
    [
        pytest.param(1, None, id="the first failure"),
        pytest.param(2, "The AI failed 2 times in a row", id="the second in a row"),
        pytest.param(3, "The AI failed 3 times in a row", id="the third in a row"),
    ],
)
def test_after_failure(failures: int, escalation: str | None) -> None:
    decision = policy.after_failure(RULES, failures, "no answer in time")
    assert decision == Fallback(
        RULES.fallback_text, "The AI failed: no answer in time", notice="ai_timeout", escalation=escalation
    )


# --- sending -----------------------------------------------------------------------------------------------------


def _pending(attempts: int, *, since: timedelta | None = timedelta(0), told_staff: bool = False) -> PendingSend:
    record = a_record(ESCALATED)
    pending = PendingSend(message=transitions.reply(record, a_reply(), NOW), attempts=attempts, told_staff=told_staff)
    pending.first_attempt_at = None if since is None else NOW - since
    return pending


def _again(seconds: float, *, tell_staff: bool = False) -> SendVerdict:
    return SendVerdict(again_at=NOW + timedelta(seconds=seconds), tell_staff=tell_staff)


def _given_up(attempts: int) -> SendVerdict:
    return SendVerdict(failed=f"given up after {attempts} tries: busy", tell_staff=True)


RETRY = a_result("s-1", "retry", reason="busy")
GIVES_UP = policy.SEND_GIVES_UP_AFTER


@pytest.mark.parametrize(
    ("pending", "result", "expected"),
    [
        pytest.param(_pending(1), a_result("s-1"), SendVerdict(done=True), id="sent"),
        pytest.param(_pending(9, since=GIVES_UP), a_result("s-1"), SendVerdict(done=True), id="sent at the last try"),
        pytest.param(
            _pending(1),
            a_result("s-1", "failed", reason="opted out"),
            SendVerdict(failed="opted out", tell_staff=True),
            id="refused for good",
        ),
        pytest.param(
            _pending(1),
            a_result("s-1", "failed"),
            SendVerdict(failed="the channel gave no reason", tell_staff=True),
            id="refused without a word",
        ),
        pytest.param(_pending(1), RETRY, _again(1), id="the first try"),
        pytest.param(_pending(1, since=None), RETRY, _again(1), id="a first try whose time is not known"),
        pytest.param(_pending(2), RETRY, _again(2), id="the second try"),
        pytest.param(_pending(3), RETRY, _again(4), id="as many tries as retries are quiet"),
        pytest.param(_pending(4), RETRY, _again(8, tell_staff=True), id="one try more is told"),
        pytest.param(_pending(5, told_staff=True), RETRY, _again(16), id="told once only"),
        pytest.param(_pending(6, told_staff=True), RETRY, _again(32), id="just below the longest wait"),
        pytest.param(_pending(7, told_staff=True), RETRY, _again(60), id="the longest wait"),
        pytest.param(_pending(999, told_staff=True), RETRY, _again(60), id="very many tries"),
        pytest.param(_pending(7, since=GIVES_UP - A_MOMENT), RETRY, _again(60, tell_staff=True), id="just in time"),
        pytest.param(_pending(7, since=GIVES_UP), RETRY, _given_up(7), id="exactly when it gives up"),
        pytest.param(_pending(7, since=GIVES_UP, told_staff=True), RETRY, _given_up(7), id="giving up is told again"),
        pytest.param(_pending(3), a_result("s-1", "retry", retry_after=1), _again(4), id="asks for less than we wait"),
        pytest.param(_pending(3), a_result("s-1", "retry", retry_after=5), _again(5), id="asks for more"),
        pytest.param(_pending(3), a_result("s-1", "retry", retry_after=0), _again(4), id="asks for nothing"),
        pytest.param(_pending(3), a_result("s-1", "retry", retry_after=86400), _again(900), id="asks for a day"),
        pytest.param(_pending(3), a_result("s-1", "retry", retry_after=1e300), _again(900), id="asks for ever"),
        pytest.param(
            _pending(3), a_result("s-1", "retry", retry_after=float("inf")), _again(900), id="asks for infinity"
        ),
    ],
)
def test_after_attempt(pending: PendingSend, result: SendResult, expected: SendVerdict) -> None:
    assert policy.after_attempt(pending, result, RULES, NOW) == expected


@pytest.mark.parametrize(
    ("failures", "seconds"),
    [
        pytest.param(1, 1, id="the first failure"),
        pytest.param(2, 2, id="the second"),
        pytest.param(5, 16, id="the last below the longest"),
        pytest.param(6, 30, id="the longest"),
        pytest.param(10_000, 30, id="an outage of days"),
    ],
)
def test_storage_backoff(failures: int, seconds: int) -> None:
    assert policy.storage_backoff(failures) == timedelta(seconds=seconds)


# --- time --------------------------------------------------------------------------------------------------------

DAY = timedelta(hours=24)
LAST = NOW + timedelta(hours=1)


@pytest.mark.parametrize(
    ("state", "last_message_at", "resolved_at", "expected"),
    [
        pytest.param(NEW, None, None, None, id="new"),
        pytest.param(ACTIVE, None, None, NOW + DAY, id="active, nothing said"),
        pytest.param(ACTIVE, LAST, None, LAST + DAY, id="active, something said"),
        pytest.param(ESCALATED, LAST, None, None, id="a person's: waits for them"),
        pytest.param(RESOLVED, LAST, LAST, LAST + 5 * MINUTE, id="resolved: its window"),
        pytest.param(RESOLVED, LAST, None, NOW + 5 * MINUTE, id="resolved, nobody knows when"),
    ],
)
def test_next_deadline(
    state: ConversationState,
    last_message_at: datetime | None,
    resolved_at: datetime | None,
    expected: datetime | None,
) -> None:
    record = a_record(state, policy=ConversationPolicy(resolved_window=5 * MINUTE))
    record.conversation.last_message_at = last_message_at
    record.conversation.resolved_at = resolved_at
    assert policy.next_deadline(record) == expected


@pytest.mark.parametrize(
    ("state", "after", "expected"),
    [
        pytest.param(ACTIVE, DAY - A_MOMENT, False, id="just before"),
        pytest.param(ACTIVE, DAY, True, id="exactly at the time-out"),
        pytest.param(ACTIVE, 2 * DAY, True, id="long after"),
        pytest.param(NEW, 2 * DAY, False, id="a new one does not close"),
        pytest.param(ESCALATED, 2 * DAY, False, id="a person's does not close"),
        pytest.param(RESOLVED, 2 * DAY, False, id="a resolved one is closed already"),
    ],
)
def test_is_idle(state: ConversationState, after: timedelta, expected: bool) -> None:
    assert policy.is_idle(a_record(state), NOW + after) is expected


@pytest.mark.parametrize(
    ("window", "after", "expected"),
    [
        pytest.param(timedelta(0), timedelta(0), True, id="no window"),
        pytest.param(MINUTE, MINUTE - A_MOMENT, False, id="just before its end"),
        pytest.param(MINUTE, MINUTE, True, id="exactly at its end"),
    ],
)
def test_window_is_over(window: timedelta, after: timedelta, expected: bool) -> None:
    record = a_record(RESOLVED, policy=ConversationPolicy(resolved_window=window))
    assert policy.window_is_over(record, NOW + after) is expected


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("debounce", "written_at", "now", "expected"),
    [
        pytest.param(2, [], 0, 0, id="nobody waits"),
        pytest.param(0, [0], 0, 0, id="no debounce"),
        pytest.param(2, [0], 0, 2, id="just written"),
        pytest.param(2, [0], 1, 1, id="half over"),
        pytest.param(2, [0], 2, 0, id="exactly over"),
        pytest.param(2, [0], 3, -1, id="over since a second"),
        pytest.param(2, [0, 1], 1, 2, id="a second message begins it anew"),
        pytest.param(2, [0, 2, 4, 6, 8], 8, 2, id="the last full one"),
        pytest.param(2, [0, 2, 4, 6, 8, 9], 9, 1, id="cut at five since the oldest"),
        pytest.param(2, [0, 2, 4, 6, 8, 10], 10, 0, id="not for ever"),
    ],
)
def test_debounce_left(debounce: int, written_at: list[int], now: int, expected: int) -> None:
    record = a_record(policy=ConversationPolicy(debounce=debounce * SECOND))
    for at in written_at:
        arrived(record, a_message(f"g-{at}"), now=NOW + at * SECOND)
    assert policy.debounce_left(record, NOW + now * SECOND) == expected * SECOND


# --- details -----------------------------------------------------------------------------------------------------


def test_details_of_a_new_conversation() -> None:
    assert policy.details(a_record()).splitlines() == [
        "**NEW** · hotel · webchat",
        f"- Conversation: `{CONVERSATION_ID}`",
        "- Owner: nobody",
    ]


def test_details_of_a_conversation_that_waits() -> None:
    record = a_record()
    arrived(record, a_message())
    assert policy.details(record).splitlines()[2:] == [
        "- Owner: the AI",
        "- Waits for the AI: 1 message(s)",
        "- Not stored yet: 2 event(s)",
        "- Closes: 2026-03-02 12:00 UTC, if nothing happens",
    ]


def test_details_of_a_conversation_with_a_person() -> None:
    record = a_record()
    arrived(record, a_message())
    record.escalate("Doubt", NOW)
    assert "- Owner: nobody yet" in policy.details(record)
    transitions.reply(record, a_reply(by=BEN), NOW)
    transitions.attempt(record, record.sends[0], NOW)
    assert policy.details(record).splitlines()[2:] == [
        "- Owner: ben",
        "- Escalated: 2026-03-01 12:00 UTC",
        "- Waits to be sent: 1 message(s), 1 attempt(s)",
        f"- Not stored yet: {record.conversation.seq} event(s)",
    ]


def test_details_of_a_stored_conversation_say_nothing_of_storage() -> None:
    record = a_record(RESOLVED)
    record.settle(Outcome(message_id="g-1", outcome="handed", reason="Doubt", at=NOW))
    assert "- Not stored yet: 0 event(s)" in policy.details(record)
    record.stored(record.publication())
    assert policy.details(record).splitlines()[2:] == [
        "- Owner: nobody",
        "- Closes: 2026-03-01 12:00 UTC, if nothing happens",
    ]


def test_details_hold_nothing_of_the_guest() -> None:
    record = a_record()
    record.route.sender_id = "+351900000000"
    arrived(record, a_message(content="A secret wish", guest_name="Rosa Mota"))
    record.escalate("Doubt", datetime(2026, 3, 1, tzinfo=UTC))
    shown = policy.details(record)
    assert not any(word in shown for word in ("secret", "Rosa", "Mota", "351900000000", "visitor"))
