"""Files of conversations, and how one that a provider still has is asked for."""

import hashlib
import re
from typing import Final

from contracts.base import Model
from contracts.messages import Attachment

MEDIA_PATH: Final = "/api/v1/media/"
"""Where a file is read; its id follows."""
MEDIA_ID: Final = re.compile(r"[0-9a-f]{32}")
_OWN: Final = re.compile(rf"{re.escape(MEDIA_PATH)}(?P<id>{MEDIA_ID.pattern})")


class MediaOrder(Model):
    """A file that stays with its provider until it is fetched. `attachment` is as the adapter `adapter` brought it."""

    media_id: str
    property_id: str
    adapter: str
    attachment: Attachment


def media_id_of(property_id: str, *parts: str) -> str:
    """The id of a file that may be brought more than once: the same parts name the same file."""
    return hashlib.sha256("\x1f".join((property_id, *parts)).encode()).hexdigest()[:32]


def own_media_id(url: str) -> str | None:
    """The id of a file of ours that an attachment's URL names."""
    found = _OWN.fullmatch(url)
    return found["id"] if found is not None else None
