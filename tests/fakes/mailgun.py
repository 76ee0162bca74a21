"""Mailgun as keeper of files: gives them to whoever has the key, and fails on command."""

import base64

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

API_KEY = "key-of-the-api"


class FakeMailgun:
    """`files` by name; `asked` holds the credentials of every request, `statuses` what the next ones get."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.statuses: list[int] = []
        self.base = ""
        self.app = Starlette(routes=[Route("/v3/domains/hotel.test/messages/1/attachments/{name}", self._file)])

    def url(self, name: str) -> str:
        return f"{self.base}/v3/domains/hotel.test/messages/1/attachments/{name}"

    async def _file(self, request: Request) -> Response:
        given = request.headers.get("authorization", "")
        self.asked.append(base64.b64decode(given.removeprefix("Basic ")).decode())
        if self.statuses:
            return Response(status_code=self.statuses.pop(0))
        if self.asked[-1] != f"api:{API_KEY}":
            return Response("Forbidden", 401)
        found = self.files.get(request.path_params["name"])
        return Response(found) if found is not None else Response(status_code=404)
