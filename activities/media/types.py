"""Determines content types: by content first, by the declared type second."""

import codecs
import re
from fnmatch import fnmatchcase
from typing import Final

import puremagic

from contracts.problems import GatewayError

_SYNONYMS: Final = {
    "image/jpg": "image/jpeg",
    "audio/mp3": "audio/mpeg",
    "audio/m4a": "audio/mp4",
    "audio/x-m4a": "audio/mp4",
    "application/x-pdf": "application/pdf",
}
_PROGRAMS: Final = (b"MZ", b"\x7fELF", b"#!", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe")
_CALLED_AMR: Final = b"#!AMR"
"""Phones' voice notes begin like a script."""
_SOUND_OR_FILM: Final = re.compile(r"(audio|video)/[a-z0-9.+-]{1,100}")
_NAMED_TEXT: Final = ("text/plain", "text/csv", "text/calendar", "text/vcard", "message/rfc822")
_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([a-z0-9][a-z0-9_.:-]{0,40})", re.IGNORECASE | re.ASCII)
_SAMPLE: Final = 1_000_000
SHOWN: Final = ("image/*", "audio/*", "video/*", "application/pdf", "text/plain")
"""Types that browsers may display. All others are only downloaded."""


class MediaRefused(GatewayError):
    """A file that is not accepted; `detail` says why."""

    status, code, title = 415, "media_refused", "This file is not accepted"


def content_type_of(content: bytes, declared: str, allowed: list[str]) -> str:
    """The type to store a file under. Raises MediaRefused for one that is not allowed."""
    declared = declared.partition(";")[0].strip().lower()
    declared = _SYNONYMS.get(declared, declared)
    if content.startswith(_PROGRAMS) and not content.startswith(_CALLED_AMR):
        raise MediaRefused("Programs are not accepted")
    kind = _judged(content, declared)
    if not is_among(kind, allowed):
        raise MediaRefused(f"Files of type {kind} are not accepted; accepted are {', '.join(allowed)}")
    return kind


def charset_of(content: bytes, declared: str) -> str | None:
    """The charset of a text: the one that its sender declares, or else UTF-8. None if it can be read by neither."""
    named = _CHARSET.search(declared)
    candidates = ([named[1].lower()] if named is not None else []) + ["utf-8"]
    return next((each for each in candidates if _is_readable(content[:_SAMPLE], each)), None)


def _is_readable(content: bytes, charset: str) -> bool:
    try:
        "".encode(charset)  # refuses codecs that are not of text
        codecs.getincrementaldecoder(charset)().decode(content)  # a sample may end within a character
    except (LookupError, ValueError):
        return False
    return True


def is_among(content_type: str, patterns: list[str] | tuple[str, ...]) -> bool:
    return content_type != "image/svg+xml" and any(fnmatchcase(content_type, each) for each in patterns)


def _judged(content: bytes, declared: str) -> str:
    seen = _seen(content)
    if "text/html" in seen or "image/svg+xml" in seen:
        return "text/html"
    if declared in seen or (declared == "audio/mp4" and "video/mp4" in seen):  # MP4 holds sound as well as films
        return declared
    if declared in _NAMED_TEXT or (declared.startswith("text/") and not seen):
        kept = declared if declared in _NAMED_TEXT else "text/plain"
        return kept if b"\0" not in content else "application/octet-stream"
    if seen:
        return seen[0]
    # Many audio and video formats have no known signature; an image or document without one is not what it claims.
    return declared if _SOUND_OR_FILM.fullmatch(declared) else "application/octet-stream"


def _seen(content: bytes) -> list[str]:
    """The types whose signatures the content has, likeliest first."""
    try:
        found = puremagic.magic_string(content)
    except (puremagic.PureError, ValueError):
        return []
    return [each.mime_type for each in found if each.mime_type not in ("", "application/octet-stream")]
