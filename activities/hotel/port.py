"""The interface to a hotel's own system. It is optional: everything else works without it."""

from collections.abc import Sequence
from typing import Protocol

from contracts.guests import GuestContact, Stay


class HotelAwayError(Exception):
    """The hotel's system does not respond, or its response cannot be parsed. The text contains no guest data."""


class HotelSystem(Protocol):
    async def stays(self, property_id: str, contacts: Sequence[GuestContact]) -> list[Stay]:
        """The stays of the guest with these contacts, newest arrival first. Raises HotelAwayError."""

    async def reachable(self) -> bool:
        """Whether it responds at all."""

    async def close(self) -> None: ...
