"""The port to an AI engine."""

from typing import Protocol

from contracts.ai import AIRequest, AIResponse
from contracts.conversations import Conversation
from contracts.messages import Message


class EngineError(Exception):
    """An engine gave no answer. The message never quotes the guest. `retryable` says whether asking again may help."""

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


class Engine(Protocol):
    name: str

    async def answer(self, request: AIRequest, *, turn_id: str) -> AIResponse:
        """Answers a turn. A retry for the same turn has the same `turn_id`. Raises EngineError."""

    async def summarise(self, conversation: Conversation, messages: list[Message]) -> str | None:
        """Summarises what happened, in a few sentences for staff; None if it has no summary. Raises EngineError.

        `messages` are the newest of the conversation, oldest first.
        """

    async def close(self) -> None:
        """Closes connections."""
