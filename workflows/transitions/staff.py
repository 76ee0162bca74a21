"""Commands of staff. `policy.refusal` has checked each one before."""

import functools
from datetime import datetime
from itertools import takewhile

from contracts.automations import AUTOMATION
from contracts.commands import (
    Actor,
    Assign,
    ChangePolicy,
    Command,
    Opening,
    Redeliver,
    Reply,
    SetConversationPriority,
    Snooze,
)
from contracts.conversations import ConversationState
from contracts.messages import Author, Delivery, DeliveryState, Message, Template
from contracts.names import CONTENT_LIMIT
from contracts.rules import ConversationPolicy
from workflows import editions, policy, surveys
from workflows.owed import Arrival
from workflows.record import STAFF_REPLIES, Record
from workflows.transitions.sending import give_up


def reply(record: Record, command: Reply, now: datetime) -> Message:
    """A person writes. A note changes nothing; a message to the guest takes the conversation over."""
    if command.message_id in record.staff_replies:
        return _repeated_reply(record, command, now)
    if command.private:
        message = record.add_message(
            command.message_id,
            Author.STAFF,
            command.content,
            now,
            author_name=command.by.name,
            attachments=command.attachments,
            private=True,
            delivery=DeliveryState.SENT,
        )
        _is_there(record, command, now)
        for staff_id in command.mentions:
            record.notify("mention", f"{command.by.name} mentioned you", now, staff_id=staff_id)
    else:
        message = _write_to_guest(record, command, now)
    _remember(record, message)
    return message


def open_conversation(record: Record, opening: Opening, now: datetime) -> None:
    """Staff write first. The conversation stays new until the guest answers.

    A resolved one that has not ended is reopened and assigned to them.
    """
    if opening.message_id in record.staff_replies:
        return
    if record.state is ConversationState.RESOLVED:
        record.activate("reopened", now, opening.by.id)
        record.escalate(f"{opening.by.name} wrote again", now, by=opening.by.id, assigned_to=opening.by.id)
        record.answered_by_person()
    else:
        conversation = record.conversation
        conversation.guest_id = record.profile.id = opening.guest_id or conversation.guest_id
        conversation.guest_name = record.profile.name = opening.guest_name
    message = record.say(
        Author.STAFF,
        opening.content or _shown(opening.template),
        now,
        message_id=opening.message_id,
        author_name=opening.by.name,
        attachments=opening.attachments,
        template=opening.template,
    )
    _keep_template(record, message, opening.template)
    _remember(record, message)


def claim(record: Record, command: Command, now: datetime) -> None:
    _take_over(record, command, f"{command.by.name} took over", now)
    _is_there(record, command, now)
    record.last_command = ("claim", command.by.id)


def assign(record: Record, command: Assign, now: datetime) -> None:
    """Assigns the conversation to a person, whoever had it."""
    before = record.conversation.assigned_to
    reason = command.reason or f"{command.by.name} assigned it to {command.staff_name}"
    record.escalate(reason, now, by=command.by.id, assigned_to=command.staff_id)
    _is_there(record, command, now)
    if before != command.staff_id and command.staff_id != command.by.id:
        record.notify("system", f"{command.by.name} assigned a conversation to you", now, staff_id=command.staff_id)
    record.last_command = (f"assign {command.staff_id}", command.by.id)


def unassign(record: Record, command: Command, now: datetime) -> None:
    _is_there(record, command, now)
    if record.conversation.assigned_to is not None:
        record.assign(None, now, command.by.id)
        record.notify("escalation", f"{command.by.name} unassigned a conversation; nobody has it now", now)
    record.last_command = ("unassign", command.by.id)


def escalate(record: Record, command: Command, now: datetime) -> None:
    if record.state is not ConversationState.ESCALATED:
        record.escalate(command.reason or f"{command.by.name} asked for a person", now, by=command.by.id)
    record.last_command = ("escalate", command.by.id)


