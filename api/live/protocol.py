"""The sockets' protocol under uvicorn, with this product's close codes."""

from typing import TypedDict

from uvicorn._types import ASGISendEvent
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from contracts.frames import CloseCode
from settings import Websocket

LINGER = 15.0
"""Seconds that a closed socket has to take what was sent to it, the close frame last."""
FRAME_BYTES = 64 * 1024
"""Most bytes of a client's frame."""

KEEP_ALIVE = 75
"""Seconds that an idle connection is kept: longer than proxies do, whose requests our closing first would break."""


class LiveProtocol(WebSocketsSansIOProtocol):
    """uvicorn's own, but a missed pong and a slow reader are told by our codes and cannot hold a socket open."""

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
            self.writable.set()  # a reader that takes nothing must not hold its own close frame back
            self.loop.call_later(LINGER, self.transport.abort)
        await super().send(message)


class ProtocolOptions(TypedDict):
    ws: type[LiveProtocol]
    ws_ping_interval: float
    ws_ping_timeout: float
    ws_max_size: int
    ws_per_message_deflate: bool
    timeout_keep_alive: int


def protocol_options(settings: Websocket) -> ProtocolOptions:
    """What uvicorn is to be started with."""
    return {
        "ws": LiveProtocol,
        "ws_ping_interval": settings.ping_interval / 1000,
        "ws_ping_timeout": settings.ping_timeout / 1000,
        "ws_max_size": FRAME_BYTES,
        "ws_per_message_deflate": False,
        "timeout_keep_alive": KEEP_ALIVE,
    }
