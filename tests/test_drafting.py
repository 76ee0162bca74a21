"""What a person gets drafts of, while the AI may only draft; decided so since the fourth edition."""

import pytest

from contracts.ai import Action
from contracts.conversations import ConversationState
from contracts.rules import ConversationPolicy
from tests.records import NOW, a_command, a_message, a_record, a_reply, an_answer, arrived, happened
from workflows import editions, policy, transitions
from workflows.owed import Arrival
from workflows.record import Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
THIRD, FOURTH = ConversationPolicy(edition=editions.THIRD), ConversationPolicy(edition=editions.FOURTH)
BOTH = pytest.mark.parametrize(("rules", "fourth"), [(THIRD, False), (FOURTH, True)], ids=["third", "fourth"])
TOWELS = Action(id="a-1", type="create_task", params={"department": "housekeeping", "title": "Two more towels"})
DRAFT_ONLY = FOURTH.model_copy(update={"autonomy": "draft"})


def _waiting(arrivals: list[Arrival]) -> list[str]:
    return [each.message.id for each in arrivals]


def _drafted(record: Record, text: str, reply_id: str) -> list[str]:
    """The AI drafts what waits; the ids of what it was asked about."""
    arrivals = transitions.begin_draft(record, NOW)
    if arrivals:
        transitions.drafted(record, an_answer(text), reply_id, NOW)
    return _waiting(arrivals)


def _first_drafted(rules: ConversationPolicy) -> Record:
    record = a_record(policy=rules)
    turn = arrived(record, a_message())
    transitions.conclude(record, turn, policy.after_answer(rules, an_answer(), autonomy="draft"), "r-1", NOW)
    assert record.conversation.draft is not None
    return record


@BOTH
def test_whenever_a_guest_writes_again_what_is_unanswered_gets_a_draft(rules: ConversationPolicy, fourth: bool) -> None:
    record = _first_drafted(rules.model_copy(update={"autonomy": "draft"}))
    assert transitions.undrafted(record) == []  # its draft came with the hand-over
    arrived(record, a_message("g-2", "And dinner?"))
    assert _waiting(transitions.undrafted(record)) == (["g-2"] if fourth else [])
    if fourth:
        assert _drafted(record, "At seven, and dinner at eight.", "r-2") == ["g-1", "g-2"]
        assert record.conversation.draft is not None
        assert record.conversation.draft.id == "r-2-draft"
        assert record.conversation.draft.content == "At seven, and dinner at eight."
        assert transitions.undrafted(record) == []


def test_the_next_message_after_a_reply_gets_a_draft_of_its_own() -> None:
    record = _first_drafted(DRAFT_ONLY)
    transitions.reply(record, a_reply().model_copy(update={"draft_id": "r-1-draft", "content": ""}), NOW)
    assert (record.window[-1].content, record.conversation.draft) == ("At seven.", None)
    arrived(record, a_message("g-2", "And dinner?"))
    assert _drafted(record, "At eight.", "r-2") == ["g-2"]


@pytest.mark.parametrize(
    ("rules", "vip", "drafts"),
    [
        pytest.param(FOURTH, False, False, id="who may be answered by the AI: a person has taken over"),
        pytest.param(FOURTH, True, True, id="a VIP"),
        pytest.param(FOURTH.model_copy(update={"autonomy": "off"}), False, False, id="the AI is off"),
        pytest.param(DRAFT_ONLY, False, True, id="the AI only drafts"),
        pytest.param(DRAFT_ONLY.model_copy(update={"vip_autonomy": "off"}), True, False, id="off for VIPs"),
    ],
)
def test_for_whom_the_ai_drafts(rules: ConversationPolicy, vip: bool, drafts: bool) -> None:
    record = a_record(ESCALATED, assigned_to="ana", policy=rules)
    record.vip = vip
    arrived(record, a_message())
    assert bool(transitions.undrafted(record)) is drafts


@pytest.mark.parametrize(
    ("texts", "asked"),
    [
        pytest.param(["I want a refund"], [], id="what people answer"),
        pytest.param(["I want a refund", "When is breakfast?"], ["g-1"], id="the rest beside it"),
        pytest.param(["When is breakfast?", "I want a refund"], [], id="what would pass over the last words"),
        pytest.param(["I want to talk to a person"], [], id="a wish for a person"),
    ],
)
def test_no_draft_touches_what_only_people_answer(texts: list[str], asked: list[str]) -> None:
    record = a_record(ESCALATED, assigned_to="ana", policy=DRAFT_ONLY)
    arrived(record, *(a_message(f"g-{number}", text) for number, text in enumerate(texts)))
    assert _drafted(record, "At seven.", "r-1") == asked
    assert (record.conversation.draft is not None) is bool(asked)
    assert transitions.undrafted(record) == []


def test_a_draft_is_of_use_until_somebody_answers_or_the_ai_has_the_conversation() -> None:
    record = a_record(ESCALATED, assigned_to="ana", policy=DRAFT_ONLY)
    arrived(record, a_message())
    arrivals = transitions.begin_draft(record, NOW)
    assert transitions.still_wants_draft(record, arrivals)
    arrived(record, a_message("g-2", "And dinner?"))
    assert transitions.still_wants_draft(record, arrivals)
    for spoils in (
        lambda each: transitions.reply(each, a_reply(), NOW),
        lambda each: transitions.return_to_ai(each, a_command(), NOW),
        lambda each: each.policy.__setattr__("autonomy", "auto"),
    ):
        spoiled = record.model_copy(deep=True)
        spoils(spoiled)
        assert not transitions.still_wants_draft(spoiled, arrivals)
    transitions.reply(record, a_reply(), NOW)
    arrived(record, a_message("g-3", "Thanks"))
    assert not transitions.still_wants_draft(record, arrivals)


def test_staff_decide_on_the_actions_of_a_draft_and_learn_of_an_emergency() -> None:
    record = a_record(ESCALATED, assigned_to="ana", policy=DRAFT_ONLY)
    arrived(record, a_message())
    for number in (1, 2):
        transitions.drafted(record, an_answer(intent="medical", actions=[TOWELS]), f"r-{number}", NOW)
    assert (record.steps, record.conversation.priority) == ([], "urgent")
    assert [each.id for each in record.conversation.pending_actions] == ["r-1-1"]
    assert happened(record).count("escalation") == 1


def test_an_answer_that_a_person_overtook_is_the_draft() -> None:
    record = a_record(policy=DRAFT_ONLY)
    turn = arrived(record, a_message())
    arrived(record, a_message("g-2", "And dinner?"))
    transitions.claim(record, a_command(), NOW)
    transitions.overtaken(record, turn, an_answer(), "r-1", NOW)
    assert _waiting(transitions.undrafted(record)) == ["g-2"]
