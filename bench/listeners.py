"""A thousand client sockets in one process, as cheap as possible, so that only the server's cost is measured."""

import asyncio
import base64
import json
import os
import time
from collections.abc import Awaitable, Callable
from typing import cast

from websockets.frames import Frame, Opcode

OPENING = 50
"""How many sockets are opened at once."""
PATIENCE_SECONDS = 60


class Listener(asyncio.Protocol):
    """One socket. It searches the incoming bytes for the expected text, and does not parse them."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._awaited = b"\r\n\r\n"
        self._came: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._seen = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's class does not inherit from it

    def data_received(self, data: bytes) -> None:
        self._seen += data
        if self._awaited in self._seen:
            self._seen = b""
            if not self._came.done():
                self._came.set_result(time.perf_counter())

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._came.done():
            self._came.set_exception(ConnectionError("the server closed the socket"))

    def expect(self, text: str) -> asyncio.Future[float]:
        """Returns a future for the time at which the text arrives. Earlier bytes do not count."""
        self._awaited, self._seen = text.encode(), b""
        self._came = asyncio.get_running_loop().create_future()
        return self._came

    def upgrade(self, path: str) -> asyncio.Future[float]:
        key = base64.b64encode(os.urandom(16)).decode()
        lines = [f"GET {path} HTTP/1.1", "Host: bench", "Upgrade: websocket", "Connection: Upgrade"]
        lines += [f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13", "", ""]
        self._write("\r\n".join(lines).encode())
        return self._came

    def send(self, text: str) -> None:
        self._write(Frame(Opcode.TEXT, text.encode()).serialize(mask=True))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        assert self._transport is not None
        self._transport.write(data)


async def listen(port: int, path: str, count: int, join: Callable[[Listener], Awaitable[None]]) -> list[Listener]:
    """Opens sockets and lets each one `join`, a few at a time."""
    loop = asyncio.get_running_loop()

    async def one() -> Listener:
        _, listener = await loop.create_connection(Listener, "127.0.0.1", port)
        await listener.upgrade(path)
        await join(listener)
        return listener

    listeners: list[Listener] = []
    async with asyncio.timeout(PATIENCE_SECONDS):
        while len(listeners) < count:
            listeners += await asyncio.gather(*(one() for _ in range(min(OPENING, count - len(listeners)))))
    return listeners


async def reach_all(listeners: list[Listener], text: str, tell: Callable[[], Awaitable[object]]) -> float:
    """Seconds from calling `tell` until the last socket has received the text."""
    arrivals = [listener.expect(text) for listener in listeners]
    begun = time.perf_counter()
    await tell()
    async with asyncio.timeout(PATIENCE_SECONDS):
        return max(await asyncio.gather(*arrivals)) - begun


async def join_staff(listener: Listener, token: str, property_id: str) -> None:
    session = listener.expect('"type":"session"')
    listener.send(json.dumps({"type": "auth", "payload": {"token": token}}))
    await session
    subscribed = listener.expect('"type":"ack"')
    listener.send(json.dumps({"type": "subscribe", "id": "1", "payload": {"propertyId": property_id}}))
    await subscribed
