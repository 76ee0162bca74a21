"""The interfaces that channel adapters implement, one file per adapter."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol, runtime_checkable

from contracts.events import SendResult
from contracts.messages import Attachment, OutboundMessage


class Channel(Protocol):
    """Sends messages to guests. `send` is a single attempt; retries and backoff belong to the conversation."""

    async def send(self, property_id: str, message: OutboundMessage) -> SendResult:
        """Tries once to hand the message over. A refusal is a result, not an exception."""
        ...

    async def close(self) -> None: ...


@runtime_checkable
class ShowsTyping(Protocol):
    """A channel that can show guests a read mark and a typing indicator."""

    async def begin_answer(self, property_id: str, channel_id: str, message_id: str) -> None:
        """Shows both for the guest's message. Best effort: errors are ignored."""
        ...


class MediaError(Exception):
    """A file cannot be fetched. `retryable`: it may be possible later."""

    def __init__(self, reason: str, *, retryable: bool) -> None:
        super().__init__(reason)
        self.retryable = retryable


@runtime_checkable
class MediaSource(Protocol):
    """A channel whose files stay with the provider until they are fetched."""

    def fetch_media(self, property_id: str, attachment: Attachment) -> AsyncIterator[bytes]:
        """The content of an incoming attachment, in chunks. Raises MediaError."""
        ...


Channels = Mapping[str, Channel]
"""Adapters by the name used in a message's route."""
