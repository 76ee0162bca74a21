"""A conversation as others see it, and the rules it runs by."""

from datetime import timedelta
from enum import StrEnum
from typing import Literal

from pydantic import Field

from contracts.ai import Action
from contracts.base import Model, Timestamp
from contracts.messages import AIInfo, ChannelType, Message

Priority = Literal["low", "normal", "high", "urgent"]


class ConversationState(StrEnum):
    NEW = "new"
    ACTIVE = "active"
    ESCALATED = "escalated"
    RESOLVED = "resolved"


class Escalation(Model):
    reason: str
    at: Timestamp


class Draft(Model):
    """A reply the AI wrote and nobody sent."""

    id: str
    content: str
    ai: AIInfo


class Conversation(Model):
    """The seed's ConversationContext without its messages, and what a list of conversations shows."""

    conversation_id: str
    guest_id: str
    property_id: str
    state: ConversationState
    assigned_to: str | None = None
    message_count: int = 0
    current_intent: str | None = None
    pending_actions: list[Action] = []
    created_at: Timestamp
    last_message_at: Timestamp | None = None
    resolved_at: Timestamp | None = None
    channel_type: ChannelType
    guest_name: str | None = None
    escalation: Escalation | None = None
    priority: Priority = "normal"
    unread: int = 0
    snoozed_until: Timestamp | None = None
    needs_review: bool = False
    draft: Draft | None = None
    last_message: Message | None = None
    previous_conversation_id: str | None = None
    seq: int = 0
    workflow_id: str

    def for_guest(self) -> "GuestConversation":
        return GuestConversation(conversation_id=self.conversation_id, state=self.state, seq=self.seq)


class GuestConversation(Model):
    """The little of a conversation that its guest is shown."""

    conversation_id: str
    state: ConversationState
    seq: int


class Outcome(Model):
    """What became of one guest message. `reply_id` is the message that answered it or told of the hand-over."""

    message_id: str
    outcome: Literal["answered", "handed", "suppressed"]
    reply_id: str | None = None
    reason: str
    at: Timestamp


class ConversationPolicy(Model):
    """Thresholds, times and words a conversation runs by: start input, changed by an update, never read outside."""

    escalation_threshold: float = Field(default=0.7, ge=0, le=1)
    ai_timeout: timedelta = timedelta(seconds=30)
    max_retries: int = Field(default=3, ge=0)
    local_engine: bool = False
    """The engine answers in milliseconds and only computes, so it may run as a local activity."""
    debounce: timedelta = timedelta(0)
    idle_timeout: timedelta = timedelta(hours=24)
    resolved_window: timedelta = timedelta(0)
    message_age_limit: timedelta = timedelta(hours=24)
    history_limit: int = Field(default=300, ge=20)
    fallback_text: str = (
        "I'm sorry, I can't answer that right now. I've let our team know, and someone will look at your message."
    )
    handover_text: str = "I'm passing your message to our team. Someone will reply to you here shortly."
