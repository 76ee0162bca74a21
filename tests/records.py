"""Records, messages and commands to begin from; no server is needed."""

from datetime import UTC, datetime

from contracts.ai import AIResponse
from contracts.commands import Actor, Command, Reply
from contracts.conversations import Conversation, ConversationPolicy, ConversationState, Escalation
from contracts.events import SendResult, SendResultKind
from contracts.guests import GuestProfile
from contracts.messages import GuestMessage, Route
from workflows import transitions
from workflows.record import Arrival, Record

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
    return Record(
        conversation=Conversation(
            conversation_id=conversation_id,
            guest_id="guest",
            property_id="hotel",
            state=state,
            assigned_to=assigned_to,
            created_at=now,
            resolved_at=now if state is ConversationState.RESOLVED else None,
            escalation=Escalation(reason="Doubt", at=now) if state is ConversationState.ESCALATED else None,
            channel_type="webchat",
            workflow_id=f"conversation-{CONTACT_KEY}",
        ),
        contact_key=CONTACT_KEY,
        route=a_route(adapter),
        profile=GuestProfile(id="guest"),
        policy=policy or ConversationPolicy(),
        looked_up=looked_up,
    )


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
) -> GuestMessage:
    return GuestMessage(
        id=message_id,
        route=a_route(adapter),
        content=content,
        guest_name=guest_name,
        sent_at=sent_at,
        received_at=received_at,
    )


def arrived(record: Record, *messages: GuestMessage, now: datetime = NOW) -> list[Arrival]:
    """The messages reach the conversation; what waits for the AI then."""
    for message in messages:
        transitions.receive(record, message, now)
    return list(record.queue)


def an_answer(
    text: str = "At seven.", *, confidence: float = 0.9, should_escalate: bool = False, intent: str = "breakfast"
) -> AIResponse:
    return AIResponse(
        conversation_id=CONVERSATION_ID,
        response=text,
        intent=intent,
        confidence=confidence,
        should_escalate=should_escalate,
        sources=["breakfast.md"],
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
