"""Files of conversations, including ones that their provider still holds."""

import hashlib
import re
from typing import Final

from contracts.base import Model
from contracts.messages import Attachment

MEDIA_PATH: Final = "/api/v1/media/"
"""The path at which files are read; the file's id follows."""
MEDIA_ID: Final = re.compile(r"[0-9a-f]{32}")
_OWN: Final = re.compile(rf"{re.escape(MEDIA_PATH)}(?P<id>{MEDIA_ID.pattern})")


class MediaOrder(Model):
    """A file to fetch from its provider. `attachment` is as the adapter named `adapter` received it."""

    media_id: str
    property_id: str
    adapter: str
    attachment: Attachment


def media_id_of(property_id: str, *parts: str) -> str:
    """An id for a file that may arrive more than once: the same parts give the same id."""
    return hashlib.sha256("\x1f".join((property_id, *parts)).encode()).hexdigest()[:32]


def own_media_id(url: str) -> str | None:
    """The id of our file that a URL names; None if it is not ours."""
    found = _OWN.fullmatch(url)
    return found["id"] if found is not None else None
