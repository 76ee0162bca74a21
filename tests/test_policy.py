"""Every decision of a conversation, row by row: what is the case, and what follows."""

from datetime import datetime, timedelta
from typing import get_args

import pytest

from contracts.ai import AIResponse
from contracts.commands import Redeliver
from contracts.conversations import ConversationState, Draft
from contracts.guests import Autonomy, GuestProfile
from contracts.messages import AIInfo, Author, DeliveryState, Message, Template
from contracts.problems import (
    GatewayError,
    HeldByOther,
    MissedMessages,
    NotFound,
    OptedOut,
    Resolved,
    WindowClosed,
    WrongState,
)
from contracts.rules import ConversationPolicy
from tests.records import (
    ANA,
    BEN,
    CONVERSATION_ID,
    NOW,
    a_message,
    a_record,
    a_reply,
    an_answer,
    arrived,
)
from workflows import policy, transitions
from workflows.policy import Answered, Fallback, Handover
from workflows.record import Record
from workflows.topics import asks_for_person, fingerprint

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
COMMANDS: tuple[policy.CommandName, ...] = get_args(policy.CommandName)
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
    assert asks_for_person(text)


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
    assert not asks_for_person(text)


# --- commands ----------------------------------------------------------------------------------------------------

Refusal = type[GatewayError] | None
OVER: dict[policy.CommandName, type[GatewayError]] = {
    each: Resolved for each in COMMANDS if each not in ("note", "read", "reviewed")
}
NEEDS_ESCALATED: dict[policy.CommandName, type[GatewayError]] = dict.fromkeys(
    ("return", "unassign", "snooze"), WrongState
)
NEEDS_GUEST: dict[policy.CommandName, type[GatewayError]] = dict.fromkeys(("claim", "assign", "escalate"), WrongState)


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("state", "holder", "refused"),
    [
        pytest.param(NEW, None, NEEDS_ESCALATED | NEEDS_GUEST, id="new"),
        pytest.param(ACTIVE, None, NEEDS_ESCALATED, id="the AI's"),
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


@pytest.mark.parametrize("command", ["claim", "assign", "escalate"])
def test_staff_may_be_quicker_than_the_look_up(command: policy.CommandName) -> None:
    record = a_record(looked_up=False)
    arrived(record, a_message())
    assert policy.refusal(record, command, ANA.id, CONVERSATION_ID) is None


@pytest.mark.parametrize(
    ("state", "last", "command", "expected"),
    [
        pytest.param(ACTIVE, ("return", "ana"), "return", None, id="one's own return again"),
        pytest.param(ACTIVE, ("return", "ben"), "return", WrongState, id="another's return"),
        pytest.param(ACTIVE, ("claim", "ana"), "return", WrongState, id="a return after another command"),
        pytest.param(ACTIVE, ("unassign", "ana"), "unassign", None, id="one's own unassign again"),
        pytest.param(NEW, ("escalate", "ana"), "escalate", None, id="one's own escalate again"),
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


@pytest.mark.parametrize(
    ("last_seen", "missed"),
    [
        pytest.param(None, [], id="does not say what it saw"),
        pytest.param(0, ["g-1", "s-1"], id="saw nothing"),
        pytest.param(2, ["s-1"], id="saw the guest's message"),
        pytest.param(99, [], id="saw everything"),
    ],
)
def test_a_reply_to_what_is_not_the_newest_is_told_what_it_missed(last_seen: int | None, missed: list[str]) -> None:
    record = a_record()
    record.window = [a_record_of_before()]
    arrived(record, a_message())
    transitions.reply(record, a_reply("n-1", private=True), NOW)
    transitions.reply(record, a_reply("s-1", by=BEN), NOW)
    record.say(Author.SYSTEM, "Please wait", NOW)
    reply = a_reply("s-2", by=BEN)
    reply.last_seen_seq = last_seen
    refusal = policy.refusal_of_words(record, reply, NOW)
    if not missed:
        assert refusal is None
        return
    assert isinstance(refusal, MissedMessages)
    told = refusal.members["missed"]
    assert isinstance(told, list)
    assert [each["id"] for each in told if isinstance(each, dict)] == missed
    assert refusal.detail == f"{len(missed)} message(s) came after {last_seen}; read them first"


def a_record_of_before() -> Message:
    """A message of the contact's last conversation; its `seq` counts for nothing here."""
    before = a_record(conversation_id="contact-00000000")
    before.conversation.seq = 500
    return arrived(before, a_message("g-0"))[0].message


@pytest.mark.parametrize(
    ("draft_id", "named", "expected"),
    [
        pytest.param(None, None, None, id="no draft, none named"),
        pytest.param("d-1", None, None, id="a draft, not named"),
        pytest.param("d-1", "d-1", None, id="the draft"),
        pytest.param("d-2", "d-1", WrongState, id="another draft since"),
        pytest.param(None, "d-1", WrongState, id="the draft is used"),
    ],
)
def test_a_draft_that_is_gone_cannot_be_sent(draft_id: str | None, named: str | None, expected: Refusal) -> None:
    record = a_record(ESCALATED)
    if draft_id is not None:
        record.keep_draft(Draft(id=draft_id, content="At seven.", ai=AIInfo(confidence=0.5, intent="x")), NOW)
    reply = a_reply()
    reply.draft_id = named
    refusal = policy.refusal_of_words(record, reply, NOW)
    assert (None if refusal is None else type(refusal)) == expected


@pytest.mark.parametrize(
    ("opted_out", "until", "template", "expected"),
    [
        pytest.param(False, None, False, None, id="a channel that always takes text"),
        pytest.param(False, NOW, False, None, id="exactly at the window's end"),
        pytest.param(False, NOW - A_MOMENT, False, WindowClosed, id="just after it"),
        pytest.param(False, NOW - A_MOMENT, True, None, id="a template after it"),
        pytest.param(True, None, False, OptedOut, id="opted out"),
        pytest.param(True, NOW, True, OptedOut, id="opted out, with a template"),
    ],
)
def test_refusal_of_channel(opted_out: bool, until: datetime | None, template: bool, expected: Refusal) -> None:
    record = a_record(ACTIVE)
    record.opted_out, record.route.free_text_until = opted_out, until
    refusal = policy.refusal_of_channel(record, with_template=template, now=NOW)
    assert (None if refusal is None else type(refusal)) == expected
    reply = a_reply()
    reply.template = Template(name="hello") if template else None
    words = policy.refusal_of_words(record, reply, NOW)
    assert (None if words is None else type(words)) == expected


def _lost(author: Author, state: DeliveryState, *, private: bool = False, own: bool = True) -> Record:
    record = a_record(ESCALATED, conversation_id=CONVERSATION_ID if own else "contact-00000000")
    record.add_message("m-1", author, "Hello", NOW, delivery=state, private=private)
    record.conversation.conversation_id = CONVERSATION_ID
    return record


FAILED, UNKNOWN, SENT = DeliveryState.FAILED, DeliveryState.UNKNOWN, DeliveryState.SENT
AGAIN, SKIP = Redeliver(conversation_id=CONVERSATION_ID, by=ANA, message_id="m-1", copy_id="c-1"), True


@pytest.mark.parametrize(
    ("record", "skip", "expected"),
    [
        pytest.param(_lost(Author.STAFF, FAILED), False, None, id="one that failed"),
        pytest.param(_lost(Author.AI, UNKNOWN), False, None, id="one that may have failed"),
        pytest.param(_lost(Author.SYSTEM, FAILED), False, None, id="a standing text"),
        pytest.param(_lost(Author.STAFF, SENT), False, NotFound, id="one that was sent"),
        pytest.param(_lost(Author.GUEST, FAILED), False, NotFound, id="a guest's"),
        pytest.param(_lost(Author.STAFF, FAILED, private=True), False, NotFound, id="a note"),
        pytest.param(_lost(Author.STAFF, FAILED, own=False), False, NotFound, id="an earlier conversation's"),
        pytest.param(_lost(Author.STAFF, FAILED), SKIP, NotFound, id="one that failed cannot be skipped"),
        pytest.param(a_record(ESCALATED), False, NotFound, id="one that nobody knows"),
    ],
)
def test_refusal_of_redelivery(record: Record, skip: bool, expected: Refusal) -> None:
    command = AGAIN.model_copy(update={"skip": skip})
    refusal = policy.refusal_of_redelivery(record, command, NOW)
    assert (None if refusal is None else type(refusal)) == expected


@pytest.mark.parametrize("skip", [False, True])
def test_what_waits_to_be_sent_can_be_hurried_and_skipped(skip: bool) -> None:
    record = a_record(ESCALATED)
    transitions.reply(record, a_reply("m-1"), NOW)
    assert policy.refusal_of_redelivery(record, AGAIN.model_copy(update={"skip": skip}), NOW) is None


def test_a_repeated_redelivery_is_no_error() -> None:
    record = _lost(Author.STAFF, FAILED)
    transitions.redeliver(record, AGAIN, NOW)
    record.opted_out = True
    assert policy.refusal_of_redelivery(record, AGAIN, NOW) is None
    other = AGAIN.model_copy(update={"copy_id": "c-2"})
    assert isinstance(policy.refusal_of_redelivery(record, other, NOW), OptedOut)


# --- turns -------------------------------------------------------------------------------------------------------

A_PERSON = "The guest asked for a person"
TOO_LATE = "The message reached us too late to be answered by the AI"
A_REFUND = "The guest writes of a refund, which people answer"
A_COMPLAINT = "The guest writes of a complaint, which people answer"
A_PRICE = "The guest writes of a price, which people answer"


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
        pytest.param("There is a fire in my room", "danger", id="safety"),
        pytest.param("I smell gas, and someone is unconscious", "a medical emergency", id="both"),
    ],
)
def test_an_emergency_comes_before_all_else(text: str, words: str) -> None:
    decision = policy.before_asking(RULES, arrived(a_record(), a_message(content=text)), NOW)
    assert decision == Handover(f"The guest may write of {words}", RULES.emergency_text, urgent=True)


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


def test_a_guest_without_the_ai_is_a_persons() -> None:
    arrivals = arrived(a_record(), a_message())
    decision = policy.before_asking(RULES, arrivals, NOW, autonomy="off")
    assert decision == Handover("People, not the AI, answer this guest", RULES.handover_text)
    assert policy.before_asking(RULES, arrivals, NOW, autonomy="draft") is None


def test_the_words_of_an_ai_that_only_drafts_are_checked() -> None:
    response = an_answer()
    decision = policy.after_answer(RULES, response, autonomy="draft")
    assert decision == Handover("A person checks the AI's words for this guest", RULES.handover_text, response)


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
    again = Handover("The guest asks what the AI has answered already", RULES.handover_text)
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
            Handover("The AI asks for a person (breakfast)", RULES.handover_text, ASKS),
            id="sure, but asks for a person",
        ),
        pytest.param(
            SURE_OF_REFUND,
            Handover(A_REFUND, RULES.handover_text, SURE_OF_REFUND),
            id="sure of what people answer",
        ),
        pytest.param(
            ASKS_OF_REFUND,
            Handover("The AI asks for a person (refund)", RULES.handover_text, ASKS_OF_REFUND),
            id="asks for a person, of what people answer",
        ),
        pytest.param(
            MEDICAL,
            Handover("The guest may write of a medical emergency", RULES.emergency_text, MEDICAL, urgent=True),
            id="an emergency that the AI sees",
        ),
        pytest.param(
            SAFETY,
            Handover("The guest may write of danger", RULES.emergency_text, SAFETY, urgent=True),
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
