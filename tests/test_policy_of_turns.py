"""What becomes of a turn, row by row: what is the case, and what follows."""

from datetime import timedelta

import pytest

from contracts.ai import AIResponse
from contracts.guests import Autonomy, GuestProfile
from contracts.rules import ConversationPolicy
from tests.records import NOW, a_message, a_record, an_answer, arrived
from workflows import policy
from workflows.policy import Answered, Fallback, Handover
from workflows.topics import fingerprint

A_MOMENT = timedelta(microseconds=1)
RULES = ConversationPolicy()

A_PERSON = "The guest asked for a person"
TOO_LATE = "The message arrived too late for the AI to answer it"
A_REFUND = "The guest is writing about a refund, which staff must answer"
A_COMPLAINT = "The guest is writing about a complaint, which staff must answer"
A_PRICE = "The guest is writing about a special price, which staff must answer"


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
        pytest.param([("I want a refund", timedelta(0))], A_REFUND, id="a topic that people answer"),
        pytest.param([("Hi", timedelta(0)), ("This is unacceptable", timedelta(0))], A_COMPLAINT, id="two at once"),
        pytest.param([("I want my money back, get me the manager", timedelta(0))], A_PERSON, id="a person before all"),
        pytest.param([("Any discount?", timedelta(days=2))], A_PRICE, id="late, and a topic that people answer"),
    ],
)
def test_before_asking(messages: list[tuple[str, timedelta]], reason: str | None) -> None:
    written = [a_message(f"g-{n}", text, sent_at=NOW - age) for n, (text, age) in enumerate(messages)]
    decision = policy.before_asking(RULES, arrived(a_record(), *written), NOW)
    assert decision == (None if reason is None else Handover(reason, RULES.handover_text))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("My husband is bleeding and I want to talk to a person", "a medical emergency", id="medical"),
        pytest.param("There is a fire in my room", "a safety emergency", id="safety"),
        pytest.param("I smell gas, and someone is unconscious", "a medical emergency", id="both"),
    ],
)
def test_an_emergency_comes_before_all_else(text: str, words: str) -> None:
    decision = policy.before_asking(RULES, arrived(a_record(), a_message(content=text)), NOW)
    assert decision == Handover(f"The guest may be writing about {words}", RULES.emergency_text, urgent=True)


def test_topics_are_the_hotels_to_choose() -> None:
    arrivals = arrived(a_record(), a_message(content="I want a refund"))
    assert policy.before_asking(ConversationPolicy(never_ai=["complaint"]), arrivals, NOW) is None


@pytest.mark.parametrize(
    ("hotel", "guest", "preferences", "expected"),
    [
        pytest.param("auto", "auto", {}, "auto", id="nobody objects"),
        pytest.param("draft", "auto", {}, "draft", id="the hotel wants drafts"),
        pytest.param("auto", "draft", {}, "draft", id="the guest gets drafts"),
        pytest.param("draft", "off", {}, "off", id="the guest gets none"),
        pytest.param("off", "auto", {}, "off", id="the hotel's word stands above the guest's"),
        pytest.param("auto", "auto", {"vip": "true"}, "draft", id="a VIP"),
        pytest.param("auto", "auto", {"vip": "Yes"}, "draft", id="a VIP, in another word"),
        pytest.param("auto", "auto", {"vip": "1"}, "draft", id="a VIP, in a digit"),
        pytest.param("auto", "auto", {"vip": "no"}, "auto", id="not a VIP"),
        pytest.param("off", "auto", {"vip": "true"}, "off", id="a VIP where the AI is off"),
    ],
)
def test_autonomy(hotel: Autonomy, guest: Autonomy, preferences: dict[str, str], expected: Autonomy) -> None:
    profile = GuestProfile(id="g", autonomy=guest, preferences=preferences)
    assert policy.autonomy(ConversationPolicy(autonomy=hotel), profile) == expected


def test_the_hotels_system_may_call_a_guest_a_vip() -> None:
    assert policy.autonomy(ConversationPolicy(), GuestProfile(id="g"), vip=True) == "draft"


def test_a_guest_without_the_ai_is_a_persons() -> None:
    arrivals = arrived(a_record(), a_message())
    decision = policy.before_asking(RULES, arrivals, NOW, autonomy="off")
    assert decision == Handover("The AI is switched off for this guest", RULES.handover_text)
    assert policy.before_asking(RULES, arrivals, NOW, autonomy="draft") is None


def test_the_words_of_an_ai_that_only_drafts_are_checked() -> None:
    response = an_answer()
    decision = policy.after_answer(RULES, response, autonomy="draft")
    assert decision == Handover("Staff must approve the AI's answers to this guest", RULES.handover_text, response)


BREAKFAST, LUNCH = fingerprint("When is breakfast?") or "", fingerprint("When is lunch?") or ""


@pytest.mark.parametrize(
    ("answered", "repeated"),
    [
        pytest.param([], False, id="never asked"),
        pytest.param([BREAKFAST], False, id="asked once"),
        pytest.param([BREAKFAST, LUNCH], False, id="asked something else, too"),
        pytest.param([BREAKFAST, BREAKFAST], True, id="answered twice"),
    ],
)
def test_a_question_that_comes_again_and_again_is_a_persons(answered: list[str], repeated: bool) -> None:
    arrivals = arrived(a_record(), a_message("g-1", "Thank you!"), a_message("g-2", "WHEN is breakfast??"))
    decision = policy.before_asking(RULES, arrivals, NOW, answered=answered)
    again = Handover("The guest repeated a question that the AI had already answered", RULES.handover_text)
    assert decision == (again if repeated else None)


SURE, AT_THRESHOLD, UNSURE = an_answer(confidence=1), an_answer(confidence=0.7), an_answer(confidence=0.699)
ASKS, EMPTY, BLANK = an_answer(should_escalate=True), an_answer(""), an_answer(" \n\t")
SURE_OF_REFUND, ASKS_OF_REFUND = an_answer(intent="refund"), an_answer(intent="refund", should_escalate=True)
MEDICAL, SAFETY = an_answer(intent="medical"), an_answer(intent="safety", should_escalate=True, confidence=0)
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
            Handover("The AI asked for a person (breakfast)", RULES.handover_text, ASKS),
            id="sure, but asks for a person",
        ),
        pytest.param(
            SURE_OF_REFUND,
            Handover(A_REFUND, RULES.handover_text, SURE_OF_REFUND),
            id="sure of what people answer",
        ),
        pytest.param(
            ASKS_OF_REFUND,
            Handover("The AI asked for a person (refund)", RULES.handover_text, ASKS_OF_REFUND),
            id="asks for a person, of what people answer",
        ),
        pytest.param(
            MEDICAL,
            Handover("The guest may be writing about a medical emergency", RULES.emergency_text, MEDICAL, urgent=True),
            id="an emergency that the AI sees",
        ),
        pytest.param(
            SAFETY,
            Handover("The guest may be writing about a safety emergency", RULES.emergency_text, SAFETY, urgent=True),
            id="an emergency, and the AI asks for a person",
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
