"""What staff do to a conversation, one thing at a time."""

from datetime import timedelta

import pytest

from contracts.ai import Action
from contracts.commands import Actor, Assign, ChangePolicy, Opening, Redeliver, Snooze
from contracts.conversations import ConversationState, Draft, Resolution
from contracts.messages import AIInfo, Author, DeliveryState, Template
from contracts.rules import ConversationPolicy, PolicyChanges, ServiceLevel
from tests.driven import copied
from tests.records import (
    ANA,
    BEN,
    CONVERSATION_ID,
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
from workflows import policy, promises, transitions
from workflows.record import WINDOW, Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
QUEUED, SENT = DeliveryState.QUEUED, DeliveryState.SENT
LATER = NOW + timedelta(minutes=1)
RULES = ConversationPolicy()


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


def _assign(by: Actor, to: Actor, reason: str | None = None) -> Assign:
    return Assign(conversation_id=CONVERSATION_ID, by=by, staff_id=to.id, staff_name=to.name, reason=reason)


def _redeliver(message_id: str, *, skip: bool = False, copy_id: str = "c-1") -> Redeliver:
    return Redeliver(conversation_id=CONVERSATION_ID, by=ANA, message_id=message_id, copy_id=copy_id, skip=skip)


def _told(record: Record, staff_id: str | None) -> list[str]:
    notices = [event.notification for event in record.outbox if event.notification is not None]
    return [each.text for each in notices if each.staff_id == staff_id]


@pytest.mark.parametrize(
    ("state", "holder", "by", "told"),
    [
        pytest.param(ACTIVE, None, ANA, ["escalated", "claimed", "system"], id="the AI's"),
        pytest.param(ESCALATED, None, ANA, ["claimed", "system"], id="nobody's"),
        pytest.param(ESCALATED, "ana", ANA, ["claimed", "system"], id="one's own"),
        pytest.param(ESCALATED, "ben", ANA, [], id="theirs already"),
        pytest.param(ESCALATED, "ana", BEN, ["claimed"], id="to oneself: nobody need be told"),
    ],
)
def test_assigning(state: ConversationState, holder: str | None, by: Actor, told: list[str]) -> None:
    record = a_record(state, assigned_to=holder)
    transitions.assign(record, _assign(by, BEN), NOW)
    assert (record.state, record.conversation.assigned_to) == (ESCALATED, "ben")
    assert happened(record) == told
    assert _told(record, "ben") == (["Ana assigned a conversation to you"] if "system" in told else [])
    if state is ACTIVE:
        assert record.conversation.escalation is not None
        assert record.conversation.escalation.reason == "Ana assigned it to Ben"


def test_letting_go_tells_everybody() -> None:
    record = a_record(ESCALATED, assigned_to="ana")
    for _ in range(2):
        transitions.unassign(record, a_command(), NOW)
        assert happened(record) == ["unassigned", "escalation"]
    assert record.conversation.assigned_to is None
    assert _told(record, None) == ["Ana unassigned a conversation; nobody has it now"]


def test_a_snooze_is_told_once_and_a_promise_runs_on() -> None:
    record = a_record(ESCALATED, assigned_to="ana")
    arrived(record, a_message())
    due = record.conversation.response_due_at
    for _ in range(2):
        transitions.snooze(record, Snooze(conversation_id=CONVERSATION_ID, by=ANA, until=LATER), NOW)
    assert (record.conversation.snoozed_until, happened(record)) == (LATER, ["message", "snoozed"])
    assert record.conversation.response_due_at == due is not None


def test_reading_and_reviewing_are_told_once() -> None:
    record = a_record(ESCALATED)
    record.conversation.unread, record.conversation.needs_review = 2, True
    for _ in range(2):
        transitions.read(record, a_command(), NOW)
        transitions.reviewed(record, a_command(reason="The engine was away"), NOW)
    assert (record.conversation.unread, record.conversation.needs_review) == (0, False)
    assert [(event.change, event.by, event.reason) for event in record.outbox] == [
        ("read", "ana", None),
        ("reviewed", "ana", "The engine was away"),
    ]


def _change(changes: PolicyChanges) -> ChangePolicy:
    return ChangePolicy(conversation_id=CONVERSATION_ID, by=ANA, changes=changes)


def test_new_rules_change_what_they_name_and_nothing_else() -> None:
    record = a_record(ACTIVE)
    quick = ServiceLevel(first_response=timedelta(minutes=1), next_response=timedelta(minutes=2))
    changes = PolicyChanges(autonomy="draft", service_levels={"normal": quick}, approvals={"create_task": "ask"})
    for _ in range(2):
        transitions.change_policy(record, _change(changes), NOW)
    assert happened(record) == ["policy"], "the same again is no change"
    assert record.policy == RULES.model_copy(
        update={
            "autonomy": "draft",
            "service_levels": RULES.service_levels | {"normal": quick},
            "approvals": RULES.approvals | {"create_task": "ask"},
        }
    )


def test_a_promise_is_reckoned_anew_by_new_rules_unless_it_is_broken() -> None:
    record = a_record(ESCALATED)
    arrived(record, a_message())
    quick = ServiceLevel(first_response=timedelta(minutes=1), next_response=timedelta(minutes=2))
    transitions.change_policy(record, _change(PolicyChanges(service_levels={"normal": quick})), NOW)
    assert record.conversation.response_due_at == LATER
    promises.fall_due(record, LATER)
    transitions.change_policy(record, _change(PolicyChanges(service_levels=RULES.service_levels)), LATER)
    assert record.conversation.response_due_at == LATER


def test_a_message_that_is_held_back_is_hurried() -> None:
    record, pending = answered()
    pending.not_before = LATER
    assert transitions.redeliver(record, _redeliver("r-1"), NOW).id == "r-1"
    assert transitions.due_sends(record, NOW) == [pending]


def test_a_message_that_is_skipped_lets_others_pass() -> None:
    record, _ = answered("messages")
    record.say(Author.SYSTEM, "Next", NOW, message_id="m-2")
    skipped = transitions.redeliver(record, _redeliver("r-1", skip=True), NOW)
    assert (skipped.delivery.state, skipped.delivery.reason) == (DeliveryState.FAILED, "Ana skipped it")
    assert [send.message.id for send in record.sends] == ["m-2"]
    assert (record.state, outcomes(record)) == (ESCALATED, {"g-1": ("handed", None)})


def test_what_was_lost_is_said_again_once() -> None:
    record = a_record(ACTIVE)
    record.add_message("r-1", Author.AI, "At seven.", NOW, delivery=DeliveryState.FAILED)
    first, again = (transitions.redeliver(record, _redeliver("r-1"), LATER) for _ in range(2))
    assert first == again
    assert (again.id, again.author, again.author_name, again.content) == ("c-1", Author.STAFF, "Ana", "At seven.")
    assert [send.message.id for send in record.sends] == ["c-1"]


def test_a_template_that_was_lost_is_said_again_as_one() -> None:
    record = a_record(NEW)
    template = Template(name="ready", parameters=["214"])
    opening = Opening(by=ANA, message_id="o-1", template=template, guest_id="rosa", guest_name="Rosa")
    transitions.open_conversation(record, opening, NOW)
    record.route.free_text_until = NOW - timedelta(days=1)
    transitions.give_up(record, record.sends[0], "the network took it and did not deliver it", NOW)
    assert policy.refusal_of_redelivery(record, _redeliver("o-1"), LATER) is None
    transitions.redeliver(record, _redeliver("o-1"), LATER)
    assert [(send.message.id, send.template) for send in record.sends] == [("c-1", template)]


def test_a_template_is_kept_while_its_message_is_in_the_window() -> None:
    record = a_record(ESCALATED)
    template = Template(name="ready", parameters=["214"])
    command = a_reply("s-1").model_copy(update={"template": template})
    transitions.reply(record, command, NOW)
    for number in range(WINDOW - 1):
        transitions.reply(record, a_reply(f"s-{number + 2}"), NOW)
        assert record.templates == {"s-1": template}
    transitions.reply(record, a_reply("s-last"), NOW)
    assert record.templates == {}


@pytest.mark.parametrize(
    ("content", "template", "shown"),
    [
        pytest.param("Your room is ready", None, "Your room is ready", id="words"),
        pytest.param("", Template(name="ready", parameters=["214"]), "[ready] · 214", id="a template"),
        pytest.param(
            "", Template(name="ready", named_parameters={"room": "214"}), "[ready] · 214", id="a template by name"
        ),
    ],
)
def test_staff_write_first(content: str, template: Template | None, shown: str) -> None:
    record = a_record(looked_up=False)
    opening = Opening(by=ANA, message_id="o-1", content=content, template=template, guest_id="rosa", guest_name="Rosa")
    for _ in range(2):
        transitions.open_conversation(record, opening, NOW)
    conversation = record.conversation
    assert (conversation.state, conversation.guest_id, conversation.guest_name) == (NEW, "rosa", "Rosa")
    assert (record.profile.id, record.profile.name) == ("rosa", "Rosa")
    (send,) = record.sends
    assert (send.message.id, send.message.author, send.message.author_name) == ("o-1", Author.STAFF, "Ana")
    assert (send.message.content, send.template) == (shown, template)
    transitions.reply(record, a_reply("s-2"), NOW)
    assert record.state is NEW, "a second word before the guest's takes nothing over"
    arrived(record, a_message())
    transitions.looked_up(record, None, NOW)
    assert (record.state, len(record.queue)) == (ACTIVE, 1)


def test_a_note_tells_whom_it_names() -> None:
    record = a_record(ACTIVE)
    note = a_reply(private=True)
    note.mentions = ["ben"]
    transitions.reply(record, note, NOW)
    assert (happened(record), _told(record, "ben")) == (["message", "mention"], ["Ana mentioned you"])


def test_a_resolved_conversation_says_how_it_went() -> None:
    record = a_record()
    arrived(record, a_message())
    transitions.reply(record, a_reply(), NOW + timedelta(seconds=40))
    transitions.resolve(record, a_command(reason="All well"), LATER)
    assert record.conversation.resolution == Resolution(
        reason="All well",
        by="ana",
        first_response_seconds=40,
        first_person_seconds=40,
        seconds_to_resolve=60,
        messages={Author.GUEST: 1, Author.STAFF: 1},
    )
    assert record.summary_due


def test_resolving_refuses_what_nobody_has_decided() -> None:
    record = a_record(ESCALATED, assigned_to="ana")
    record.conversation.pending_actions = [Action(id="a-1", type="create_task")]
    transitions.resolve(record, a_command(), NOW)
    assert record.conversation.pending_actions == []
    assert happened(record) == ["action_refused", "resolved"]
    assert record.outbox[0].reason == "create_task: the conversation ended first"


def test_what_a_person_left_unanswered_goes_to_the_ai_on_return() -> None:
    record = a_record()
    arrived(record, a_message("g-1"))
    transitions.claim(record, a_command(), NOW)
    arrived(record, a_message("g-2"))
    assert outcomes(record) == {"g-1": ("handed", None), "g-2": ("handed", None)}
    transitions.return_to_ai(record, a_command(), NOW)
    assert [arrival.message.id for arrival in record.queue] == ["g-1", "g-2"]
    transitions.conclude(record, list(record.queue), policy.after_answer(RULES, an_answer()), "r-1", NOW)
    assert outcomes(record) == {"g-1": ("answered", "r-1"), "g-2": ("answered", "r-1")}


def test_what_a_person_answered_does_not() -> None:
    record = a_record()
    arrived(record, a_message("g-1"))
    transitions.reply(record, a_reply(), NOW)
    transitions.return_to_ai(record, a_command(), NOW)
    assert (record.queue, record.wait) == ([], None)


def test_an_answer_that_a_claim_came_before_is_open_again() -> None:
    record, pending = answered()
    transitions.claim(record, a_command(), LATER)
    transitions.withdraw(record, pending, LATER)
    assert outcomes(record) == {"g-1": ("handed", None)}
    assert record.wait is not None
    assert record.wait.since == LATER
    transitions.return_to_ai(record, a_command(), LATER)
    assert [arrival.message.id for arrival in record.queue] == ["g-1"]