def return_to_ai(record: Record, command: Command, now: datetime) -> None:
    if record.state is ConversationState.ESCALATED:
        if record.policy.edition >= editions.SECOND:
            record.unread_by_ai = [each.model_copy(update={"returned_at": now}) for each in record.unread_by_ai]
        if record.policy.edition >= editions.FOURTH:
            record.unread_by_ai = _for_the_ai(record, now)
        record.activate("returned", now, command.by.id)
    record.last_command = ("return", command.by.id)


def prioritise(record: Record, command: SetConversationPriority, now: datetime) -> None:
    record.prioritise(command.priority, now, command.by.id, command.reason)
    _is_there(record, command, now)


def snooze(record: Record, command: Snooze, now: datetime) -> None:
    """Hides the conversation until a moment, or until the guest writes. A running deadline is not extended."""
    _is_there(record, command, now)
    if record.conversation.snoozed_until != command.until:
        record.conversation.snoozed_until = command.until
        record.change("snoozed", now, command.by.id, command.reason)


def resolve(record: Record, command: Command, now: datetime) -> None:
    if record.state is not ConversationState.RESOLVED:
        record.resolve(now, command.by.id, command.reason)
        record.asking.due = surveys.is_due(record, now)
    record.last_command = ("resolve", command.by.id)


def read(record: Record, command: Command, now: datetime) -> None:
    if record.conversation.unread:
        record.conversation.unread = 0
        record.change("read", now, command.by.id)


def reviewed(record: Record, command: Command, now: datetime) -> None:
    _is_there(record, command, now)
    if record.conversation.needs_review:
        record.conversation.needs_review = False
        record.change("reviewed", now, command.by.id, command.reason)


def change_policy(record: Record, command: ChangePolicy, now: datetime) -> None:
    """Changes the rules of this conversation and recalculates a running deadline."""
    rules, changes = (
        record.policy.model_dump(by_alias=False),
        command.changes.model_dump(exclude_none=True, by_alias=False),
    )
    for name, value in changes.items():
        # In rules by priority or action, entries that are not named stay as they are.
        rules[name] = rules[name] | value if isinstance(value, dict) else value
    changed = ConversationPolicy.model_validate(rules)
    if changed != record.policy:
        record.policy = changed
        _is_there(record, command, now)
        record.change("policy", now, command.by.id, command.reason)
        record.promise()


def redeliver(record: Record, command: Redeliver, now: datetime) -> Message:
    """Retries a waiting message at once, or skips it so that later ones are sent.

    A message that was already given up is sent again as a new message.
    """
    if command.copy_id in record.staff_replies:
        return record.message(command.copy_id) or _rebuilt(record, command.copy_id, "", command.by, now, private=False)
    message = record.message(command.message_id)
    pending = next((send for send in record.sends if send.message.id == command.message_id), None)
    if pending is None:
        assert message is not None  # checked before the command was accepted
        return _say_again(record, message, command, now)
    if command.skip:
        give_up(record, pending, f"{command.by.name} skipped it", now)
    else:
        pending.not_before = None
    return message or pending.message


def _say_again(record: Record, lost: Message, command: Redeliver, now: datetime) -> Message:
    template = record.templates.get(lost.id)
    again = record.say(
        Author.STAFF if lost.author is Author.AI else lost.author,  # staff resend it, whoever wrote it
        lost.content,
        now,
        message_id=command.copy_id,
        author_name=lost.author_name or command.by.name,
        attachments=lost.attachments,
        template=template,
    )
    _keep_template(record, again, template)
    _remember(record, again)
    if record.policy.edition >= editions.SECOND and lost.author is Author.AI and _is_last_word(record, lost):
        record.answered_by_person()
    elif record.policy.edition >= editions.FOURTH and lost.author is Author.AI:
        record.unread_by_ai = [each for each in record.unread_by_ai if each.message.seq > lost.seq]
    return again


def _is_last_word(record: Record, message: Message) -> bool:
    """Whether the guest has written nothing after it."""
    return not any(each.author is Author.GUEST and each.seq > message.seq for each in record.window)


