"""Parts of a file, as a browser asks for them to play a film (RFC 9110, section 14)."""

import re
from http import HTTPStatus
from typing import Final

from fastapi import Response

_ONE_RANGE: Final = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")


def part_of(wanted: str, size: int) -> range | None:
    """The bytes that a Range header asks for.

    None for the whole file: where it asks for several parts, in another unit, for what is no range or not in the file.
    A server may pass all of these over.
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


def answer(content: bytes, wanted: str | None, *, media_type: str, headers: dict[str, str]) -> Response:
    """The whole of a file or, with a Range header, the part of it."""
    headers = {**headers, "Accept-Ranges": "bytes"}
    part = part_of(wanted, len(content)) if wanted is not None else None
    if part is None:
        return Response(content, media_type=media_type, headers=headers)
    headers["Content-Range"] = f"bytes {part.start}-{part.stop - 1}/{len(content)}"
    return Response(content[part.start : part.stop], HTTPStatus.PARTIAL_CONTENT, headers, media_type)
