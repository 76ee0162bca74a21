"""Another company's bucket: as much of the S3 protocol as keeps and gives objects."""

import hashlib
from email.utils import formatdate

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route


class FakeBucket:
    """`objects` by path; requests must be signed by `access_key`."""

    def __init__(self, access_key: str) -> None:
        self.objects: dict[str, bytes] = {}
        self.status = 200
        self._access_key = access_key
        self.app = Starlette(routes=[Route("/{path:path}", self._serve, methods=["GET", "PUT"])])

    async def _serve(self, request: Request) -> Response:
        assert f"Credential={self._access_key}/" in request.headers["authorization"], "a request must be signed"
        path, body = request.path_params["path"], await request.body()
        if self.status != 200:
            return Response(status_code=self.status)
        if request.method == "PUT":
            self.objects[path] = body
        if path not in self.objects:
            return Response("<Error><Code>NoSuchKey</Code></Error>", 404)
        content = self.objects[path]
        tags = {"ETag": f'"{hashlib.md5(content).hexdigest()}"', "Last-Modified": formatdate(usegmt=True)}
        return Response(content if request.method == "GET" else b"", headers=tags)
