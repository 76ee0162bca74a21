"""One socket: handles incoming frames one by one, queues outgoing ones, and is the only place that closes it.

An idle socket has no task. An incoming frame starts one, and so does a frame that cannot be written at once.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Never, Protocol

from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from starlette.types import Message
from starlette.websockets import WebSocketDisconnect

from api.live.rendering import Rendered, render
from api.live.replay import Replay
from api.middleware import log_unexpected
from contracts.base import Model
from contracts.frames import ClientFrame, CloseCode, FrameId, ServerFrame, ServerPayload
from contracts.problems import GatewayError, Invalid, Malformed, StorageAway

QUEUE: Final = 1000
"""How many frames may wait for a slow reader. One that lags further is closed, and reconnects with its cursor."""
READ_AHEAD: Final = 8
"""How many frames of a client are read ahead while an earlier one is handled."""
AUTH_SECONDS: Final = 5.0
"""How long a new socket has to send its `auth` frame."""
STORAGE_RETRY: Final = 1.0
CLOSE_SECONDS: Final = 5.0
UNEXPECTED: Final = 1011
TRY_AGAIN_LATER: Final = 1013
"""WebSocket's own close codes for a server error, and for a server that cannot serve now."""
GONE: Final = (OSError, WebSocketDisconnect)
"""Errors that sending raises once the client is gone."""


