"""The port that every channel adapter implements; one file an adapter."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol, runtime_checkable

from contracts.events import SendResult
from contracts.messages import Attachment, OutboundMessage


class Channel(Protocol):
    """A way out to guests. `send` is one attempt: backing off and trying again is the conversation's business."""

    async def send(self, property_id: str, message: OutboundMessage) -> SendResult:
        """Hands the message over once, and says what came of it; a refusal is a result and not an exception."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class ShowsTyping(Protocol):
    """A channel that can show a guest that their message was read and somebody is writing."""

    async def begin_answer(self, property_id: str, channel_id: str, message_id: str) -> None:
        """Shows it for the guest's message. Best effort: what goes wrong is not told."""
        ...


class MediaError(Exception):
    """A file cannot be had; `retryable` where it may be later."""

    def __init__(self, reason: str, *, retryable: bool) -> None:
        super().__init__(reason)
        self.retryable = retryable


@runtime_checkable
class MediaSource(Protocol):
    """A channel whose guests send files that stay with the provider until they are fetched."""

    def fetch_media(self, property_id: str, attachment: Attachment) -> AsyncIterator[bytes]:
        """The file behind an inbound attachment, in pieces. Raises MediaError."""
        ...


Channels = Mapping[str, Channel]
"""Adapters by the name that stands in a message's route."""
