"""What a channel brought that nobody could read."""

from dataclasses import dataclass

from contracts.base import Model, Timestamp


@dataclass(frozen=True, slots=True)
class Unreadable:
    """What an adapter could not understand: the bytes that it would read again, and what is wrong with them."""

    payload: bytes
    reason: str


class QuarantineItem(Model):
    """One thing that came from a provider, signed, and could not be understood. `payload` is kept as it came.

    `handledAt` says when a retry understood it; `reason` is why the last try did not.
    """

    id: str
    property_id: str
    adapter: str
    reason: str
    payload: str
    at: Timestamp
    retried_at: Timestamp | None = None
    handled_at: Timestamp | None = None
