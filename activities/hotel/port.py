"""What the gateway asks of a hotel's own system. It is optional: all else works without it."""

from collections.abc import Sequence
from typing import Protocol

from contracts.guests import GuestContact, Stay


class HotelAwayError(Exception):
    """The hotel's system does not answer, or says what nobody understands; the text holds nothing of a guest's."""


class HotelSystem(Protocol):
    async def stays(self, property_id: str, contacts: Sequence[GuestContact]) -> list[Stay]:
        """The stays of whoever has these contacts, the newest arrival first. Raises HotelAwayError."""

    async def reachable(self) -> bool:
        """Whether it answers at all."""

    async def close(self) -> None: ...
