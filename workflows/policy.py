"""The decisions of a conversation: from state and event to what to do. Pure, so that tables can test them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from pydantic import JsonValue

from contracts.ai import AIResponse
from contracts.commands import Redeliver, Reply
from contracts.conversations import ConversationState
from contracts.events import NotificationKind, SendResult
from contracts.guests import Autonomy, GuestProfile
from contracts.messages import Author, DeliveryState, Message
from contracts.names import TEMPLATE_ADAPTERS
from contracts.problems import (
    NO_TEMPLATES,
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
from contracts.rules import EMERGENCIES, TOPICS, YEAR, ConversationPolicy
from workflows.asking_for_a_person import asks_for_person
from workflows.owed import Arrival, PendingSend
from workflows.record import WINDOW, Record
from workflows.topics import TOPIC_NAMES, fingerprint, topic_of

CommandName = Literal[
    "reply",
    "note",
    "claim",
    "assign",
    "unassign",
    "escalate",
    "return",
    "snooze",
    "priority",
    "resolve",
    "read",
    "reviewed",
    "policy",
    "action",
    "retry",
]
OutcomeKind = Literal["answered", "handed", "suppressed"]

FAILURES_TO_ESCALATE = 2
"""After this many failed turns in a row the conversation is escalated."""
SEND_FIRST_BACKOFF = timedelta(seconds=1)
SEND_LONGEST_BACKOFF = timedelta(minutes=1)
SEND_GIVES_UP_AFTER = timedelta(minutes=15)
STORAGE_FIRST_BACKOFF = timedelta(seconds=1)
STORAGE_LONGEST_BACKOFF = timedelta(seconds=30)

_ALWAYS: frozenset[CommandName] = frozenset({"note", "read", "reviewed"})
"""Commands that a resolved conversation accepts, too."""
_NEEDS_ESCALATED: frozenset[CommandName] = frozenset({"return", "unassign", "snooze"})
_NEEDS_GUEST: frozenset[CommandName] = frozenset({"claim", "assign", "escalate"})
_AUTONOMY: tuple[Autonomy, ...] = ("off", "draft", "auto")


# --- commands ----------------------------------------------------------------------------------------------------


def refusal(record: Record, command: CommandName, by: str, conversation_id: str) -> GatewayError | None:
    """Why a command is refused, or None. Repeating one's own on an open conversation is accepted."""
    conversation = record.conversation
    state = conversation.state
    if conversation_id != conversation.conversation_id:
        return Resolved(f"conversation {conversation_id} is resolved; the guest has a newer one", state="resolved")
    repeated = record.last_command == (command, by)
    if state is ConversationState.RESOLVED:
        if command in _ALWAYS or (command == "resolve" and repeated):
            return None
        return Resolved(
            f"conversation {conversation_id} is resolved; {command} needs an open conversation", state="resolved"
        )
    holder = conversation.assigned_to
    # Also checked for a repeated claim: the conversation may have closed since, and somebody else written first.
    if command in ("reply", "claim") and holder is not None and holder != by:
        return HeldByOther(
            f"the conversation is assigned to {holder}; assign it to yourself first", assignedTo=holder, state=state
        )
    if repeated:
        return None
    if command in _NEEDS_ESCALATED and state is not ConversationState.ESCALATED:
        return WrongState(f"the conversation is {state}; {command} needs an escalated conversation", state=state)
    if command in _NEEDS_GUEST and state is ConversationState.NEW and not record.unchecked:
        return WrongState(f"the guest has not written yet; {command} needs a guest message", state=state)
    return None


def refusal_of_words(record: Record, command: Reply, now: datetime) -> GatewayError | None:
    """Why a reply cannot be sent to the guest now, or None."""
    if (missed := _missed(record, command.last_seen_seq)) is not None:
        return missed
    draft = record.conversation.draft
    if command.draft_id is not None and (draft is None or draft.id != command.draft_id):
        return WrongState("the draft has been used or replaced; send its text as content", draftId=None)
    wordless = command.template is not None and not command.content.strip() and command.draft_id is None
    if wordless and record.route.adapter not in TEMPLATE_ADAPTERS:
        return Invalid(NO_TEMPLATES, field="template")
    return refusal_of_channel(record, with_template=command.template is not None, now=now)


