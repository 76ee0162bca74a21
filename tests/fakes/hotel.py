"""A hotel's own system: gives the stays of whom it knows, and misbehaves on command."""

import asyncio
from collections.abc import Mapping

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts.base import Model
from contracts.guests import GuestContact

TOKEN = "the hotel's token"


class Asked(Model):
    property_id: str
    contacts: list[GuestContact]


class FakeHotel:
    """`stays` by address, as the system writes them; while `hold` is set, requests wait for `let_go`."""

    def __init__(self) -> None:
        self.stays: dict[str, list[Mapping[str, object]]] = {}
        self.url = ""
        self.asked: list[Asked] = []
        self.status = 200
        self.body: bytes | None = None
        self.headers: Mapping[str, str] = {}
        self._open = asyncio.Event()
        self._open.set()
        self.app = Starlette(
            routes=[Route("/api/stays", self._stays, methods=["POST"]), Route("/api", self._root, methods=["GET"])]
        )

    def hold(self) -> None:
        self._open.clear()

    def let_go(self) -> None:
        self._open.set()

    async def _root(self, _: Request) -> Response:
        return Response(status_code=self.status)

    async def _stays(self, request: Request) -> Response:
        assert request.headers["authorization"] == f"Bearer {TOKEN}", "a request must carry the token"
        asked = Asked.model_validate_json(await request.body())
        self.asked.append(asked)
        await self._open.wait()
        if self.body is not None or self.status != 200:
            return Response(self.body, self.status, self.headers)
        known = [stay for contact in asked.contacts for stay in self.stays.get(contact.sender_id, [])]
        return JSONResponse({"stays": known})
