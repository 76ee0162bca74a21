"""Reading responses of other people's servers up to a limit: a small compressed body may decode to a huge one."""

import zlib

import httpx

ACCEPTED = {"accept-encoding": "gzip"}
"""Request headers that limit what we may have to decode to gzip."""
_ANY_HEADER = zlib.MAX_WBITS | 32


class TooMuchError(Exception):
    """A response has more bytes than allowed."""


async def read_at_most(response: httpx.Response, limit: int) -> bytes:
    """The decoded body of a streamed response. Raises TooMuchError once it exceeds the limit, and httpx.HTTPError.

    It decodes by itself: httpx decodes each chunk whole, and a chunk may grow a thousandfold.
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
