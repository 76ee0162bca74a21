"""The stays of the guest who is being answered."""

from typing import Final

from cachetools import TTLCache

from activities.hotel.port import HotelAwayError, HotelSystem
from activities.storage.guests import Guests
from contracts.guests import GuestContact, Stay
from contracts.problems import StorageAway

REMEMBERED: Final = 4096
REMEMBERED_SECONDS: Final = 60.0
"""Long enough to ask the hotel's system about once per exchange, short enough to notice a change of room."""


class GuestStays:
    """Asks the hotel's system for a guest's stays, and caches its answers for a minute."""

    def __init__(self, hotel: HotelSystem, guests: Guests) -> None:
        self._hotel = hotel
        self._guests = guests
        self._known: TTLCache[str, list[Stay]] = TTLCache(maxsize=REMEMBERED, ttl=REMEMBERED_SECONDS)

    async def of(self, guest_id: str, contact: GuestContact | None) -> list[Stay] | None:
        """The stays, newest arrival first; None while the hotel's system or storage is away.

        `contact` is the guest's current contact, which storage may not have yet.
        """
        known = self._known.get(guest_id)
        if known is not None:
            return known
        try:
            stored = await self._guests.get(guest_id)
            contacts = stored.guest.contacts if stored is not None else [contact] if contact is not None else []
            if not contacts:
                return None
            stays = await self._hotel.stays(contacts[0].property_id, contacts)
        except (HotelAwayError, StorageAway):
            return None
        self._known[guest_id] = stays
        return stays
