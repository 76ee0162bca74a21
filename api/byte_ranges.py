"""Byte ranges of a file (RFC 9110, section 14), which browsers need to play video."""

import re
from http import HTTPStatus
from typing import Final

from fastapi import Response

_ONE_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def part_of(wanted: str, size: int) -> range | None:
    """The bytes that a Range header asks for.

    None means the whole file: for several ranges, another unit, a malformed range, or one outside the file. A server
    may ignore all of these.
    """
    found = _ONE_RANGE.fullmatch(wanted.strip())
    if found is None:
        return None
    match found[1], found[2]:
        case "", "":
            return None
        case "", last:
            part = range(max(0, size - int(last)), size)
        case first, "":
            part = range(int(first), size)
        case first, last:
            part = range(int(first), min(int(last) + 1, size))
    return part or None


def answer(content: bytes, wanted: str | None, *, content_type: str, headers: dict[str, str]) -> Response:
    """The response with the whole file or, for a Range header, the part asked for."""
    # As a header, because the library would add a charset to a `media_type` of text.
    headers = {**headers, "Accept-Ranges": "bytes", "Content-Type": content_type}
    part = part_of(wanted, len(content)) if wanted is not None else None
    if part is None:
        return Response(content, headers=headers)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(content)}"
    return Response(content[part.start : part.stop], HTTPStatus.PARTIAL_CONTENT, headers)
