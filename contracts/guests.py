"""Guests, their contacts and stays."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import StringConstraints

from contracts.base import Model, Timestamp
from contracts.messages import ChannelType

Autonomy = Literal["auto", "draft", "off"]
Label = Annotated[str, StringConstraints(max_length=100)]
"""A name given by the hotel's system. Bounded, because stays go to the AI and conversations carry them."""


class Stay(Model):
    """A stay of a guest. `id` is the reservation number."""

    id: Label
    room: Label | None = None
    arrival: date
    departure: date
    status: Literal["booked", "in_house", "departed", "cancelled"] = "booked"
    vip: bool = False


def is_vip(stays: Sequence[Stay]) -> bool:
    """Whether the hotel's system marks a current or coming stay as VIP."""
    return any(stay.vip and stay.status in ("booked", "in_house") for stay in stays)


PREFERENCES: Final = 100
PREFERENCE_CHARACTERS: Final = 20_000
"""The limit of all preferences together, because every conversation of the guest carries them."""


def are_bearable(preferences: Mapping[str, object]) -> bool:
    """Whether preferences are small enough for a conversation to carry."""
    characters = sum(len(name) + len(str(said)) for name, said in preferences.items())
    return len(preferences) <= PREFERENCES and characters <= PREFERENCE_CHARACTERS


class GuestContact(Model):
    property_id: str
    channel_type: ChannelType
    sender_id: str


class GuestProfile(Model):
    """What the AI is told of a guest: a Guest without their contacts."""

    id: str
    name: str | None = None
    language: str | None = None
    stays: list[Stay] = []
    preferences: dict[str, str] = {}
    autonomy: Autonomy = "auto"


class Guest(GuestProfile):
    contacts: list[GuestContact] = []
    merged_guest_ids: list[str] = []
    """Guests merged into this one. Their ids lead here, and their contacts are listed above."""


HotelAnswer = Literal["ok", "away", "none"]


class GuestWithStays(Guest):
    """A guest with the stays that the hotel's own system reports."""

    hotel_system: HotelAnswer = "none"
    """`ok`: `stays` are from the hotel's system. `away`: it did not answer. `none`: none is configured."""


class HistoryLeft(Model):
    """A workflow run whose encrypted history Temporal still keeps."""

    workflow_id: str
    run_id: str
    closed_at: Timestamp | None = None
    kept_until: Timestamp
    """When Temporal deletes it."""


class Erasure(Model):
    """What was erased of a guest, and what remains elsewhere."""

    guest_ids: list[str]
    erased_at: Timestamp
    erased: dict[str, int]
    """How many items of each kind were erased."""
    histories: list[HistoryLeft]
    payloads: Literal["encrypted"] = "encrypted"
    """Guest data in those histories is encrypted; ids, times and event types are not."""