def _write_to_guest(record: Record, command: Reply, now: datetime) -> Message:
    if command.by == AUTOMATION:
        return _say_by_rule(record, command, now)
    if record.state is not ConversationState.NEW or record.unchecked:
        _take_over(record, command, f"{command.by.name} replied", now)
    draft = record.conversation.draft
    used = draft if draft is not None and draft.id == command.draft_id else None
    record.conversation.unread = 0
    record.conversation.draft = None
    record.answered_by_person()
    message = record.say(
        Author.STAFF,
        command.content or (used.content if used else _shown(command.template)),
        now,
        message_id=command.message_id,
        author_name=command.by.name,
        attachments=command.attachments,
        template=command.template,
        ai=used.ai if used else None,
    )
    _keep_template(record, message, command.template)
    return message


def _say_by_rule(record: Record, command: Reply, now: datetime) -> Message:
    """An automation's message, which no person wrote: ownership and response deadlines stay as they are."""
    message = record.say(
        Author.SYSTEM,
        command.content or _shown(command.template),
        now,
        message_id=command.message_id,
        template=command.template,
    )
    _keep_template(record, message, command.template)
    return message


def _take_over(record: Record, command: Command, reason: str, now: datetime) -> None:
    record.escalate(reason, now, by=command.by.id, assigned_to=command.by.id)


def _for_the_ai(record: Record, now: datetime) -> list[Arrival]:
    """The unanswered messages that go back to the AI, without those that it would only hand over as before.

    What came before such a one stays with it, because answers keep to the order of questions.
    """
    autonomy = policy.autonomy(record.policy, record.profile, vip=record.vip)
    asked = functools.partial(policy.before_asking, autonomy=autonomy, answered=record.answered_questions)

    def may_be_tried(arrival: Arrival) -> bool:
        return not arrival.handed_over or asked(record.policy, [arrival], now) is None

    tried = [*takewhile(may_be_tried, reversed(record.unread_by_ai))][::-1]
    has_drafted_all = autonomy == "draft" and all(each.handed_over for each in tried)
    return [] if has_drafted_all else tried


def _is_there(record: Record, command: Command, now: datetime) -> None:
    """A person is at a conversation that waits for staff: the time until it closes by itself begins anew."""
    waits = record.state is ConversationState.ESCALATED or bool(record.conversation.pending_actions)
    if record.policy.edition >= editions.FOURTH and waits and command.by != AUTOMATION:
        record.active_since = now


def _shown(template: Template | None) -> str:
    """The text shown for a template that has no content."""
    return "" if template is None else " · ".join([f"[{template.name}]", *template.texts])


def _keep_template(record: Record, message: Message, template: Template | None) -> None:
    """Keeps a template as long as its message is in the window and may be sent again.

    No network accepts one longer than what is kept of a message.
    """
    kept = dict(record.templates)
    if template is not None and len("".join(template.texts)) <= CONTENT_LIMIT:
        kept[message.id] = template
    shown = {each.id for each in record.window}
    record.templates = {message_id: each for message_id, each in kept.items() if message_id in shown}


def _remember(record: Record, message: Message) -> None:
    record.staff_replies[message.id] = message.seq
    while len(record.staff_replies) > STAFF_REPLIES:
        del record.staff_replies[next(iter(record.staff_replies))]


def _repeated_reply(record: Record, command: Reply, now: datetime) -> Message:
    """The message that the first of repeated commands created, rebuilt if it has left the window."""
    kept = record.message(command.message_id)
    if kept is not None:
        return kept
    rebuilt = _rebuilt(record, command.message_id, command.content, command.by, now, private=command.private)
    rebuilt.attachments = command.attachments
    return rebuilt


def _rebuilt(record: Record, message_id: str, content: str, by: Actor, now: datetime, *, private: bool) -> Message:
    return Message(
        id=message_id,
        conversation_id=record.conversation.conversation_id,
        seq=record.staff_replies[message_id],
        author=Author.STAFF,
        author_name=by.name,
        content=content,
        private=private,
        created_at=now,
        delivery=Delivery(state=DeliveryState.SENT),
    )
