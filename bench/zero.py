"""An engine and texts that cost nothing, so that only the product itself is measured."""

import random

from contracts.ai import AIRequest, AIResponse
from contracts.conversations import Conversation
from contracts.messages import Message

MESSAGE_CHARACTERS = 200
_WORDS = (
    *("breakfast", "room", "late", "early", "tomorrow", "please", "towels", "window", "pool", "quiet", "parking"),
    *("garage", "station", "evening", "dinner", "table", "children", "balcony", "luggage", "taxi", "morning", "coffee"),
    *("garden", "elevator", "keys", "invoice", "beach", "harbour", "museum", "ticket", "umbrella", "between", "before"),
    *(
        "after",
        "around",
        "without",
        "would",
        "could",
        "should",
        "might",
        "there",
        "where",
        "which",
        "because",
        "another",
    ),
)


def sentence(seed: str) -> str:
    """A text of 200 characters, different for each seed, made of words so that it compresses like real text."""
    words = random.Random(seed)
    text = f"{seed} "
    while len(text) < MESSAGE_CHARACTERS:
        text += f"{words.choice(_WORDS)} "
    return text[:MESSAGE_CHARACTERS]


class ZeroDelayEngine:
    """Answers at once, with the same intent and confidence."""

    name = "zero"

    async def answer(self, request: AIRequest, *, turn_id: str) -> AIResponse:
        return AIResponse(
            conversation_id=request.conversation_id,
            response=sentence(f"re-{turn_id[:8]}"),
            intent="bench",
            confidence=0.99,
            sources=["breakfast"],
        )

    async def summarise(self, conversation: Conversation, messages: list[Message]) -> str | None:
        return None

    async def close(self) -> None:
        return None
