"""Actions that the AI asks for: carried out, put before staff, or refused."""

from datetime import timedelta

import pytest

from contracts.ai import Action
from contracts.commands import DecideAction, TaskDone
from contracts.conversations import ConversationState
from contracts.messages import Author
from contracts.rules import ActionType, Approval, ConversationPolicy
from contracts.tasks import Task
from tests.records import ANA, CONVERSATION_ID, NOW, a_message, a_record, an_answer, arrived, happened
from workflows import policy, transitions
from workflows.record import Record

NEW, ACTIVE, ESCALATED, RESOLVED = ConversationState
LATER = NOW + timedelta(minutes=1)
RULES = ConversationPolicy()
TOWELS = Action(id="x", type="create_task", params={"department": "housekeeping", "title": "Towels"})
LATE = Action(id="x", type="request_late_checkout", params={"until": "14:00"})
LOOK = Action(id="x", type="notify_staff", params={"text": "It is their birthday"})


def _asked(*actions: Action, rules: ConversationPolicy = RULES, confidence: float = 0.9) -> Record:
    """A conversation in which the AI asked for these; only what came of them is left to be told."""
    record = a_record(policy=rules)
    turn = arrived(record, a_message())
    answer = an_answer(actions=actions, confidence=confidence)
    transitions.conclude(record, turn, policy.after_answer(rules, answer), "r-1", NOW)
    record.outbox = [event for event in record.outbox if event.change and event.change.startswith("action")]
    return record


def _decide(record: Record, *, approve: bool, reason: str | None = None, action_id: str = "r-1-1") -> bool:
    command = DecideAction(conversation_id=CONVERSATION_ID, by=ANA, action_id=action_id, approve=approve, reason=reason)
    return transitions.decide(record, command, LATER)


def _all(approval: Approval) -> ConversationPolicy:
    every: dict[ActionType, Approval] = dict.fromkeys(RULES.approvals, approval)
    return ConversationPolicy(approvals=every)


@pytest.mark.parametrize(
    ("action", "rules", "confidence", "waits"),
    [
        pytest.param(TOWELS, RULES, 0.9, False, id="a task"),
        pytest.param(LATE, RULES, 0.9, True, id="a late check-out"),
        pytest.param(LOOK, RULES, 0.9, False, id="a word to staff"),
        pytest.param(TOWELS, _all("ask"), 0.9, True, id="a task, where the hotel wants to be asked"),
        pytest.param(LATE, _all("auto"), 0.9, False, id="a late check-out, where the hotel does not"),
        pytest.param(TOWELS, ConversationPolicy(approvals={}), 0.9, True, id="a task, and no rule"),
        pytest.param(TOWELS, _all("auto"), 0.1, True, id="a task, and the AI is not sure"),
    ],
)
def test_what_is_carried_out_and_what_is_asked(
    action: Action, rules: ConversationPolicy, confidence: float, waits: bool
) -> None:
    record = _asked(action, rules=rules, confidence=confidence)
    named = action.model_copy(update={"id": "r-1-1"})
    assert record.conversation.pending_actions == ([named] if waits else [])
    assert record.steps == ([] if waits else [named])
    assert [(event.change, event.reason) for event in record.outbox] == (
        [("action_asked", action.type)] if waits else []
    )


@pytest.mark.parametrize(
    ("type_", "params", "why"),
    [
        pytest.param("open_safe", {}, "Unknown action open_safe", id="unknown"),
        pytest.param("Rosa's room: 214", {}, "Unknown action with an unreadable name", id="no plain name"),
        pytest.param("a" * 41, {}, "Unknown action with an unreadable name", id="a long name"),
        pytest.param(
            "create_task", {}, "create_task: wrong parameters (department, title)", id="parameters that are missing"
        ),
        pytest.param(
            "create_task",
            {"department": "kitchen", "title": "x"},
            "create_task: wrong parameters (department)",
            id="a department that does not exist",
        ),
        pytest.param(
            "create_task",
            {"department": "concierge", "title": ""},
            "create_task: wrong parameters (title)",
            id="an empty title",
        ),
        pytest.param(
            "request_late_checkout",
            {"until": "x" * 41},
            "request_late_checkout: wrong parameters (until)",
            id="a time that is none",
        ),
        pytest.param("notify_staff", {"text": 7}, "notify_staff: wrong parameters (text)", id="words that are none"),
    ],
)
def test_what_is_refused(type_: str, params: dict[str, object], why: str) -> None:
    record = _asked(Action.model_validate({"id": "x", "type": type_, "params": params}))
    assert (record.steps, record.conversation.pending_actions) == ([], [])
    assert [(event.change, event.reason) for event in record.outbox] == [("action_refused", why)]


def test_actions_are_carried_out_in_their_order_under_names_of_their_turn() -> None:
    record = _asked(TOWELS, Action(id="x", type="open_safe"), LOOK)
    assert [(step.id, step.type) for step in record.steps] == [("r-1-1", "create_task"), ("r-1-3", "notify_staff")]
    assert transitions.next_step(record, LATER) is not None
    assert transitions.next_step(record, LATER) is None
    assert record.steps == []


