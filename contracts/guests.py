"""Guests, their contacts and stays."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Annotated, Final, Literal

from pydantic import StringConstraints

from contracts.base import Model, Timestamp
from contracts.messages import ChannelType

Autonomy = Literal["auto", "draft", "off"]
Label = Annotated[str, StringConstraints(max_length=100)]
"""The hotel's system names things by it; bounded, for stays go on to the AI and into what conversations carry."""


class Stay(Model):
    """`id` is the reservation's number."""

    id: Label
    room: Label | None = None
    arrival: date
    departure: date
    status: Literal["booked", "in_house", "departed", "cancelled"] = "booked"
    vip: bool = False


def is_vip(stays: Sequence[Stay]) -> bool:
    """Whether the hotel's system calls a guest a VIP who is there, or is to come."""
    return any(stay.vip and stay.status in ("booked", "in_house") for stay in stays)


PREFERENCES: Final = 100
PREFERENCE_CHARACTERS: Final = 20_000
"""Of all together: every conversation of the guest's carries them."""


def are_bearable(preferences: Mapping[str, object]) -> bool:
    """Whether a conversation can carry them."""
    characters = sum(len(name) + len(str(said)) for name, said in preferences.items())
    return len(preferences) <= PREFERENCES and characters <= PREFERENCE_CHARACTERS


class GuestContact(Model):
    property_id: str
    channel_type: ChannelType
    sender_id: str


class GuestProfile(Model):
    """What the AI is told of a guest: a Guest without contacts."""

    id: str
    name: str | None = None
    language: str | None = None
    stays: list[Stay] = []
    preferences: dict[str, str] = {}
    autonomy: Autonomy = "auto"


class Guest(GuestProfile):
    contacts: list[GuestContact] = []
    merged_guest_ids: list[str] = []
    """Guests who are this one, too; their ids lead here, their contacts stand above."""


HotelAnswer = Literal["ok", "away", "none"]


class GuestWithStays(Guest):
    """A guest with what the hotel's own system says of them."""

    hotel_system: HotelAnswer = "none"
    """`ok`: `stays` are the hotel system's. `away`: it did not answer. `none`: there is none in the settings."""


class HistoryLeft(Model):
    """A run whose history Temporal keeps for a while. Nobody reads its payloads without the codec's keys."""

    workflow_id: str
    run_id: str
    closed_at: Timestamp | None = None
    kept_until: Timestamp
    """When Temporal's retention deletes it."""


class Erasure(Model):
    """What was erased of a guest, and what is left elsewhere."""

    guest_ids: list[str]
    erased_at: Timestamp
    erased: dict[str, int]
    """How much of each kind went."""
    histories: list[HistoryLeft]
    payloads: Literal["encrypted"] = "encrypted"
    """How what a guest wrote stands in those histories; ids, times and kinds of events stand there in the clear."""
