"""A hotel's program that is told what happens: checks signatures by the library, keeps what comes, fails on command."""

import asyncio
from collections.abc import Callable
from typing import Any

from standardwebhooks import Webhook
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class FakeReceiver:
    """`attempts` is every id that came in; `received` has each event once, by its id, as a receiver should keep it."""

    def __init__(self) -> None:
        self.url = ""
        self.secret = ""
        self.status: Callable[[dict[str, Any]], int] = lambda event: 200
        self.headers: dict[str, str] = {}
        self.attempts: list[str] = []
        self.signatures: list[str] = []
        self.received: dict[str, dict[str, Any]] = {}
        self.elsewhere = 0
        self._free = asyncio.Event()
        self._free.set()
        self.app = Starlette(
            routes=[
                Route("/hook", self._take, methods=["POST"]),
                Route("/elsewhere", self._astray, methods=["GET", "POST"]),
            ]
        )

    @property
    def sequences(self) -> list[int]:
        """The order in which events were first taken."""
        return [event["data"]["sequence"] for event in self.received.values()]

    def hold(self) -> None:
        """Requests are not answered until they are let go."""
        self._free.clear()

    def let_go(self) -> None:
        self._free.set()

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        event: dict[str, Any] = Webhook(self.secret).verify(body, dict(request.headers))
        message_id = request.headers["webhook-id"]
        self.attempts.append(message_id)
        self.signatures.append(request.headers["webhook-signature"])
        await self._free.wait()
        status = self.status(event)
        if status == 200:
            self.received.setdefault(message_id, event)
        return Response(status_code=status, headers=self.headers)

    async def _astray(self, request: Request) -> Response:
        self.elsewhere += 1
        return Response()