def refusal_of_id(record: Record, message_id: str) -> GatewayError | None:
    """Why a new staff message cannot have this id, or None."""
    if record.remembers(message_id) or record.message(message_id) is not None:
        return Invalid("clientMessageId: another message of this conversation already has it", field="clientMessageId")
    return None


def refusal_of_channel(record: Record, *, with_template: bool, now: datetime) -> GatewayError | None:
    """Why the channel accepts nothing for this guest, or no free text; None if it does."""
    if record.opted_out:
        return OptedOut("the guest has opted out of this channel; only they can opt in again")
    until = record.route.free_text_until
    if until is not None and now > until and not with_template:
        return WindowClosed(f"the channel accepted free text until {until.isoformat()}; send a template")
    return None


def refusal_of_moment(until: datetime, now: datetime) -> GatewayError | None:
    """Why a snooze cannot last until then, or None. Dates calculated from it must stay within the calendar."""
    if now < until <= now + YEAR:
        return None
    return Invalid(f"until: must be in the future, at most {YEAR.days} days away", field="until")


def refusal_of_redelivery(record: Record, command: Redeliver, now: datetime) -> GatewayError | None:
    """Why a message cannot be retried or skipped, or None."""
    if command.copy_id in record.staff_replies or _is_pending(record, command.message_id):
        return None
    lost = record.message(command.message_id)
    if command.skip or lost is None or not _may_be_said_again(record, lost):
        what = "is waiting to be sent" if command.skip else "is waiting to be sent or was not delivered"
        return NotFound(f"this conversation has no message {command.message_id} that {what}")
    return refusal_of_channel(record, with_template=lost.id in record.templates, now=now)


def _is_pending(record: Record, message_id: str) -> bool:
    return any(send.message.id == message_id for send in record.sends)


def _may_be_said_again(record: Record, message: Message) -> bool:
    """Whether a message went to the guest and has failed, or may have."""
    lost = message.delivery.state in (DeliveryState.FAILED, DeliveryState.UNKNOWN)
    ours = message.conversation_id == record.conversation.conversation_id and message.author is not Author.GUEST
    return lost and ours and not message.private


def _missed(record: Record, last_seen_seq: int | None) -> MissedMessages | None:
    if last_seen_seq is None:
        return None
    own = record.conversation.conversation_id
    missed = [
        message
        for message in record.window
        if message.conversation_id == own
        and message.seq > last_seen_seq
        and message.author in (Author.GUEST, Author.STAFF)
        and not message.private
    ]
    if not missed:
        if record.figures.last_words <= last_seen_seq:
            return None
        return MissedMessages(f"Messages arrived after seq {last_seen_seq}; read the conversation first", missed=[])
    told: list[JsonValue] = [message.model_dump(mode="json", exclude_none=True) for message in missed]
    oldest = record.window[0]
    more = len(record.window) == WINDOW and oldest.conversation_id == own and oldest.seq > last_seen_seq + 1
    count = f"At least {len(missed)}" if more else f"{len(missed)}"
    return MissedMessages(f"{count} message(s) arrived after seq {last_seen_seq}; read them first", missed=told)


# --- turns -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Handover:
    """A person takes over. `text` tells the guest, `reason` tells staff, and the AI's answer becomes a draft."""

    reason: str
    text: str
    draft: AIResponse | None = None
    urgent: bool = False


@dataclass(frozen=True)
class Answered:
    """The AI's answer goes to the guest."""

    text: str
    reason: str
    response: AIResponse


@dataclass(frozen=True)
class Fallback:
    """The AI failed: the guest gets a standard text and staff a notice; after repeated failures it escalates."""

    text: str
    reason: str
    notice: NotificationKind = "ai_timeout"
    escalation: str | None = None


TurnDecision = Handover | Answered | Fallback


def autonomy(rules: ConversationPolicy, profile: GuestProfile, *, vip: bool = False) -> Autonomy:
    """What the AI may do for this guest: the strictest of the hotel's, the VIP and the guest's own setting.

    `vip` is what the hotel's system says; the guest's preferences may make somebody a VIP as well.
    """
    allowed = [rules.autonomy, profile.autonomy]
    if vip or profile.preferences.get("vip", "").lower() in ("true", "yes", "1"):
        allowed.append(rules.vip_autonomy)
    return min(allowed, key=_AUTONOMY.index)


