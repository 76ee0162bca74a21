"""A minimal HTTP client and server, so that the bench measures the product's cost and not its own."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast


class _Kept(asyncio.Protocol):
    """A kept-alive connection. It finds the end of a response and parses only its status."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self._came = bytearray()
        self._length: int | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's class does not inherit from it

    def ask(self, request: bytes) -> asyncio.Future[int]:
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def data_received(self, data: bytes) -> None:
        self._came += data
        if self._length is None and (end := self._came.find(b"\r\n\r\n")) >= 0:
            head = self._came[:end].lower()
            self._length = end + 4 + int(head.split(b"content-length:", 1)[1].split(b"\r\n", 1)[0])
        if self._length is not None and len(self._came) >= self._length:
            status = int(self._came.split(b" ", 2)[1])
            self._came.clear()
            self._length = None
            self._answer.set_result(status)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if not self._answer.done():
            self._answer.set_exception(ConnectionError("the server closed the connection"))
            self._answer.exception()  # nobody may be waiting

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Connections:
    """Requests over kept-alive connections to one port of this machine."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._idle: list[_Kept] = []

    async def request(self, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> int:
        """Returns the status of the response and drops its body. Raises ConnectionError if there is no response."""
        lines = [f"{method} {path} HTTP/1.1", "host: bench", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        connection = self._kept() or await self._open()
        status = await connection.ask("\r\n".join([*lines, "", ""]).encode() + body)
        self._idle.append(connection)
        return status

    async def _open(self) -> _Kept:
        _, connection = await asyncio.get_running_loop().create_connection(_Kept, "127.0.0.1", self._port)
        return connection

    def _kept(self) -> _Kept | None:
        """An idle connection that the server has not closed meanwhile, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if not connection.closed:
                return connection
        return None

    def close(self) -> None:
        for connection in self._idle:
            connection.close()


@asynccontextmanager
async def callback_server(delivered: Callable[[str], None]) -> AsyncIterator[int]:
    """Receives the generic channel's callbacks. Yields its port, and passes on the ids that each message answers."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof():
            try:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            length = int(head.split("content-length:", 1)[1].split("\r\n", 1)[0])
            message = json.loads(await reader.readexactly(length))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n")
            for message_id in message["inReplyTo"]:
                delivered(message_id)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
