"""The two sockets: `/ws` for staff and `/chat/{propertyId}` for guests."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated
from urllib.parse import urlsplit

from fastapi import APIRouter, Path
from starlette.requests import HTTPConnection
from starlette.websockets import WebSocket

from api.live.connection import Connection, Ended
from api.live.guest import serve_guest
from api.live.staff import serve_staff
from api.live.telling import Audience
from api.state import State, state_of
from contracts.frames import CloseCode

router = APIRouter()


@router.websocket("/ws")
async def staff(websocket: WebSocket) -> None:
    await _serve(websocket, "staff", serve_staff)


@router.websocket("/chat/{propertyId}")
async def chat(websocket: WebSocket, property_id: Annotated[str, Path(alias="propertyId")]) -> None:
    own = state_of(websocket).settings.channels_of(property_id).webchat.allowed_origins
    await _serve(websocket, "guest", lambda connection, state: serve_guest(connection, state, property_id), own)


async def _serve(
    websocket: WebSocket,
    audience: Audience,
    socket: Callable[[Connection, State], Awaitable[None]],
    origins: Sequence[str] = (),
) -> None:
    """Accepts before it refuses, because only then the client learns why."""
    state = state_of(websocket)
    await websocket.accept()
    connection = Connection(websocket)

    async def admitted() -> None:
        if not may_open(websocket, [*state.settings.websocket.allowed_origins, *origins]):
            raise Ended(CloseCode.FORBIDDEN, "this origin may not open a socket")
        with state.hub.admit(audience):
            await socket(connection, state)

    await connection.run(admitted())


def may_open(websocket: HTTPConnection, allowed: list[str]) -> bool:
    """Browsers send the origin of the page; our own and the allowed ones may. Programs send none."""
    origin = websocket.headers.get("origin")
    if origin is None or "*" in allowed or origin in allowed:
        return True
    return urlsplit(origin).netloc == websocket.headers.get("host")
