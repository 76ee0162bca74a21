"""uvicorn's WebSocket protocol with our close codes."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypedDict, cast

from starlette.types import Message, Scope
from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from api.live.rendering import Rendered
from api.middleware import log_unexpected
from contracts.frames import CloseCode
from settings import Websocket

LINGER = 15.0
"""Seconds that a closing socket has to take what was sent to it, including the close frame."""
FRAME_BYTES = 64 * 1024
"""The largest client frame, in bytes."""

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than proxies keep it, or their requests would meet a closed one."""

OWN = "gateway.protocol"
"""The scope extension that holds a socket's protocol."""
SWITCHING_PROTOCOLS = 101


@dataclass(frozen=True, slots=True)
class _Passing:
    """Replaces the queue of a socket whose events are handled at once."""

    take: Callable[[Message], None]

    def put_nowait(self, event: ASGIReceiveEvent) -> None:
        self.take(cast(Message, event))


class LiveProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, but a missed pong or a slow reader gets our close codes and cannot keep a socket open.

    A detached socket needs no ASGI call that runs as long as it does, which saves the memory of one.
    """

    _detached = False

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == SWITCHING_PROTOCOLS:
            cast(dict[str, Any], self.scope["extensions"])[OWN] = self

    def detach(self, take: Callable[[Message], None]) -> None:
        """Passes all later events to `take`, and forgets the request."""
        waiting, self.queue = self.queue, cast(Any, _Passing(take))
        self._detached = True
        del self.scope, self.request, self.response
        while not waiting.empty():
            take(cast(Message, waiting.get_nowait()))
        self.resume()

    async def run_asgi(self) -> None:
        try:
            await self.app(self.scope, self.receive, self.send)
        except ClientDisconnected:
            pass
        except Exception as error:  # the application has ended, so its socket must too
            log_unexpected(error)
        if not self._detached:
            self.send_500_response()  # does nothing if it was answered
            if self.close_timer is None:
                self.transport.close()

    def write_now(self, frame: Rendered) -> bool:
        transport = self.transport
        if self.close_sent or self.disconnected or transport.is_closing() or not self.writable.is_set():
            return False
        transport.write(frame.wire)
        return True

    async def send_frame(self, frame: Rendered) -> None:
        while not self.write_now(frame):
            if self._over:
                raise ClientDisconnected
            await self.writable.wait()

    async def close(self, code: int, reason: str) -> None:
        await self.send({"type": "websocket.close", "code": code, "reason": reason})

    @property
    def _over(self) -> bool:
        return self.close_sent or self.disconnected or self.transport.is_closing()

    def resume(self) -> None:
        if self.read_paused:
            self.read_paused = False
            self.transport.resume_reading()

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = self.loop.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def keepalive_timeout(self) -> None:
        if not self.close_sent:
            self.queue.put_nowait({"type": "websocket.disconnect", "code": CloseCode.NO_PONG, "reason": "no pong"})
            self.conn.fail(CloseCode.NO_PONG, "no pong")
            self.loop.call_later(LINGER, self.transport.abort)
        super().keepalive_timeout()

    async def send(self, message: ASGISendEvent) -> None:
        if self.close_sent:
            raise ClientDisconnected
        if message["type"] == "websocket.close" and self.handshake_complete:
            self.writable.set()  # a reader that takes nothing must not hold back its own close frame
            self.loop.call_later(LINGER, self.transport.abort)
        await super().send(message)


def protocol_of(scope: Scope) -> LiveProtocol | None:
    """The protocol of a socket; None under another server than uvicorn."""
    protocol = scope.get("extensions", {}).get(OWN)
    return protocol if isinstance(protocol, LiveProtocol) else None


class ProtocolOptions(TypedDict):
    ws: type[LiveProtocol]
    ws_ping_interval: float
    ws_ping_timeout: float
    ws_max_size: int
    ws_per_message_deflate: bool
    timeout_keep_alive: int


def protocol_options(settings: Websocket) -> ProtocolOptions:
    """The options to start uvicorn with."""
    return {
        "ws": LiveProtocol,
        "ws_ping_interval": settings.ping_interval / 1000,
        "ws_ping_timeout": settings.ping_timeout / 1000,
        "ws_max_size": FRAME_BYTES,
        "ws_per_message_deflate": False,
        "timeout_keep_alive": KEEP_ALIVE,
    }
