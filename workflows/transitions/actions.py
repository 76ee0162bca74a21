"""Actions that the AI asks for: carried out, put to staff for approval, or refused. Each outcome is an event."""

import re
from datetime import datetime
from typing import get_args
from uuid import UUID, uuid5

from pydantic import Field, ValidationError

from contracts.ai import Action
from contracts.base import Model
from contracts.commands import DecideAction, TaskDone
from contracts.conversations import ConversationState
from contracts.messages import Author, DeliveryState
from contracts.rules import ActionType, Department, Priority
from contracts.tasks import Task
from workflows import editions, policy
from workflows.hours import after_open_time
from workflows.record import Record

_TASKS = UUID("5f4b1a7e-63f4-4a83-8a0e-2f6a0a0f5b61")
"""UUID namespace of the ids of tasks created by actions: an action creates its task once, however often it runs."""
PENDING_ACTIONS = 20
"""How many actions may wait for staff, because the conversation carries them."""
_NAME = re.compile(r"[a-z][a-z_]{0,39}")


class _CreateTask(Model):
    """Parameters of `create_task`."""

    department: Department
    title: str = Field(min_length=1, max_length=200)
    description: str = Field(default="", max_length=4096)
    priority: Priority = "normal"


class _LateCheckout(Model):
    """Parameters of `request_late_checkout`."""

    until: str | None = Field(default=None, max_length=40)


class _NotifyStaff(Model):
    """Parameters of `notify_staff`."""

    text: str = Field(default="", max_length=1000)


_PARAMETERS: dict[ActionType, type[Model]] = {
    "create_task": _CreateTask,
    "request_late_checkout": _LateCheckout,
    "notify_staff": _NotifyStaff,
}


def take_up(record: Record, actions: list[Action], reply_id: str, now: datetime, *, sure: bool) -> None:
    """Takes up the actions of one turn. If the AI is not `sure` of its answer, staff must approve all of them."""
    for number, wanted in enumerate(actions, start=1):
        action = Action(id=f"{reply_id}-{number}", type=wanted.type, params=wanted.params)
        wrong = _why_not(action)
        if wrong is not None:
            record.change("action_refused", now, reason=wrong)
        elif sure and record.policy.approvals.get(_type_of(action), "ask") == "auto":
            record.steps.append(action)
        elif (needless := _why_not_asked(record, action)) is not None:
            record.change("action_refused", now, reason=needless)
        else:
            record.conversation.pending_actions = [*record.conversation.pending_actions, action]
            record.change("action_asked", now, reason=action.type)
            record.notify("system", f"The AI asks for approval: {_words(action.type)}", now)


def decide(record: Record, command: DecideAction, now: datetime) -> bool:
    """Approves or refuses a pending action. Returns False if there is none of this id."""
    conversation = record.conversation
    action = next((each for each in conversation.pending_actions if each.id == command.action_id), None)
    if action is None:
        return False
    conversation.pending_actions = [each for each in conversation.pending_actions if each.id != action.id]
    if record.policy.edition >= editions.THIRD:
        record.active_since = now  # it did not close while the action waited
    if command.approve:
        record.steps.append(action)
    else:
        record.change("action_refused", now, command.by.id, command.reason or f"{command.by.name} refused it")
    if action.type == "request_late_checkout":
        words = record.policy.late_checkout_text if command.approve else record.policy.no_late_checkout_text
        _tell_guest(record, words, now)
    return True


def next_step(record: Record, now: datetime) -> Task | None:
    """Carries out the next action. Returns the task for the workflow to start, if it creates one."""
    action = record.steps[0]
    record.steps = record.steps[1:]
    conversation = record.conversation
    record.change("action_done", now, reason=action.type)
    match _type_of(action):
        case "notify_staff":
            said = _NotifyStaff.model_validate(action.params)
            record.notify("system", "The AI asks you to look at a conversation", now)
            if said.text.strip():
                record.add_message(
                    f"{action.id}-note", Author.SYSTEM, said.text, now, private=True, delivery=DeliveryState.SENT
                )
            return None
        case "request_late_checkout":
            until = _LateCheckout.model_validate(action.params).until
            wanted = _CreateTask(department="front_desk", title=f"Late check-out{f' until {until}' if until else ''}")
        case _:
            wanted = _CreateTask.model_validate(action.params)
    if record.policy.edition >= editions.THIRD:
        record.notify("system", f"The AI created a task for {_words(wanted.department)}", now)
    return Task(
        id=str(uuid5(_TASKS, f"{conversation.conversation_id} {action.id}")),
        property_id=conversation.property_id,
        conversation_id=conversation.conversation_id,
        guest_id=conversation.guest_id,
        department=wanted.department,
        title=wanted.title,
        description=wanted.description,
        priority=wanted.priority,
        due_at=_due_at(record, wanted.department, now),
        created_at=now,
        updated_at=now,
    )


def _due_at(record: Record, department: Department, now: datetime) -> datetime | None:
    """When a department should have done a task; None if it need not be reminded, or nobody is ever there."""
    allowed = record.policy.task_due_in.get(department)
    if allowed is None or record.policy.edition < editions.FOURTH:
        return None
    return after_open_time(record.policy.hours, now, allowed)


def task_done(record: Record, done: TaskDone, now: datetime) -> None:
    """Tells the guest, once, that their request is done, even if they made it in an earlier conversation."""
    marker = f"task-done {done.task_id}"
    mine = done.conversation_id == record.conversation.conversation_id or record.policy.edition >= editions.THIRD
    if not mine or record.state is ConversationState.RESOLVED or record.remembers(marker):
        return
    record.remember(marker)
    _tell_guest(record, record.policy.task_done_text.replace("{title}", done.title), now)


def _tell_guest(record: Record, words: str, now: datetime) -> None:
    """Tells the guest. If the channel accepts nothing now, staff are notified instead."""
    refused = policy.refusal_of_channel(record, with_template=False, now=now)
    if refused is None:
        record.say(Author.SYSTEM, words, now)
    elif record.policy.edition >= editions.THIRD:
        record.notify("delivery_failed", f"A message could not be delivered: {refused.title.lower()}", now)


def _why_not(action: Action) -> str | None:
    """Why an action cannot be carried out. A model's text is repeated only if it is a plain name."""
    if action.type not in get_args(ActionType):
        return f"Unknown action {action.type if _NAME.fullmatch(action.type) else 'with an unreadable name'}"
    try:
        _PARAMETERS[_type_of(action)].model_validate(action.params)
    except ValidationError as error:
        wrong = ", ".join(sorted({".".join(map(str, each["loc"])) for each in error.errors()}))
        return f"{action.type}: wrong parameters ({wrong})"
    return None


def _why_not_asked(record: Record, action: Action) -> str | None:
    """Why staff are not asked about an action: there are too many, or the same one is already pending."""
    pending = record.conversation.pending_actions
    if record.policy.edition < editions.SECOND:
        return None
    if any((each.type, each.params) == (action.type, action.params) for each in pending):
        return f"{action.type}: is already waiting for a decision"
    if len(pending) >= PENDING_ACTIONS:
        return f"{action.type}: {PENDING_ACTIONS} others are already waiting for a decision"
    return None


def _type_of(action: Action) -> ActionType:
    return next(known for known in get_args(ActionType) if known == action.type)


def _words(name: str) -> str:
    return name.replace("_", " ")
