"""The port to an AI engine."""

from typing import Protocol

from contracts.ai import AIRequest, AIResponse
from contracts.conversations import Conversation
from contracts.messages import Message


class EngineError(Exception):
    """An engine gave no answer. The text holds nothing of the guest's.

    `retryable` says whether asking again may help.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class Engine(Protocol):
    name: str

    async def answer(self, request: AIRequest, *, turn_id: str) -> AIResponse:
        """Answers one turn; the same `turn_id` is the same turn asked again. Raises EngineError."""

    async def summarise(self, conversation: Conversation, messages: list[Message]) -> str | None:
        """A few sentences for staff on what happened; None from an engine that makes no summaries. Raises EngineError.

        `messages` are the newest of the conversation, oldest first.
        """

    async def close(self) -> None:
        """Lets go of connections."""
