"""What may be told a conversation, row by row: which command, in which state, by whom."""

from datetime import datetime, timedelta
from typing import get_args

import pytest

from contracts.commands import Redeliver
from contracts.conversations import ConversationState, Draft
from contracts.messages import AIInfo, Author, DeliveryState, Message, Template
from contracts.problems import (
    GatewayError,
    HeldByOther,
    Invalid,
    MissedMessages,
    NotFound,
    OptedOut,
    Resolved,
    WindowClosed,
    WrongState,
)
from tests.records import ANA, BEN, CONVERSATION_ID, NOW, a_message, a_record, a_reply, arrived
from workflows import policy, transitions
from workflows.record import Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
COMMANDS: tuple[policy.CommandName, ...] = get_args(policy.CommandName)
A_MOMENT = timedelta(microseconds=1)

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
    assert refusal.detail == "conversation contact-00000000 is resolved; the guest has a newer one"
    assert (refusal.status, refusal.members["state"]) == (409, "resolved")


@pytest.mark.parametrize(
    ("state", "holder", "command", "words"),
    [
        pytest.param(
            RESOLVED,
            None,
            "claim",
            f"conversation {CONVERSATION_ID} is resolved; claim needs an open conversation",
            id="resolved",
        ),
        pytest.param(
            ESCALATED,
            "ben",
            "reply",
            "the conversation is assigned to ben; assign it to yourself first",
            id="somebody else's",
        ),
        pytest.param(
            ACTIVE, None, "snooze", "the conversation is active; snooze needs an escalated conversation", id="the AI's"
        ),
        pytest.param(
            NEW, None, "assign", "the guest has not written yet; assign needs a guest message", id="no guest yet"
        ),
    ],
)
def test_a_refusal_says_what_would_be_right(
    state: ConversationState, holder: str | None, command: policy.CommandName, words: str
) -> None:
    refusal = policy.refusal(a_record(state, assigned_to=holder), command, ANA.id, CONVERSATION_ID)
    assert refusal is not None
    assert refusal.detail == words


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
    assert all(isinstance(each, dict) and each["createdAt"] == "2026-03-01T12:00:00Z" for each in told)
    assert not any(isinstance(each, dict) and "ai" in each for each in told)
    assert refusal.detail == f"{len(missed)} message(s) arrived after seq {last_seen}; read them first"


@pytest.mark.parametrize(
    ("notes", "last_seen", "missed", "detail"),
    [
        pytest.param(17, 0, ["g-1", "s-1"], "2 message(s) arrived after seq 0; read them first", id="all are kept"),
        pytest.param(19, 0, ["s-1"], "At least 1 message(s) arrived after seq 0; read them first", id="one is not"),
        pytest.param(19, 3, ["s-1"], "At least 1 message(s) arrived after seq 3; read them first", id="one may not be"),
        pytest.param(19, 4, ["s-1"], "1 message(s) arrived after seq 4; read them first", id="the newest is"),
        pytest.param(20, 0, [], "Messages arrived after seq 0; read the conversation first", id="none is"),
        pytest.param(20, 4, [], "Messages arrived after seq 4; read the conversation first", id="a colleague's is not"),
        pytest.param(20, 5, None, "", id="saw both"),
    ],
)
def test_what_has_left_the_window_is_missed_all_the_same(
    notes: int, last_seen: int, missed: list[str] | None, detail: str
) -> None:
    record = a_record()
    arrived(record, a_message())
    transitions.reply(record, a_reply("s-1", by=BEN), NOW)
    assert [each.seq for each in record.window] == [2, 5]
    for number in range(notes):
        transitions.reply(record, a_reply(f"n-{number}", private=True), NOW)
    reply = a_reply("s-2", by=BEN)
    reply.last_seen_seq = last_seen
    refusal = policy.refusal_of_words(record, reply, NOW)
    if missed is None:
        assert refusal is None
        return
    assert isinstance(refusal, MissedMessages)
    told = refusal.members["missed"]
    assert isinstance(told, list)
    assert [each["id"] for each in told if isinstance(each, dict)] == missed
    assert refusal.detail == detail


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
    if refusal is not None:
        assert refusal.detail == "the draft has been used or replaced; send its text as content"
        assert refusal.members == {"draftId": None}