@pytest.mark.parametrize(
    ("action", "department", "title"),
    [
        pytest.param(TOWELS, "housekeeping", "Towels", id="a task"),
        pytest.param(LATE, "front_desk", "Late check-out until 14:00", id="a late check-out"),
        pytest.param(LATE.model_copy(update={"params": {}}), "front_desk", "Late check-out", id="without a time"),
    ],
)
def test_the_task_of_an_action(action: Action, department: str, title: str) -> None:
    tasks: list[Task] = []
    for _ in range(2):
        record = _asked(action, rules=_all("auto"))
        task = transitions.next_step(record, LATER)
        assert task is not None
        tasks.append(task)
        assert [(event.change, event.reason) for event in record.outbox] == [("action_done", action.type)]
    assert tasks[0] == tasks[1], "its id too is the same, so that it is begun once"
    task = tasks[0]
    assert (task.department, task.title, task.priority, task.status) == (department, title, "normal", "open")
    assert (task.property_id, task.conversation_id, task.guest_id) == ("hotel", CONVERSATION_ID, "guest-contact")
    assert (task.created_at, task.updated_at) == (LATER, LATER)


def test_another_action_has_another_task() -> None:
    record = _asked(TOWELS, TOWELS)
    first, second = transitions.next_step(record, LATER), transitions.next_step(record, LATER)
    assert first is not None
    assert second is not None
    assert first.id != second.id


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("It is their birthday", ["action_done", "system", "message"], id="with words"),
        pytest.param(" ", ["action_done", "system"], id="without"),
    ],
)
def test_a_word_to_staff_is_a_note(text: str, told: list[str]) -> None:
    record = _asked(LOOK.model_copy(update={"params": {"text": text}}))
    before = len(record.sends)
    assert transitions.next_step(record, LATER) is None
    assert happened(record) == told
    if "message" in told:
        note = record.window[-1]
        assert (note.id, note.author, note.content, note.private) == ("r-1-1-note", Author.SYSTEM, text, True)
    assert len(record.sends) == before, "nothing goes to the guest"


@pytest.mark.parametrize(
    ("approve", "reason", "told", "said"),
    [
        pytest.param(True, None, [], RULES.late_checkout_text, id="approved"),
        pytest.param(False, None, ["Ana refused it"], RULES.no_late_checkout_text, id="refused"),
        pytest.param(False, "Fully booked", ["Fully booked"], RULES.no_late_checkout_text, id="refused, with a reason"),
    ],
)
def test_what_staff_decide_on_a_late_checkout(approve: bool, reason: str | None, told: list[str], said: str) -> None:
    record = _asked(LATE)
    record.outbox, record.sends = [], []
    assert _decide(record, approve=approve, reason=reason)
    assert [event.reason for event in record.outbox if event.change == "action_refused"] == told
    assert [step.id for step in record.steps] == (["r-1-1"] if approve else [])
    assert [(send.message.author, send.message.content) for send in record.sends] == [(Author.SYSTEM, said)]
    assert record.conversation.pending_actions == []
    assert not _decide(record, approve=approve), "decided once"


def test_a_guest_who_takes_no_messages_is_told_of_no_decision() -> None:
    record = _asked(LATE)
    record.sends, record.opted_out = [], True
    assert _decide(record, approve=True)
    assert record.sends == []


def test_what_staff_decide_on_anything_else_is_not_told_to_the_guest() -> None:
    record = _asked(TOWELS, rules=_all("ask"))
    record.sends = []
    assert _decide(record, approve=True)
    assert (record.sends, len(record.steps)) == ([], 1)


def test_there_is_nothing_to_decide_under_another_name() -> None:
    record = _asked(LATE)
    assert not _decide(record, approve=True, action_id="r-9-1")
    assert len(record.conversation.pending_actions) == 1


@pytest.mark.parametrize(
    ("state", "conversation_id", "opted_out", "said"),
    [
        pytest.param(ACTIVE, CONVERSATION_ID, False, ["Done: {title} of 214."], id="the AI's"),
        pytest.param(ESCALATED, CONVERSATION_ID, False, ["Done: {title} of 214."], id="a person's"),
        pytest.param(RESOLVED, CONVERSATION_ID, False, [], id="resolved"),
        pytest.param(RESOLVED, "contact-00000000", False, [], id="an earlier conversation's, and none is open"),
        pytest.param(ACTIVE, CONVERSATION_ID, True, [], id="opted out"),
    ],
)
def test_a_task_that_is_done_is_told_once(
    state: ConversationState, conversation_id: str, opted_out: bool, said: list[str]
) -> None:
    record = a_record(state)
    record.opted_out = opted_out
    for task_id in ("t-1", "t-1"):
        done = TaskDone(conversation_id=conversation_id, task_id=task_id, title="{title} of 214")
        transitions.task_done(record, done, LATER)
    assert [(send.message.author, send.message.content) for send in record.sends] == [
        (Author.SYSTEM, words) for words in said
    ]
