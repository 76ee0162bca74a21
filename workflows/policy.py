"""Decisions of a conversation: state and event in, what to do out. Pure, so that a table can test them."""

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from contracts.ai import AIResponse
from contracts.conversations import ConversationState
from contracts.events import NotificationKind, SendResult
from contracts.problems import GatewayError, HeldByOther, Resolved, WrongState
from contracts.rules import ConversationPolicy
from workflows.record import Arrival, PendingSend, Record

CommandName = Literal["reply", "note", "claim", "escalate", "return", "resolve"]
OutcomeKind = Literal["answered", "handed", "suppressed"]

FAILURES_TO_ESCALATE = 2
"""Turns in a row that the AI may fail before a person gets the conversation."""
DEBOUNCES_AT_MOST = 5
"""A guest who keeps typing is answered after this many debounces."""
SEND_FIRST_BACKOFF = timedelta(seconds=1)
SEND_LONGEST_BACKOFF = timedelta(minutes=1)
SEND_GIVES_UP_AFTER = timedelta(minutes=15)
STORAGE_FIRST_BACKOFF = timedelta(seconds=1)
STORAGE_LONGEST_BACKOFF = timedelta(seconds=30)

_PERSON = r"(person|human|someone|somebody|agent|staff|manager|receptionist|reception|front\ desk|operator|colleague)"
_ASKS_FOR_PERSON = re.compile(
    rf"""
    \b(speak|talk|chat|connect\ me|put\ me\ through|transfer\ me)\b[^.?!]{{0,25}}
        \b(to|with)\b[^.?!]{{0,20}}\b{_PERSON}\b
    | \b(want|need|prefer|get\ me|give\ me)\ ((a|an|the|some|your)\ )?((real|actual|live|human)\ )?
        (person|human|agent|manager|operator|receptionist)\b
    | \b(real|actual|live)\ (person|human|agent)\b
    | \b(falar|conversar)\ com\ (uma\ pessoa|algu[eé]m|um\ humano|um\ atendente|a\ recep?[cç][aã]o)
    | \bhablar\ con\ (una\ persona|alguien|un\ humano|un\ agente|la\ recepci[oó]n)
    | \bparler\ [aà]\ (une\ (vraie\ )?personne|quelqu.un|un\ humain|la\ r[eé]ception)
    | \bmit\ (einem\ (echten\ )?menschen|einer\ person|jemandem|einem\ mitarbeiter|der\ rezeption)\ (sprechen|reden)
    """,
    re.IGNORECASE | re.VERBOSE,
)


def asks_for_person(text: str) -> bool:
    """Whether a guest plainly asks for a person; what is less plain is the engine's to see."""
    return _ASKS_FOR_PERSON.search(text) is not None


# --- commands ----------------------------------------------------------------------------------------------------


def refusal(record: Record, command: CommandName, by: str, conversation_id: str) -> GatewayError | None:
    """Why a command cannot be carried out now, or None."""
    conversation = record.conversation
    if conversation_id != conversation.conversation_id:
        return Resolved(
            f"conversation {conversation_id} is resolved; the contact's open one is another", state="resolved"
        )
    repeated = record.last_command == (command, by)
    if conversation.state is ConversationState.RESOLVED:
        if command == "note" or (command == "resolve" and repeated):
            return None
        return Resolved(f"conversation {conversation_id} is resolved; {command} needs an open one", state="resolved")
    holder = conversation.assigned_to
    if command in ("reply", "claim") and holder is not None and holder != by:
        return HeldByOther(
            f"{holder} holds the conversation; they can return it first", assignedTo=holder, state=conversation.state
        )
    if command == "return" and conversation.state is not ConversationState.ESCALATED and not repeated:
        return WrongState(
            f"the conversation is {conversation.state}; only an escalated one can be returned to the AI",
            state=conversation.state,
        )
    return None


# --- turns -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Handover:
    """A person takes over: told to the guest in `text`, to staff in `reason`; the AI's own words become a draft."""

    reason: str
    text: str
    draft: AIResponse | None = None


@dataclass(frozen=True)
class Reply:
    text: str
    reason: str
    response: AIResponse


@dataclass(frozen=True)
class Fallback:
    """The AI failed: the guest gets a standing text, staff a notice; `escalation` after repeated failure."""

    text: str
    reason: str
    notice: NotificationKind = "ai_timeout"
    escalation: str | None = None


TurnDecision = Handover | Reply | Fallback


def before_asking(policy: ConversationPolicy, arrivals: list[Arrival], now: datetime) -> Handover | None:
    """What is a person's whatever the AI would say."""
    if any(asks_for_person(arrival.message.content) for arrival in arrivals):
        return Handover(reason="The guest asked for a person", text=policy.handover_text)
    if any(now - arrival.sent_at > policy.message_age_limit for arrival in arrivals):
        return Handover(reason="The message reached us too late to be answered by the AI", text=policy.handover_text)
    return None


def after_answer(policy: ConversationPolicy, response: AIResponse) -> TurnDecision:
    """What to do with what the AI says."""
    if response.should_escalate:
        return Handover(f"The AI asks for a person ({response.intent})", policy.handover_text, response)
    if response.confidence < policy.escalation_threshold:
        doubt = f"The AI is unsure ({response.confidence:.2f}, needs {policy.escalation_threshold:.2f})"
        return Handover(doubt, policy.handover_text, response)
    if not response.response.strip():
        return Handover("The AI gave an empty answer", policy.handover_text)
    return Reply(response.response, f"Answered with confidence {response.confidence:.2f}", response)


