"""The port that every channel adapter implements; one file an adapter."""

from collections.abc import Mapping
from typing import Protocol

from contracts.events import SendResult
from contracts.messages import OutboundMessage


class Channel(Protocol):
    """A way out to guests. `send` is one attempt: backing off and trying again is the conversation's business."""

    async def send(self, property_id: str, message: OutboundMessage) -> SendResult:
        """Hands the message over once, and says what came of it; a refusal is a result and not an exception."""
        ...

    async def close(self) -> None: ...


Channels = Mapping[str, Channel]
"""Adapters by the name that stands in a message's route."""
