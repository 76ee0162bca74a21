"""Whom outgoing HTTPS connections trust."""

import functools
import ssl
from typing import Final

import httpx

UNREACHED: Final = (httpx.HTTPError, ssl.SSLError)
"""What a request fails by. TLS tells its own errors as they are once the handshake is over, such as for want of a
certificate."""


@functools.cache
def trusted() -> ssl.SSLContext:
    """One for all clients of this process: reading the authorities' certificates takes 20 ms, and they share it."""
    return httpx.create_ssl_context()
