"""A conversation as clients see it."""

from enum import StrEnum
from typing import Literal

from pydantic import Field

from contracts.ai import Action
from contracts.base import Model, Timestamp
from contracts.messages import AIInfo, Author, ChannelType, Message
from contracts.rules import Priority


class ConversationState(StrEnum):
    NEW = "new"
    ACTIVE = "active"
    ESCALATED = "escalated"
    RESOLVED = "resolved"


class Escalation(Model):
    """Why a person should take over. `summary` is the AI's; for more than one message it comes a moment later."""

    reason: str
    at: Timestamp
    summary: str | None = None


class Draft(Model):
    """A reply that the AI wrote and nobody has sent."""

    id: str
    content: str
    ai: AIInfo


class Resolution(Model):
    """How a conversation ended. Durations are seconds since the guest's first message; None if there was none.

    `summary` is the AI's, and comes a moment after the rest, if at all.
    """

    reason: str
    by: str | None = None
    summary: str | None = None
    first_response_seconds: float | None = None
    first_person_seconds: float | None = None
    seconds_to_resolve: float | None = None
    messages: dict[Author, int] = {}
    """How many messages each author wrote, not counting private notes."""


class Survey(Model):
    """The guest was asked for a rating by the message `message_id`. A number they send until `until` is the answer."""

    message_id: str
    asked_at: Timestamp
    until: Timestamp


class Conversation(Model):
    """The specification's ConversationContext without its messages, plus what lists of conversations show."""

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
    resolution: Resolution | None = None
    survey: Survey | None = None
    rating: int | None = Field(default=None, ge=1, le=5)
    """The guest's rating, from 1 (bad) to 5 (very good)."""
    rated_at: Timestamp | None = None
    channel_type: ChannelType
    guest_name: str | None = None
    escalation: Escalation | None = None
    priority: Priority = "normal"
    unread: int = 0
    snoozed_until: Timestamp | None = None
    response_due_at: Timestamp | None = None
    """When a waiting guest should have an answer from a person at the latest."""
    needs_review: bool = False
    draft: Draft | None = None
    last_message: Message | None = None
    previous_conversation_id: str | None = None
    seq: int = 0
    workflow_id: str

    def for_guest(self) -> "GuestConversation":
        return GuestConversation(
            conversation_id=self.conversation_id,
            state=self.state,
            seq=self.seq,
            survey=self.survey if self.state is ConversationState.RESOLVED else None,
            rating=self.rating,
        )


class GuestConversation(Model):
    """The part of a conversation that its guest may see."""

    conversation_id: str
    state: ConversationState
    seq: int
    survey: Survey | None = None
    """Set while a number counts as the guest's rating."""
    rating: int | None = None


class Outcome(Model):
    """What became of one guest message.

    `reply_id` is the message that answered it, announced the hand-over, or thanked for a rating. A rating that replaces
    an earlier one gets no thanks.
    """

    message_id: str
    outcome: Literal["answered", "handed", "suppressed", "rated"]
    reply_id: str | None = None
    reason: str
    at: Timestamp