CHANNEL_WORDS = {
    OptedOut: "the guest has opted out of this channel; only they can opt in again",
    WindowClosed: "the channel accepted free text until 2026-03-01T11:59:59.999999+00:00; send a template",
}


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
    if expected is not None:
        assert refusal is not None
        assert refusal.detail == CHANNEL_WORDS[expected]


@pytest.mark.parametrize("adapter", ["whatsapp", "twilio", "email", "webchat", "messages"])
@pytest.mark.parametrize("said", ["content", "a draft", "nothing", "blanks"])
def test_a_template_without_words_needs_a_channel_that_knows_it(adapter: str, said: str) -> None:
    record = a_record(ACTIVE, adapter=adapter)
    reply = a_reply(content={"content": "Your room is ready", "blanks": " \n"}.get(said, ""))
    reply.template = Template(name="ready")
    if said == "a draft":
        record.keep_draft(Draft(id="d-1", content="At seven.", ai=AIInfo(confidence=0.5, intent="x")), NOW)
        reply.draft_id = "d-1"
    refusal = policy.refusal_of_words(record, reply, NOW)
    if adapter in ("whatsapp", "twilio") or said in ("content", "a draft"):
        assert refusal is None
    else:
        assert isinstance(refusal, Invalid)
        assert refusal.detail == "template: the guest's channel has no templates; send content"
        assert refusal.field == "template"


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
    if refusal is not None:
        what = "is waiting to be sent" if skip else "is waiting to be sent or was not delivered"
        assert refusal.detail == f"this conversation has no message m-1 that {what}"


@pytest.mark.parametrize(
    ("until", "expected"),
    [
        pytest.param(NOW, None, id="exactly at the window's end"),
        pytest.param(NOW - A_MOMENT, WindowClosed, id="just after it"),
    ],
)
def test_what_was_lost_is_said_again_only_while_the_channel_takes_text(until: datetime, expected: Refusal) -> None:
    record = _lost(Author.STAFF, FAILED)
    record.route.free_text_until = until
    refusal = policy.refusal_of_redelivery(record, AGAIN, NOW)
    assert (None if refusal is None else type(refusal)) == expected
    record.templates = {"m-1": Template(name="ready")}
    assert policy.refusal_of_redelivery(record, AGAIN, NOW) is None


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


@pytest.mark.parametrize(
    ("away", "expected"),
    [
        (-A_MOMENT, Invalid),
        (timedelta(0), Invalid),
        (A_MOMENT, None),
        (timedelta(days=365), None),
        (timedelta(days=365) + A_MOMENT, Invalid),
    ],
)
def test_a_conversation_is_put_off_for_a_year_at_most(away: timedelta, expected: Refusal) -> None:
    refused = policy.refusal_of_moment(NOW + away, NOW)
    assert (None if refused is None else type(refused)) is expected
    assert refused is None or (refused.field, "365 days" in refused.detail) == ("until", True)


def test_a_message_of_staff_has_an_id_that_is_nobodys_here() -> None:
    record = a_record(ACTIVE)
    arrived(record, a_message("g-9"))
    said = record.add_message("said-by-the-ai", Author.AI, "At seven.", NOW, delivery=DeliveryState.SENT)
    assert policy.refusal_of_id(record, "a-new-one") is None
    for taken in ("g-9", said.id):
        refused = policy.refusal_of_id(record, taken)
        assert isinstance(refused, Invalid)
        assert refused.detail == "clientMessageId: another message of this conversation already has it"
        assert refused.field == "clientMessageId"
    record.window = []  # a guest's id is remembered for longer
    assert policy.refusal_of_id(record, "g-9") is not None
    assert policy.refusal_of_id(record, said.id) is None
