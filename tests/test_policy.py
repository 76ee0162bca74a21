"""Every decision of a conversation, row by row: what is the case, and what follows."""

from datetime import timedelta

import pytest

from contracts.ai import AIResponse
from contracts.conversations import ConversationState
from contracts.problems import GatewayError, HeldByOther, Resolved, WrongState
from contracts.rules import ConversationPolicy
from tests.records import (
    ANA,
    CONVERSATION_ID,
    NOW,
    a_message,
    a_record,
    an_answer,
    arrived,
)
from workflows import policy
from workflows.policy import Fallback, Handover
from workflows.policy import Reply as Answered

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
        pytest.param("I need to thank the staff", id="a need, but of another kind"),
        pytest.param("I want to book a table for someone", id="for somebody else"),
        pytest.param("I need to know when the reception opens", id="about opening hours"),
    ],
)
def test_does_not_ask_for_a_person(text: str) -> None:
    assert not policy.asks_for_person(text)


# --- commands ----------------------------------------------------------------------------------------------------

Refusal = type[GatewayError] | None
OVER: dict[policy.CommandName, type[GatewayError]] = {each: Resolved for each in COMMANDS if each != "note"}


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("state", "holder", "refused"),
    [
        pytest.param(NEW, None, {"return": WrongState}, id="new"),
        pytest.param(ACTIVE, None, {"return": WrongState}, id="the AI's"),
        pytest.param(ESCALATED, None, {}, id="nobody's yet"),
        pytest.param(ESCALATED, "ana", {}, id="one's own"),
        pytest.param(ESCALATED, "ben", {"reply": HeldByOther, "claim": HeldByOther}, id="somebody else's"),
        pytest.param(RESOLVED, None, OVER, id="resolved"),
        pytest.param(RESOLVED, "ana", OVER, id="resolved, one's own"),
        pytest.param(RESOLVED, "ben", OVER, id="resolved, somebody else's"),
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