class Ended(Exception):
    """Ends the socket: it is closed with `code`, after an `error` frame if there is a problem to report."""

    def __init__(self, code: int, reason: str, problem: GatewayError | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.problem = problem


class _Left(Exception):
    """The client closed the socket or is gone."""


class Wire(Protocol):
    """The transport of one socket."""

    def write_now(self, frame: Rendered) -> bool:
        """Writes a frame if that needs no waiting. False if it does, or the socket is closed."""

    async def send_frame(self, frame: Rendered) -> None:
        """Sends a frame, waiting for a slow reader. Raises one of GONE if the client is gone."""

    async def close(self, code: int, reason: str) -> None:
        """Closes the socket with a code. Raises one of GONE if it is closed already."""

    def resume(self) -> None:
        """Resumes reading."""

    def spawn(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Starts a task that the server awaits before it stops."""


class Served(Protocol):
    """The application behind a socket: a guest's or a member of staff's."""

    async def handle(self, frame: ClientFrame) -> None:
        """Handles a frame. Raises Ended to end the socket."""

    def closed(self) -> None:
        """Called when the socket is over."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame waiting to be sent. An `in_order` one must not overtake what is still to be read from storage."""

    frame: Rendered
    in_order: bool


class Connection:
    """An accepted socket. Methods that send never wait."""

    __slots__ = (
        "_at_end",
        "_came",
        "_closing",
        "_handling",
        "_inbox",
        "_more",
        "_sending",
        "_served",
        "_waiting",
        "_wire",
    )

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._inbox: list[str | None] = []
        self._came: asyncio.Future[None] | None = None
        self._handling: asyncio.Task[None] | None = None
        self._waiting: list[_Frame | Replay] = []
        self._more: asyncio.Event | None = None
        self._sending: asyncio.Task[None] | None = None
        self._served: Served | None = None
        self._at_end: list[Callable[[], None]] = []
        self._closing: asyncio.Task[None] | None = None

    def start(self, opening: Callable[[], Awaitable[Served]]) -> None:
        """Runs `opening`, which authenticates the client, and passes later frames to what it returns."""

        async def opened() -> None:
            served = await opening()
            self.at_end(served.closed)
            self._served = served
            await self._handle_inbox()

        self._handling = self._wire.spawn(self._watched(opened))

    def at_end(self, then: Callable[[], None]) -> None:
        """Calls `then` when the socket is over, or at once if it already is."""
        if self.over and self._closing is not None and self._closing.done():
            then()
        else:
            self._at_end.append(then)

    def spawn(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs something for this socket beside the handling of frames."""
        self._wire.spawn(self._watched(work))

    async def closed(self) -> None:
        """Waits until the socket is over and all `at_end` callbacks have run."""
        if self._closing is not None:
            await asyncio.wait([self._closing])

    @property
    def over(self) -> bool:
        return self._closing is not None

    # --- out -------------------------------------------------------------------------------------------------------

    def send(self, frame: ServerFrame) -> None:
        self.send_rendered(render(frame), in_order=False)

    def send_rendered(self, frame: Rendered, *, in_order: bool) -> None:
        if self._closing is not None or (self._sending is None and self._wire.write_now(frame)):
            return
        if len(self._waiting) >= QUEUE:
            self.end(Ended(CloseCode.TOO_SLOW, "too slow; reconnect with your last cursor"))
            return
        self._waiting.append(_Frame(frame, in_order))
        self._send_soon()

    def send_problem(self, problem: GatewayError, frame_id: str | None) -> None:
        self.send(error_frame(problem, frame_id))

    def replay(self, replay: Replay) -> None:
        """Sends the frames of a replay before any in-order frame sent after this call."""
        if not self.over:
            self._waiting.append(replay)
            self._send_soon()

    def abandon(self) -> None:
        """Closes the socket because this server cannot serve it at the moment."""
        self.end(Ended(TRY_AGAIN_LATER, "reconnect with your last cursor"))

    def end(self, ending: Ended) -> None:
        """Closes the socket soon, whatever is still queued."""
        if not self.over:
            self._closing = self._wire.spawn(self._close(ending))

    # --- in --------------------------------------------------------------------------------------------------------

    def take(self, message: Message) -> None:
        """Takes an event from the server: a frame came, or the client is gone."""
        if message["type"] == "websocket.disconnect":
            self._leave()
            return
        if self.over:
            return
        self._inbox.append(message.get("text"))
        if len(self._inbox) > QUEUE:
            self.end(Ended(CloseCode.TOO_SLOW, "too many frames at once"))
        elif self._handling is None:
            self._handling = self._wire.spawn(self._watched(self._handle_inbox))
        elif self._came is not None and not self._came.done():
            self._came.set_result(None)

    async def receive_auth(self) -> ClientFrame:
        """The `auth` frame, which must come first. Raises Ended if it does not come in time."""
        try:
            async with asyncio.timeout(AUTH_SECONDS):
                frame = await self._first()
        except TimeoutError:
            raise Ended(CloseCode.SESSION_ENDED, "no auth frame arrived in time") from None
        if frame.type != "auth":
            raise Ended(CloseCode.SESSION_ENDED, "the first frame must be auth")
        return frame

    async def _first(self) -> ClientFrame:
        while True:
            while not self._inbox:
                if self.over:
                    raise _Left
                self._came = asyncio.get_running_loop().create_future()
                await self._came
                self._came = None
            frame = self._next()
            if frame is not None:
                return frame

    def _next(self) -> ClientFrame | None:
        """The oldest frame not yet handled. A ping, or a frame that cannot be parsed, is answered at once."""
        text = self._inbox.pop(0)
        if len(self._inbox) < READ_AHEAD:
            self._wire.resume()
        try:
            frame = _parse(text)
        except GatewayError as problem:
            self.send_problem(problem, _id_of(text))
            return None
        if frame.type == "ping":  # sent by the page, not by a person: it does not renew the session
            self.send(ServerFrame(type="ack", id=frame.id))
            return None
        return frame

    async def _handle_inbox(self) -> None:
        while self._inbox and self._served is not None:
            frame = self._next()
            if frame is not None:
                await self._served.handle(frame)
        self._handling = None

    # --- running ---------------------------------------------------------------------------------------------------

    async def _watched(self, work: Callable[[], Awaitable[None]]) -> None:
        """Runs work for this socket, and ends the socket if the work says so or fails."""
        try:
            await work()
        except Ended as ending:
            self.end(ending)
        except (_Left, *GONE):
            self._leave()
        except Exception as error:  # nobody else would see it
            log_unexpected(error)
            self.end(Ended(UNEXPECTED, "an unexpected error occurred"))

    def _leave(self) -> None:
        """The client is gone: frames that it sent are still handled, and nothing more is sent."""
        if not self.over:
            self._closing = self._wire.spawn(self._close(None))
        if self._came is not None and not self._came.done():
            self._came.set_result(None)

    async def _close(self, ending: Ended | None) -> None:
        if ending is not None and self._handling is not None:
            self._handling.cancel()
        if self._sending is not None:
            self._sending.cancel()
        tasks = [task for task in (self._handling, self._sending) if task is not None]
        if tasks:
            await asyncio.wait(tasks)
        if ending is not None:
            await self._say(ending)
        for then in self._at_end:
            then()
        self._at_end = []

    async def _say(self, ending: Ended) -> None:
        with suppress(*GONE, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                if ending.problem is not None:
                    await self._wire.send_frame(render(error_frame(ending.problem, None)))
                await self._wire.close(ending.code, ending.reason)

    # --- sending what has to wait ----------------------------------------------------------------------------------

    def _send_soon(self) -> None:
        if self._sending is None:
            self._sending = self._wire.spawn(self._watched(self._send_all))
        elif self._more is not None:
            self._more.set()

    async def _send_all(self) -> None:
        while self._waiting:
            await self._send_next()
        self._sending = None

    async def _send_next(self) -> None:
        first = self._waiting[0]
        if isinstance(first, _Frame):
            del self._waiting[0]
            await self._wire.send_frame(first.frame)
            return
        try:
            async for page in first.pages():
                for frame in page:
                    await self._wire.send_frame(frame)
            del self._waiting[0]
        except StorageAway:
            self._more = asyncio.Event()
            with suppress(TimeoutError):
                async with asyncio.timeout(STORAGE_RETRY):
                    await self._overtake(self._more)
            self._more = None

    async def _overtake(self, more: asyncio.Event) -> Never:
        """Sends frames that need no storage ahead of those that wait for it."""
        while True:
            free = [item for item in self._waiting if isinstance(item, _Frame) and not item.in_order]
            for item in free:
                await self._wire.send_frame(item.frame)
                self._waiting.remove(item)
            await more.wait()
            more.clear()


def error_frame(problem: GatewayError, frame_id: str | None) -> ServerFrame:
    """An error frame. It has a `messageId` if the message may have gone out: repeating it under that id is safe."""
    message_id = problem.members.get("clientMessageId")
    payload = ServerPayload(
        code=problem.code,
        detail=problem.detail,
        field=problem.field,
        message_id=message_id if isinstance(message_id, str) else None,
    )
    return ServerFrame(type="error", id=frame_id, payload=payload)


def refusal(error: ValidationError) -> GatewayError:
    """The error for invalid input. The value itself is not repeated."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid" or not first["loc"]:
        return Malformed(f"A frame must be a JSON object: {first['msg']}")
    field = to_camel(str(first["loc"][-1]))
    return Invalid(f"{field}: {first['msg']}", field=field)


class _Identified(Model):
    id: FrameId


def _parse(text: str | None) -> ClientFrame:
    """Parses a client's frame. Raises Malformed if it is not JSON text, Invalid if it is not a frame."""
    if text is None:
        raise Malformed("Frames must be JSON in text messages")
    try:
        return ClientFrame.model_validate_json(text)
    except ValidationError as error:
        raise refusal(error) from None


def _id_of(text: str | None) -> str | None:
    """The id of a frame that could not be parsed, so that its sender knows which one it was."""
    try:
        return _Identified.model_validate_json(text or "").id
    except ValidationError:
        return None
