"""Records, messages and commands to begin from, and what to read of a record; no server is needed."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from contracts.ai import Action, AIResponse
from contracts.commands import Actor, Command, Reply
from contracts.conversations import ConversationState, Escalation
from contracts.events import SendResult, SendResultKind
from contracts.messages import GuestMessage, Route
from contracts.rules import ConversationPolicy
from workflows import transitions
from workflows.owed import Arrival, PendingSend
from workflows.policy import after_answer
from workflows.record import Record

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
CONTACT_KEY = "contact"
CONVERSATION_ID = f"{CONTACT_KEY}-00000001"
ANA = Actor(id="ana", name="Ana")
BEN = Actor(id="ben", name="Ben")


def a_record(
    state: ConversationState = ConversationState.NEW,
    *,
    assigned_to: str | None = None,
    adapter: str = transitions.WEBCHAT,
    looked_up: bool = True,
    policy: ConversationPolicy | None = None,
    conversation_id: str = CONVERSATION_ID,
    now: datetime = NOW,
) -> Record:
    """A conversation in which nothing was said, in any state."""
    rules = policy or ConversationPolicy()
    record = Record.begin(conversation_id, "hotel", "webchat", CONTACT_KEY, a_route(adapter), rules, now)
    record.looked_up = looked_up
    record.conversation.state = state
    record.conversation.assigned_to = assigned_to
    if state is ConversationState.RESOLVED:
        record.conversation.resolved_at = now
    if state is ConversationState.ESCALATED:
        record.conversation.escalation = Escalation(reason="Doubt", at=now)
    return record


def a_route(adapter: str = transitions.WEBCHAT) -> Route:
    return Route(adapter=adapter, channel_id="desk", sender_id="visitor")


def a_message(
    message_id: str = "g-1",
    content: str = "When is breakfast?",
    *,
    adapter: str = transitions.WEBCHAT,
    sent_at: datetime = NOW,
    received_at: datetime = NOW,
    guest_name: str | None = None,
    suppressed: str | None = None,
    opts: Literal["in", "out"] | None = None,
) -> GuestMessage:
    return GuestMessage(
        id=message_id,
        route=a_route(adapter),
        content=content,
        guest_name=guest_name,
        sent_at=sent_at,
        received_at=received_at,
        suppressed=suppressed,
        opts=opts,
    )


def arrived(record: Record, *messages: GuestMessage, now: datetime = NOW) -> list[Arrival]:
    """The messages reach the conversation; what waits for the AI then."""
    for message in messages:
        transitions.receive(record, message, now)
    return list(record.queue)


def an_answer(
    text: str = "At seven.",
    *,
    confidence: float = 0.9,
    should_escalate: bool = False,
    intent: str = "breakfast",
    actions: Sequence[Action] = (),
) -> AIResponse:
    return AIResponse(
        conversation_id=CONVERSATION_ID,
        response=text,
        intent=intent,
        confidence=confidence,
        should_escalate=should_escalate,
        sources=["breakfast.md"],
        actions=list(actions),
    )


def a_command(by: Actor = ANA, *, reason: str | None = None, conversation_id: str = CONVERSATION_ID) -> Command:
    return Command(conversation_id=conversation_id, by=by, reason=reason)


def a_reply(
    message_id: str = "s-1",
    content: str = "Ana here.",
    *,
    by: Actor = ANA,
    private: bool = False,
    conversation_id: str = CONVERSATION_ID,
) -> Reply:
    return Reply(conversation_id=conversation_id, by=by, message_id=message_id, content=content, private=private)


def a_result(
    message_id: str,
    result: SendResultKind = "sent",
    *,
    reason: str | None = None,
    retry_after: float | None = None,
    unsure: bool = False,
    noted: bool = False,
) -> SendResult:
    return SendResult(
        message_id=message_id, result=result, reason=reason, retry_after=retry_after, unsure=unsure, noted=noted
    )


def answered(adapter: str = transitions.WEBCHAT) -> tuple[Record, PendingSend]:
    """A conversation whose first message the AI answers; the answer waits to be sent."""
    record = a_record(adapter=adapter)
    queue = arrived(record, a_message(adapter=adapter))
    transitions.conclude(record, queue, after_answer(record.policy, an_answer()), "r-1", NOW)
    return record, record.sends[0]


def happened(record: Record) -> list[str]:
    """What the outbox tells, in order."""
    return [event.change or (event.notification.kind if event.notification else "message") for event in record.outbox]


def outcomes(record: Record) -> dict[str, tuple[str, str | None]]:
    """What became of each guest message, and which reply says so."""
    return {outcome.message_id: (outcome.outcome, outcome.reply_id) for outcome in record.outcomes}
