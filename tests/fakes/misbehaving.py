"""How another company's server misbehaves on command: after it took a request, or instead of taking it."""

import asyncio
from collections import deque
from typing import Literal

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

Fault = Literal["silent", "silent_after", "dropped", "dropped_after", "too_many", "unavailable", "bad_gateway_after"]
"""`…_after`: the request is taken, and who sent it does not learn of it."""


class DroppedConnection(Response):
    """An answer that breaks off before its end."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"100")]})
        await send({"type": "http.response.body", "body": b"", "more_body": False})


class Faults:
    """Each request meets the next fault that was commanded; None among them is a request that goes well."""

    def __init__(self) -> None:
        self._next: deque[Fault | None] = deque()
        self._open = asyncio.Event()
        self.retry_after = 1

    def then(self, *faults: Fault | None) -> None:
        self._next.extend(faults)

    def take(self) -> Fault | None:
        return self._next.popleft() if self._next else None

    def let_go(self) -> None:
        """Ends what is silent, or it would hold the server open."""
        self._open.set()

    async def instead(self, fault: Fault | None) -> Response | None:
        """What happens instead of taking the request; None where it is taken."""
        match fault:
            case "silent":
                return await self._silence()
            case "dropped":
                return DroppedConnection()
            case "unavailable":
                return Response("upstream is away", status_code=503)
        return None

    async def after(self, fault: Fault | None) -> Response | None:
        """What happens instead of telling that the request was taken; None where it is told."""
        match fault:
            case "silent_after":
                return await self._silence()
            case "dropped_after":
                return DroppedConnection()
            case "bad_gateway_after":
                return Response("upstream is away", status_code=502)
        return None

    async def _silence(self) -> Response:
        await self._open.wait()
        return Response(status_code=504)
