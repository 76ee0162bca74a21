"""The opaque cursor of a frame: a position in a property's log."""

import base64
import binascii
import re

POSITION = re.compile(r"[0-9]{1,18}")


def encode(property_id: str, position: int) -> str:
    return base64.urlsafe_b64encode(f"{property_id}:{position}".encode()).rstrip(b"=").decode()


def decode(cursor: str, property_id: str) -> int | None:
    """The position of a cursor; None if it is not one of this property's log."""
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except (binascii.Error, ValueError):
        return None
    owner, _, position = text.rpartition(":")
    known = owner == property_id and POSITION.fullmatch(position)
    return int(position) if known else None
