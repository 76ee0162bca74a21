"""What operators see of a conversation at one glance, and what they must not see."""

from datetime import timedelta

import pytest

from contracts.ai import Action
from contracts.conversations import ConversationState, Draft, Outcome
from contracts.messages import AIInfo
from contracts.rules import ConversationPolicy
from tests.records import BEN, CONVERSATION_ID, NOW, a_message, a_record, a_reply, arrived
from workflows import promises, transitions
from workflows.details import details
from workflows.record import Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
LATER = NOW + timedelta(hours=1)


def _after_the_id(record: Record) -> list[str]:
    return details(record, NOW).splitlines()[2:]


def test_details_of_a_new_conversation() -> None:
    assert details(a_record(), NOW).splitlines() == [
        "**NEW** · hotel · webchat · priority normal",
        f"- Conversation: `{CONVERSATION_ID}`",
        "- Owner: nobody",
        "- Waiting for: the guest's first message",
        "- Next: 2026-03-02 12:00 UTC, it closes if nothing happens",
    ]


def test_details_of_a_conversation_that_waits_for_the_ai() -> None:
    record = a_record()
    arrived(record, a_message())
    assert _after_the_id(record) == [
        "- Owner: the AI",
        "- Waiting for: the AI to answer 1 message(s)",
        "- Not stored yet: 2 event(s)",
    ]


def test_details_of_a_conversation_that_waits_for_its_guest() -> None:
    assert _after_the_id(a_record(ACTIVE))[:2] == ["- Owner: the AI", "- Waiting for: the guest"]


@pytest.mark.parametrize(
    ("holder", "owner", "who"),
    [
        pytest.param(None, "nobody yet", "somebody to claim and answer it", id="nobody's"),
        pytest.param("ben", "ben", "the assignee to answer", id="somebody's"),
    ],
)
def test_details_of_a_guest_who_waits_for_a_person(holder: str | None, owner: str, who: str) -> None:
    record = a_record(ESCALATED, assigned_to=holder)
    arrived(record, a_message())
    assert _after_the_id(record) == [
        f"- Owner: {owner}",
        f"- Waiting for: {who} by 2026-03-01 12:15 UTC",
        "- Escalated: 2026-03-01 12:00 UTC",
        "- Guest waiting since: 2026-03-01 12:00 UTC",
        "- Not stored yet: 1 event(s)",
        "- Next: 2026-03-01 12:07 UTC, staff are reminded",
    ]
    promises.fall_due(record, LATER)
    assert "- Guest waiting since: 2026-03-01 12:00 UTC (late)" in details(record, LATER)


def test_details_of_a_guest_to_whom_nothing_is_promised() -> None:
    record = a_record(ESCALATED, policy=ConversationPolicy(service_levels={}))
    arrived(record, a_message())
    assert "- Waiting for: somebody to claim and answer it\n" in details(record, NOW)


def test_details_of_a_conversation_that_a_person_has_answered() -> None:
    record = a_record()
    arrived(record, a_message())
    record.escalate("Doubt", NOW)
    transitions.reply(record, a_reply(by=BEN), NOW)
    transitions.attempt(record, record.sends[0], NOW)
    assert _after_the_id(record) == [
        "- Owner: ben",
        "- Waiting for: the guest or the assignee",
        "- Escalated: 2026-03-01 12:00 UTC",
        "- Waiting to be sent: 1 message(s), 1 attempt(s)",
        f"- Not stored yet: {record.conversation.seq} event(s)",
    ]


def test_details_of_a_snooze() -> None:
    record = a_record(ESCALATED)
    record.conversation.snoozed_until = LATER
    assert _after_the_id(record)[1:] == [
        "- Waiting for: the end of a snooze at 2026-03-01 13:00 UTC",
        "- Escalated: 2026-03-01 12:00 UTC",
        "- Next: 2026-03-01 13:00 UTC, the snooze ends",
    ]


def test_details_of_a_snooze_while_the_guest_waits() -> None:
    record = a_record(ESCALATED)
    arrived(record, a_message())
    record.conversation.snoozed_until = LATER
    said = _after_the_id(record)
    assert said[1] == "- Waiting for: the end of a snooze at 2026-03-01 13:00 UTC"
    assert said[-1] == "- Next: 2026-03-01 12:07 UTC, staff are reminded"


def test_details_of_what_is_out_of_the_ordinary() -> None:
    record = a_record(ACTIVE)
    record.opted_out = record.conversation.needs_review = True
    record.conversation.pending_actions = [Action(id="a-1", type="create_task")]
    assert _after_the_id(record)[2:5] == [
        "- Waiting for approval: 1 action(s)",
        "- The guest has opted out of this channel",
        "- Needs review: the AI failed",
    ]


def test_details_of_a_stored_conversation_say_nothing_of_storage() -> None:
    record = a_record(RESOLVED)
    record.settle(Outcome(message_id="g-1", outcome="handed", reason="Doubt", at=NOW))
    assert "- Not stored yet: 0 event(s)" in details(record, NOW)
    record.stored(record.publication())
    assert _after_the_id(record) == ["- Owner: nobody", "- Waiting for: late messages, before it ends"]


@pytest.mark.parametrize("state", ConversationState)
def test_details_hold_nothing_of_the_guest(state: ConversationState) -> None:
    record = a_record(state, assigned_to="ben" if state is ESCALATED else None)
    record.route.sender_id = "+351900000000"
    record.conversation.guest_id = "guest-of-honour"
    arrived(record, a_message(content="A secret wish", guest_name="Rosa Mota"))
    record.conversation.current_intent = "secret_wish"
    record.conversation.draft = Draft(id="d", content="A secret reply", ai=AIInfo(confidence=0.3, intent="secret"))
    record.conversation.pending_actions = [Action(id="a-1", type="notify_staff", params={"text": "A secret note"})]
    shown = details(record, NOW)
    assert not any(word in shown for word in ("ecret", "Rosa", "Mota", "351900000000", "visitor", "honour"))
