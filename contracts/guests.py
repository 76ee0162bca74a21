"""Guests, their contacts and stays."""

from datetime import date
from typing import Literal

from contracts.base import Model
from contracts.messages import ChannelType

Autonomy = Literal["auto", "draft", "off"]


class Stay(Model):
    id: str
    room: str | None = None
    arrival: date
    departure: date
    status: Literal["booked", "in_house", "departed", "cancelled"] = "booked"


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
