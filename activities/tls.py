"""TLS settings of outgoing connections."""

import functools
import ssl
from typing import Final

import httpx

UNREACHED: Final = (httpx.HTTPError, ssl.SSLError)
"""Errors of a failed request. After the handshake, TLS errors such as a missing client certificate come unwrapped."""


@functools.cache
def trusted() -> ssl.SSLContext:
    """The context shared by all clients of this process, since loading the root certificates takes 20 ms."""
    return httpx.create_ssl_context()
