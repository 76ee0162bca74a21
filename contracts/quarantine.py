"""Messages from channels that could not be parsed."""

from dataclasses import dataclass

from contracts.base import Model, Timestamp


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What an adapter could not parse: the bytes to parse again later, and what is wrong with them."""

    payload: bytes
    reason: str


class QuarantineItem(Model):
    """An authentic message from a provider that could not be parsed. `payload` is kept as it came.

    `handledAt` is when a retry succeeded; `reason` is why the last attempt failed.
    """

    id: str
    property_id: str
    adapter: str
    reason: str
    payload: str
    at: Timestamp
    retried_at: Timestamp | None = None
    handled_at: Timestamp | None = None
