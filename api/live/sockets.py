"""The two sockets: `/ws` for staff and `/chat/{propertyId}` for guests."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Annotated

from fastapi import Path
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from api.gate import caller
from api.live.connection import Connection, Ended, Served
from api.live.guest import serve_guest
from api.live.protocol import protocol_of
from api.live.rendering import Audience, Rendered
from api.live.staff import serve_staff
from api.routers import public_router
from api.state import State, state_of
from contracts.frames import CloseCode

router = public_router("the first frame contains a token")


@router.websocket("/ws")
async def staff(websocket: WebSocket) -> None:
    await _serve(websocket, "staff", serve_staff)


@router.websocket("/chat/{propertyId}")
async def chat(websocket: WebSocket, property_id: Annotated[str, Path(alias="propertyId")]) -> None:
    own = state_of(websocket).settings.channels_of(property_id).webchat.allowed_origins
    who = caller(websocket)
    await _serve(websocket, "guest", lambda connection, state: serve_guest(connection, state, property_id, who), own)


async def _serve(
    websocket: WebSocket,
    audience: Audience,
    serve: Callable[[Connection, State], Awaitable[Served]],
    origins: Sequence[str] = (),
) -> None:
    """Accepts a socket before refusing it, because only then does the client learn why."""
    state = state_of(websocket)
    welcome = may_open(websocket, [*state.settings.websocket.allowed_origins, *origins])
    await websocket.accept()
    protocol = protocol_of(websocket.scope)
    connection = Connection(protocol or _AnyServer(websocket))

    async def opening() -> Served:
        if not welcome:
            raise Ended(CloseCode.FORBIDDEN, "this origin may not open a socket")
        connection.at_end(state.hub.admit(audience))
        return await serve(connection, state)

    connection.start(opening)
    if protocol is not None:
        protocol.detach(connection.take)
        return
    while not connection.over:
        connection.take(await websocket.receive())
    await connection.closed()


class _AnyServer:
    """The transport of a socket under any ASGI server."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._tasks: set[asyncio.Task[None]] = set()

    def write_now(self, frame: Rendered) -> bool:
        return False

    async def send_frame(self, frame: Rendered) -> None:
        await self._websocket.send_text(frame.text)

    async def close(self, code: int, reason: str) -> None:
        await self._websocket.close(code, reason)

    def resume(self) -> None:
        """Does nothing: reading never pauses here."""

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def may_open(websocket: HTTPConnection, allowed: list[str]) -> bool:
    """Whether the origin may open a socket: our own, an allowed one, or none, since only browsers send one."""
    origin = websocket.headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return True
    return origin.partition("://")[2] == websocket.headers.get("host")
