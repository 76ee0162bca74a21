"""Keeps webhooks out of our own network, by checking the address actually connected to and not only the name."""

import asyncio
import ipaddress
import socket
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

import httpcore
from httpcore import SOCKET_OPTION, AsyncNetworkBackend, AsyncNetworkStream

from contracts.problems import Invalid

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")


class PrivateAddressError(httpcore.ConnectError):
    """An endpoint's name resolves only to private addresses."""


def is_public(address: Address) -> bool:
    """Whether an address is on the public internet. Embedded addresses, as in IPv4 over IPv6, are checked as well."""
    if isinstance(address, ipaddress.IPv6Address):
        if address in _NAT64:
            return is_public(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if inner is not None:
            return is_public(inner)
        if address.is_site_local:  # deprecated, and Python takes it for global
            return False
    return address.is_global and not (address.is_multicast or address.is_reserved or address.is_unspecified)


def check_url(url: str, *, allow_private: bool) -> None:
    """Raises Invalid for a forbidden URL. What its name resolves to is checked when connecting."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise _invalid("must be a URL, such as https://hotel.example/hooks") from None
    if parts.scheme not in (("http", "https") if allow_private else ("https",)) or not host:
        raise _invalid("must be a URL that begins with https://")
    if not url.isascii() or any(char <= " " for char in url):
        raise _invalid("must be written in ASCII without spaces")
    if parts.username is not None or parts.fragment:
        raise _invalid("must have neither a user name nor a fragment")
    try:
        host.encode("idna")
    except UnicodeError:
        raise _invalid("must have a valid host name") from None
    if allow_private:
        return
    address = _literal(host)
    if host == "localhost" or host.endswith(".localhost") or (address is not None and not is_public(address)):
        raise _invalid("must not point to a private address")


def _invalid(what: str) -> Invalid:
    return Invalid(f"url: {what}", field="url")


def _literal(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return None


class GuardedNetwork(AsyncNetworkBackend):
    """Resolves names itself and connects to the checked address, so that a second lookup cannot lead elsewhere."""

    def __init__(self, *, allow_private: bool) -> None:
        self._allow_private = allow_private
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 - httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[SOCKET_OPTION] | None = None,
    ) -> AsyncNetworkStream:
        """Raises PrivateAddressError if all addresses are private, ConnectError if none answers."""
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # UnicodeError: for an invalid name such as a..b
            raise httpcore.ConnectError("the name cannot be resolved") from error
        addresses = [str(each[4][0]) for each in found]
        allowed = [each for each in addresses if self._allow_private or _is_public_literal(each)]
        if not allowed:
            raise PrivateAddressError("the name resolves to a private address")
        for address in allowed[:-1]:
            try:
                return await self._network.connect_tcp(address, port, timeout, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                continue
        return await self._network.connect_tcp(allowed[-1], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)


def _is_public_literal(address: str) -> bool:
    parsed = _literal(address)
    return parsed is not None and is_public(parsed)
