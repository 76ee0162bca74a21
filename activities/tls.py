"""Whom outgoing HTTPS connections trust."""

import functools
import ssl

import httpx


@functools.cache
def trusted() -> ssl.SSLContext:
    """One for all clients of this process: reading the authorities' certificates takes 20 ms, and they share it."""
    return httpx.create_ssl_context()
