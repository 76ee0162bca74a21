"""What happens to a conversation as time passes: promises to waiting guests, snoozes and idle closing. Pure."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from contracts.conversations import ConversationState
from contracts.messages import Author
from contracts.rules import ConversationPolicy, Priority
from workflows import editions, hours, policy, surveys
from workflows.owed import Arrival
from workflows.record import Record

DEBOUNCES_AT_MOST = 5
"""A guest who keeps typing is answered after this many debounces."""
ANSWERS_AT_MOST = 4
"""How often a turn may ask the AI: once, and again for each new message that makes the answer stale."""
TIME_TO_ASK = timedelta(minutes=15)
"""An idle conversation closes this long before its channel stops accepting free text, to ask for a rating in time."""
A_CHAT = timedelta(minutes=30)
"""Somebody who wrote to the guest after hours is taken to be there this long."""
GRACE = timedelta(minutes=1)
"""Added to the longest time a turn may take before a message counts as forgotten."""
_ABOVE: dict[Priority, Priority] = {"low": "normal", "normal": "high", "high": "urgent", "urgent": "urgent"}


@dataclass(frozen=True, slots=True)
class Deadline:
    """A moment at which something happens to the conversation, and what, in words for operators."""

    at: datetime
    what: str


def next_deadline(record: Record, now: datetime) -> Deadline | None:
    """The next deadline. It is in the past if something is due already."""
    return min(_deadlines(record, now), key=lambda deadline: deadline.at, default=None)


def fall_due(record: Record, now: datetime) -> None:
    """Does everything that is due, each thing once."""
    if record.state is ConversationState.ESCALATED:
        _keep_promise(record, now)
        _end_snooze(record, now)
    closing = _closing(record)
    if closing is not None and now >= closing.at:
        _close(record, now)


def window_is_over(record: Record, now: datetime) -> bool:
    """Whether a resolved conversation has waited long enough for a late message or a rating."""
    return now >= _window_end(record)


def debounce_left(rules: ConversationPolicy, waiting: Sequence[Arrival], now: datetime) -> timedelta:
    """How long to wait for more messages of a burst: counted from the newest, but limited from the oldest."""
    if not waiting:
        return timedelta(0)
    oldest, newest = waiting[0].message.created_at, waiting[-1].message.created_at
    until = min(newest + rules.debounce, oldest + DEBOUNCES_AT_MOST * rules.debounce)
    return until - now


def unsettled(record: Record, now: datetime) -> list[str]:
    """Ids of guest messages whose outcome is overdue."""
    longest = _longest_turn(record.policy)
    waiting = [(arrival.message.id, arrival.returned_at or arrival.received_at) for arrival in record.queue]
    waiting += [(message.id, message.received_at) for message in record.unchecked]
    return [message_id for message_id, received_at in waiting if now - received_at > longest]


def away_words(record: Record, now: datetime, *, again: bool = False) -> str | None:
    """What to tell a guest while nobody is there. None if somebody is, or if the guest knows and `again` is not set.

    `again` is for a guest whom the AI has just handed over, and with whom nobody is chatting.
    """
    rules = record.policy
    was_told = record.told_away_until is not None and now < record.told_away_until
    if hours.is_open(rules.hours, now) or ((was_told or _is_in_a_chat(record, now)) and not again):
        return None
    back = hours.opens_next(rules.hours, now)
    if back is None:
        return None
    record.told_away_until = back
    return rules.away_text.replace("{back}", f"{hours.local_time(rules.hours, back):%A, %d %B, %H:%M}")


def _is_in_a_chat(record: Record, now: datetime) -> bool:
    """Whether a person has just written to the guest although it is after hours."""
    if record.policy.edition < editions.THIRD:
        return False
    return any(
        message.author is Author.STAFF
        and not message.private
        and now - message.created_at <= A_CHAT
        and not hours.is_open(record.policy.hours, message.created_at)
        for message in record.window
    )


def _deadlines(record: Record, now: datetime) -> Iterator[Deadline]:
    if record.state is ConversationState.RESOLVED:
        if now < _window_end(record):
            yield Deadline(_window_end(record), "it ends")
        return
    if (closing := _closing(record)) is not None:
        yield closing
    if record.state is not ConversationState.ESCALATED:
        return
    wait = record.wait
    if wait is not None and not wait.breached:
        if wait.remind_at is not None and not wait.reminded:
            yield Deadline(wait.remind_at, "staff are reminded")
        if wait.due_at is not None:
            yield Deadline(wait.due_at, "an answer from staff is due")
    if record.conversation.snoozed_until is not None:
        yield Deadline(record.conversation.snoozed_until, "the snooze ends")


def _keep_promise(record: Record, now: datetime) -> None:
    """Reminds staff at half time. When time is up, tells managers and, once, the guest; a late reminder is skipped."""
    wait = record.wait
    if wait is None or wait.breached:
        return
    if wait.due_at is not None and now >= wait.due_at:
        wait.breached = True
        record.prioritise(_ABOVE[record.conversation.priority], now)
        record.notify("sla", "A guest has waited longer than promised", now, audience="managers")
        if not record.told_of_breach and policy.refusal_of_channel(record, with_template=False, now=now) is None:
            record.told_of_breach = True
            record.say(Author.SYSTEM, record.policy.breach_text, now)
    elif wait.remind_at is not None and now >= wait.remind_at and not wait.reminded:
        wait.reminded = True
        holder = record.conversation.assigned_to
        record.notify("sla", "Half the time to answer a guest has passed", now, staff_id=holder)


def _end_snooze(record: Record, now: datetime) -> None:
    until = record.conversation.snoozed_until
    if until is not None and now >= until:
        record.wake(now)
        record.notify("system", "The snooze of a conversation has ended", now, staff_id=record.conversation.assigned_to)


def _close(record: Record, now: datetime) -> None:
    match record.state:
        case ConversationState.NEW:
            record.resolve(now, reason="The guest never wrote")
        case ConversationState.ACTIVE if not _waits_for_staff(record):
            record.resolve(now, reason="Nobody has written for a while")
            record.asking.due = surveys.is_due(record, now)
        case state:
            days = record.policy.escalated_timeout.total_seconds() / timedelta(days=1).total_seconds()
            reason = f"Nothing has happened for {days:g} days"
            what = "An escalated conversation" if state is ConversationState.ESCALATED else "An undecided conversation"
            record.notify("system", f"{what} was closed: {reason.lower()}", now, audience="managers")
            record.resolve(now, reason=reason)


def _closing(record: Record) -> Deadline | None:
    """When the conversation closes if nothing happens. None if it never does, e.g. while it owes a reply."""
    if record.queue or record.unchecked or record.sends or record.state is ConversationState.RESOLVED:
        return None
    conversation, rules = record.conversation, record.policy
    moments = [conversation.created_at, conversation.last_message_at, record.active_since]
    if _waits_for_staff(record):
        if not rules.escalated_timeout:
            return None
        moments += [conversation.escalation.at if conversation.escalation else None, conversation.snoozed_until]
        limit = rules.escalated_timeout
    else:
        limit = rules.idle_timeout
    idle_since = max(moment for moment in moments if moment is not None)
    at = _in_time_to_ask(record, idle_since + limit)
    return Deadline(idle_since + limit if at < idle_since + limit / 2 else at, "it closes if nothing happens")


def _waits_for_staff(record: Record) -> bool:
    """Whether staff have the conversation, or an action of the AI waits for their decision."""
    asked = bool(record.conversation.pending_actions) and record.policy.edition >= editions.THIRD
    return asked or record.state is ConversationState.ESCALATED


def _in_time_to_ask(record: Record, closing: datetime) -> datetime:
    """Moves `closing` forward if the channel would no longer accept the survey's question by then."""
    until = record.route.free_text_until
    asks = record.state is ConversationState.ACTIVE and record.policy.survey is not None
    asks = asks and not _waits_for_staff(record)
    if until is None or not asks or record.policy.edition < editions.SECOND:
        return closing
    return min(closing, until - TIME_TO_ASK)


def _window_end(record: Record) -> datetime:
    """When the window for late messages and ratings ends."""
    conversation = record.conversation
    end = (conversation.resolved_at or conversation.created_at) + record.policy.resolved_window
    return end if conversation.survey is None else max(end, conversation.survey.until)


def _longest_turn(rules: ConversationPolicy) -> timedelta:
    return DEBOUNCES_AT_MOST * rules.debounce + ANSWERS_AT_MOST * rules.ai_timeout + GRACE
