"""The contract between the gateway and an AI engine (the specification's, with `sources` added)."""

from typing import Annotated, Final

from pydantic import AfterValidator, Field, JsonValue, model_validator

from contracts.base import Model, Timestamp, without_nul
from contracts.guests import GuestProfile
from contracts.messages import ChannelType, Message


class Action(Model):
    """Something that the AI asks the gateway to do."""

    id: str
    type: str
    params: dict[str, JsonValue] = {}


class Handoff(Model):
    """A part of the conversation that a person handled, from `from_seq` to `to_seq` (None while it lasts).

    Afterwards the AI should neither repeat what the person said nor reopen what they settled.
    """

    reason: str
    from_seq: int
    to_seq: int | None = None
    started_at: Timestamp
    ended_at: Timestamp | None = None


class ConversationContext(Model):
    """What an engine is told of the conversation so far. `messages` holds only the last few."""

    conversation_id: str
    guest_id: str
    property_id: str
    channel_type: ChannelType
    state: str
    assigned_to: str | None = None
    messages: list[Message] = []
    turn_message_ids: list[str] = []
    handoffs: list[Handoff] = []
    message_count: int = 0
    current_intent: str | None = None
    pending_actions: list[Action] = []
    created_at: Timestamp
    last_message_at: Timestamp | None = None
    resolved_at: Timestamp | None = None


class AIRequest(Model):
    """One turn to answer. `message` is its last guest message; earlier unanswered ones are in `context.messages`."""

    conversation_id: str
    message: Message
    context: ConversationContext
    guest_profile: GuestProfile


NAME_LENGTH: Final = 100
SOURCES: Final = 20


def _beginning(name: str) -> str:
    return name[:NAME_LENGTH]


def _first_sources(sources: list[str]) -> list[str]:
    return [_beginning(each) for each in sources[:SOURCES]]


class AIResponse(Model):
    """An engine's answer. `confidence` is the probability that it is right, from 0 to 1.

    NUL characters, which storage cannot hold, are removed everywhere. Names such as the intent are truncated: Temporal
    limits search attributes, and conversations carry all of them.
    """

    conversation_id: str
    response: str
    intent: Annotated[str, AfterValidator(_beginning)]
    confidence: float = Field(ge=0, le=1)
    actions: list[Action] = []
    should_escalate: bool = False
    sources: Annotated[list[str], AfterValidator(_first_sources)] = []
    model: Annotated[str, AfterValidator(_beginning)] | None = None
    """The language model that wrote it, if any."""

    @model_validator(mode="before")
    @classmethod
    def _without_nul(cls, value: object) -> object:
        return without_nul(value)