def after_failure(policy: ConversationPolicy, failures: int, cause: str) -> Fallback:
    """What to do when the AI gave no answer for the `failures`th time in a row."""
    repeated = failures >= FAILURES_TO_ESCALATE
    return Fallback(
        text=policy.fallback_text,
        reason=f"The AI failed: {cause}",
        escalation=f"The AI failed {failures} times in a row" if repeated else None,
    )


# --- sending -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SendVerdict:
    """What follows an attempt to send: `done`, or again at `again_at`; `failed` says why it never will."""

    done: bool = False
    again_at: datetime | None = None
    failed: str | None = None
    tell_staff: bool = field(default=False)


def after_attempt(send: PendingSend, result: SendResult, policy: ConversationPolicy, now: datetime) -> SendVerdict:
    """Judges one attempt; `send.attempts` counts it already."""
    reason = result.reason or "the channel gave no reason"
    if result.result == "sent":
        return SendVerdict(done=True)
    if result.result == "failed":
        return SendVerdict(failed=reason, tell_staff=True)
    started = send.first_attempt_at or now
    if now - started >= SEND_GIVES_UP_AFTER:
        return SendVerdict(failed=f"given up after {send.attempts} tries: {reason}", tell_staff=True)
    wait = _exponential(SEND_FIRST_BACKOFF, SEND_LONGEST_BACKOFF, send.attempts)
    if result.retry_after is not None:
        # A channel may name any number; what is longer than we try for would only leave the message hanging.
        wait = max(wait, timedelta(seconds=min(SEND_GIVES_UP_AFTER.total_seconds(), result.retry_after)))
    return SendVerdict(again_at=now + wait, tell_staff=send.attempts > policy.max_retries and not send.told_staff)


def storage_backoff(failures: int) -> timedelta:
    """How long to wait before storage is tried again, with nothing new to publish."""
    return _exponential(STORAGE_FIRST_BACKOFF, STORAGE_LONGEST_BACKOFF, failures)


def _exponential(first: timedelta, longest: timedelta, failures: int) -> timedelta:
    """Doubles with each failure; the exponent is bounded because timedelta is."""
    doubled: int = 2 ** min(failures - 1, 10)
    return min(longest, first * doubled)


# --- time --------------------------------------------------------------------------------------------------------


def next_deadline(record: Record) -> datetime | None:
    """When time alone changes this conversation: an idle one closes, a resolved one's window ends."""
    conversation = record.conversation
    if conversation.state is ConversationState.RESOLVED:
        return (conversation.resolved_at or conversation.created_at) + record.policy.resolved_window
    if conversation.state is ConversationState.ACTIVE:
        moments = [conversation.created_at, conversation.last_message_at, record.active_since]
        return max(moment for moment in moments if moment is not None) + record.policy.idle_timeout
    return None


def is_idle(record: Record, now: datetime) -> bool:
    """Nobody has written to an AI conversation for so long that it closes. One that owes a reply is not idle."""
    if record.state is not ConversationState.ACTIVE or record.queue or record.unchecked or record.sends:
        return False
    deadline = next_deadline(record)
    return deadline is not None and now >= deadline


def window_is_over(record: Record, now: datetime) -> bool:
    deadline = next_deadline(record)
    return deadline is None or now >= deadline


def debounce_left(record: Record, now: datetime) -> timedelta:
    """How long to wait for more of a burst: since the newest message, but not for ever since the oldest."""
    if not record.queue:
        return timedelta(0)
    oldest, newest = record.queue[0].message.created_at, record.queue[-1].message.created_at
    until = min(newest + record.policy.debounce, oldest + DEBOUNCES_AT_MOST * record.policy.debounce)
    return until - now


def details(record: Record) -> str:
    """What an operator should see at one glance, in Markdown; nothing of the guest's words, name or address."""
    conversation = record.conversation
    lines = [
        f"**{conversation.state.upper()}** · {conversation.property_id} · {conversation.channel_type}",
        f"- Conversation: `{conversation.conversation_id}`",
        f"- Owner: {_owner(record)}",
    ]
    if conversation.escalation is not None:
        lines.append(f"- Escalated: {conversation.escalation.at:%Y-%m-%d %H:%M} UTC")
    if record.queue:
        lines.append(f"- Waits for the AI: {len(record.queue)} message(s)")
    if record.sends:
        lines.append(f"- Waits to be sent: {len(record.sends)} message(s), {record.sends[0].attempts} attempt(s)")
    if not record.all_stored:
        lines.append(f"- Not stored yet: {len(record.outbox)} event(s)")
    deadline = next_deadline(record)
    if deadline is not None:
        lines.append(f"- Closes: {deadline:%Y-%m-%d %H:%M} UTC, if nothing happens")
    return "\n".join(lines)


def _owner(record: Record) -> str:
    if record.state is ConversationState.ESCALATED:
        return record.conversation.assigned_to or "nobody yet"
    return "the AI" if record.state is ConversationState.ACTIVE else "nobody"
