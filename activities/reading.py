"""Answers of other people's servers, read no further than a limit: a small compressed one may be huge when decoded."""

import zlib

import httpx

ACCEPTED = {"accept-encoding": "gzip"}
"""Headers of a request whose answer is read here: what is not asked for need not be decoded."""
_ANY_HEADER = zlib.MAX_WBITS | 32


class TooMuchError(Exception):
    """An answer has more bytes than it may have."""


async def read_at_most(response: httpx.Response, limit: int) -> bytes:
    """The decoded body of a streamed response. Raises TooMuchError as soon as it is over the limit, and HTTPError.

    Decodes itself, for httpx decodes a whole piece at once, which may be a thousand times as large then.
    """
    coding = response.headers.get("content-encoding", "").strip().lower()
    decoder = zlib.decompressobj(_ANY_HEADER) if coding in ("gzip", "x-gzip", "deflate") else None
    body = bytearray()
    async for piece in response.aiter_raw():
        try:
            body += decoder.decompress(piece, limit + 1 - len(body)) if decoder else piece
        except zlib.error as error:
            raise httpx.DecodingError(str(error), request=response.request) from error
        if len(body) > limit:
            raise TooMuchError(f"over {limit} bytes")
    return bytes(body)
