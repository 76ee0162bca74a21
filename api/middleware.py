"""Middleware in front of every route, as plain ASGI: nothing here buffers a body or starts a task."""

import logging
from collections.abc import Mapping
from types import TracebackType
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.errors import problem_response
from contracts.problems import GatewayError, TooLarge
from contracts.unexpected import describe

BODY_LIMIT: Final = 1_000_000
"""The largest request body, in bytes."""

logger = logging.getLogger("gateway.api")


class UnexpectedErrors:
    """Turns an unexpected error into a plain 500 and logs where it happened, but not its text."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        started = False

        async def noting_send(message: Message) -> None:
            nonlocal started
            started = True
            await send(message)

        caught = _Unexpected()
        with caught:
            await self._app(scope, receive, noting_send)
        if caught.error is not None and scope["type"] == "http" and not started:
            problem = GatewayError("An unexpected error occurred; it has been logged")
            await problem_response(problem)(scope, receive, send)


class _Unexpected:
    """Holds back an error that reached the outermost layer, and logs it."""

    error: Exception | None = None

    def __enter__(self) -> None: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if not isinstance(error, Exception):
            return False
        self.error = error
        log_unexpected(error)
        return True


def log_unexpected(error: Exception) -> None:
    """Logs an error's types and where it happened. Its text may quote a guest and is not logged."""
    logger.error("unexpected %s", describe(error))


class BodyLimit:
    """Refuses bodies over the limit before they are read into memory, with or without a Content-Length.

    `larger` has the limits of paths that accept files, by path prefix.
    """

    def __init__(self, app: ASGIApp, limit: int = BODY_LIMIT, larger: Mapping[str, int] | None = None) -> None:
        self._app = app
        self._limit = limit
        self._larger = larger or {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        limit = next((each for start, each in self._larger.items() if scope["path"].startswith(start)), self._limit)
        announced = Headers(scope=scope).get("content-length", "")
        if announced.isdecimal() and int(announced) > limit:
            await self._refuse(limit, scope, receive, send)
            return
        received = 0

        async def counting_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > limit:
                raise TooLarge("over the limit")
            return message

        async def send_unless_refused(message: Message) -> None:
            # Whatever the application makes of a body that was cut off is not its sender's answer.
            if received <= limit:
                await send(message)

        try:
            await self._app(scope, counting_receive, send_unless_refused)
        except TooLarge:
            if received <= limit:
                raise
        if received > limit:
            await self._refuse(limit, scope, receive, send)

    async def _refuse(self, limit: int, scope: Scope, receive: Receive, send: Send) -> None:
        problem = TooLarge(f"The body may have at most {limit} bytes")
        response = problem_response(problem)
        # The rest of the body is not read, so the connection cannot be used again.
        response.headers["connection"] = "close"
        await response(scope, receive, send)
