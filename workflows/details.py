"""What an operator sees of a conversation at a glance. Pure; never a guest's words, name or address."""

from datetime import datetime

from contracts.conversations import ConversationState
from workflows import promises
from workflows.record import Record


def details(record: Record, now: datetime) -> str:
    """State, owner, and what the conversation waits for until when, in Markdown."""
    conversation = record.conversation
    lines = [
        f"**{conversation.state.upper()}** · {conversation.property_id} · {conversation.channel_type}"
        f" · priority {conversation.priority}",
        f"- Conversation: `{conversation.conversation_id}`",
        f"- Owner: {_owner(record)}",
        f"- Waiting for: {_waits_for(record)}",
    ]
    if conversation.escalation is not None:
        lines.append(f"- Escalated: {_shown(conversation.escalation.at)}")
    if record.wait is not None:
        late = " (late)" if record.wait.breached else ""
        lines.append(f"- Guest waiting since: {_shown(record.wait.since)}{late}")
    if record.sends:
        lines.append(f"- Waiting to be sent: {len(record.sends)} message(s), {record.sends[0].attempts} attempt(s)")
    if conversation.pending_actions:
        lines.append(f"- Waiting for approval: {len(conversation.pending_actions)} action(s)")
    if record.opted_out:
        lines.append("- The guest has opted out of this channel")
    if conversation.needs_review:
        lines.append("- Needs review: the AI failed")
    if not record.all_stored:
        lines.append(f"- Not stored yet: {len(record.outbox)} event(s)")
    deadline = promises.next_deadline(record, now)
    if deadline is not None:
        lines.append(f"- Next: {_shown(deadline.at)}, {deadline.what}")
    return "\n".join(lines)


def _owner(record: Record) -> str:
    if record.state is ConversationState.ESCALATED:
        return record.conversation.assigned_to or "nobody yet"
    return "the AI" if record.state is ConversationState.ACTIVE else "nobody"


def _waits_for(record: Record) -> str:
    match record.state:
        case ConversationState.NEW:
            return "the guest's first message"
        case ConversationState.RESOLVED:
            return "late messages, before it ends"
        case ConversationState.ACTIVE:
            return f"the AI to answer {len(record.queue)} message(s)" if record.queue else "the guest"
    if record.conversation.snoozed_until is not None:
        return f"the end of a snooze at {_shown(record.conversation.snoozed_until)}"
    if record.wait is None:
        return "the guest or the assignee"
    who = "the assignee to answer" if record.conversation.assigned_to else "somebody to claim and answer it"
    return who + (f" by {_shown(record.wait.due_at)}" if record.wait.due_at else "")


def _shown(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M} UTC"