def before_asking(
    rules: ConversationPolicy,
    arrivals: list[Arrival],
    now: datetime,
    *,
    autonomy: Autonomy = "auto",
    answered: Sequence[str] = (),
) -> Handover | None:
    """What goes to a person without asking the AI. `answered`: fingerprints of questions it has answered."""
    texts = [arrival.message.content for arrival in arrivals]
    topics = {topic_of(text, rules.never_ai, edition=rules.edition) for text in texts} - {None}
    for topic in EMERGENCIES:
        if topic in topics:
            return Handover(f"The guest may be writing about {TOPIC_NAMES[topic]}", rules.emergency_text, urgent=True)
    if any(asks_for_person(text, edition=rules.edition) for text in texts):
        return Handover("The guest asked for a person", rules.handover_text)
    for topic in TOPICS:
        if topic in topics:
            return Handover(
                f"The guest is writing about {TOPIC_NAMES[topic]}, which staff must answer", rules.handover_text
            )
    if any(now - (arrival.returned_at or arrival.sent_at) > rules.message_age_limit for arrival in arrivals):
        return Handover("The message arrived too late for the AI to answer it", rules.handover_text)
    if autonomy == "off":
        return Handover("The AI is switched off for this guest", rules.handover_text)
    if any(answered.count(question) >= rules.repeats_to_escalate for question in questions(arrivals)):
        return Handover("The guest repeated a question that the AI had already answered", rules.handover_text)
    return None


def questions(arrivals: list[Arrival]) -> list[str]:
    """Fingerprints of the questions in a turn."""
    asked = (fingerprint(arrival.message.content) for arrival in arrivals)
    return [question for question in asked if question is not None]


def after_answer(
    rules: ConversationPolicy, response: AIResponse, *, autonomy: Autonomy = "auto"
) -> Handover | Answered:
    """What to do with the AI's answer."""
    topic = next((topic for topic in rules.never_ai if topic == response.intent), None)
    if topic in EMERGENCIES:
        return Handover(
            f"The guest may be writing about {TOPIC_NAMES[topic]}", rules.emergency_text, response, urgent=True
        )
    if response.should_escalate:
        return Handover(f"The AI asked for a person ({response.intent})", rules.handover_text, response)
    if topic is not None:
        reason = f"The guest is writing about {TOPIC_NAMES[topic]}, which staff must answer"
        return Handover(reason, rules.handover_text, response)
    if response.confidence < rules.escalation_threshold:
        doubt = f"The AI is unsure ({response.confidence:.2f}, needs {rules.escalation_threshold:.2f})"
        return Handover(doubt, rules.handover_text, response)
    if not response.response.strip():
        return Handover("The AI gave an empty answer", rules.handover_text)
    if autonomy != "auto":
        return Handover("Staff must approve the AI's answers to this guest", rules.handover_text, response)
    return Answered(response.response, f"Answered with confidence {response.confidence:.2f}", response)


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
    """The verdict on an attempt: `done`, or again at `again_at`, or `failed` with the reason."""

    done: bool = False
    again_at: datetime | None = None
    failed: str | None = None
    tell_staff: bool = field(default=False)


def after_attempt(send: PendingSend, result: SendResult, policy: ConversationPolicy, now: datetime) -> SendVerdict:
    """Judges one attempt, which `send.attempts` already counts."""
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
        # A channel may name any delay; one longer than we keep trying would only leave the message hanging.
        wait = max(wait, timedelta(seconds=min(SEND_GIVES_UP_AFTER.total_seconds(), result.retry_after)))
    return SendVerdict(again_at=now + wait, tell_staff=send.attempts > policy.max_retries and not send.told_staff)


def storage_backoff(failures: int) -> timedelta:
    """How long to wait before storage is tried again while there is nothing new to publish."""
    return _exponential(STORAGE_FIRST_BACKOFF, STORAGE_LONGEST_BACKOFF, failures)


def _exponential(first: timedelta, longest: timedelta, failures: int) -> timedelta:
    """Doubles with each failure; the exponent is bounded because timedelta is."""
    doubled: int = 2 ** min(failures - 1, 10)
    return min(longest, first * doubled)
