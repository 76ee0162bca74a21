"""One socket: frames in one by one, frames out by a bounded queue, and the one place that closes it."""

import asyncio
from collections import deque
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Final, Never

from pydantic import ValidationError
from pydantic.alias_generators import to_camel
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.live.replay import Replay
from api.live.telling import render
from contracts.base import Model
from contracts.frames import ClientFrame, CloseCode, FrameId, ServerFrame, ServerPayload
from contracts.problems import GatewayError, Invalid, Malformed, StorageAway

QUEUE: Final = 1000
"""Most frames that wait for a reader; one that lags further behind is closed and comes back by its cursor."""
AUTH_SECONDS: Final = 5.0
"""How long a new socket has to say whose it is."""
STORAGE_RETRY: Final = 1.0
CLOSE_SECONDS: Final = 5.0
TRY_AGAIN_LATER: Final = 1013
"""The close code of the protocol itself for a server that cannot serve now."""


class Ended(Exception):
    """The socket is over. It is closed with `code`, after an `error` frame where there is a problem to tell."""

    def __init__(self, code: int, reason: str, problem: GatewayError | None = None) -> None:
        super().__init__(reason)
        self.code = code
        self.reason = reason
        self.problem = problem


class _Left(Exception):
    """The client closed the socket, or is gone."""


@dataclass(frozen=True, slots=True)
class _Frame:
    """A frame that waits to be sent. One `in_order` may not overtake what is still to be read from storage."""

    text: str
    in_order: bool


class Connection:
    """An accepted socket. What sends does not wait; what waits is run by `run`."""

    def __init__(self, websocket: WebSocket) -> None:
        self._websocket = websocket
        self._waiting: deque[_Frame | Replay] = deque()
        self._more = asyncio.Event()
        self._ending: Ended | None = None
        self._over = asyncio.Event()

    async def run(self, main: Coroutine[None, None, None]) -> None:
        """Runs `main` and sends what it says, until either side closes the socket."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(main)
                group.create_task(self._send_all())
                group.create_task(self._end())
        except* _Left:
            pass
        except* Ended as endings:
            ending = endings.exceptions[0]
            assert isinstance(ending, Ended)
            await self._close(ending)

    # --- out -------------------------------------------------------------------------------------------------------

    def send(self, frame: ServerFrame) -> None:
        self.send_text(render(frame), in_order=False)

    def send_text(self, text: str, *, in_order: bool) -> None:
        if len(self._waiting) < QUEUE:
            self._waiting.append(_Frame(text, in_order))
            self._more.set()
        else:
            self.end(Ended(CloseCode.TOO_SLOW, "too slow; reconnect with your last cursor"))

    def send_problem(self, problem: GatewayError, frame_id: str | None) -> None:
        self.send(error_frame(problem, frame_id))

    def replay(self, replay: Replay) -> None:
        """Sends what the replay reads, before anything in order that is sent after this call."""
        self._waiting.append(replay)
        self._more.set()

    def abandon(self) -> None:
        """Closes the socket because this server cannot serve it now."""
        self.end(Ended(TRY_AGAIN_LATER, "reconnect with your last cursor"))

    def end(self, ending: Ended) -> None:
        """Closes the socket soon, whatever still waits."""
        self._ending = self._ending or ending
        self._over.set()

    # --- in --------------------------------------------------------------------------------------------------------

    async def receive(self) -> ClientFrame:
        """The next frame that can be read; one that cannot is answered with an error."""
        while True:
            message = await self._websocket.receive()
            if message["type"] == "websocket.disconnect":
                raise _Left
            text: str | None = message.get("text")
            try:
                return _parse(text)
            except GatewayError as problem:
                self.send_problem(problem, _id_of(text))

    async def receive_auth(self) -> ClientFrame:
        """The `auth` frame that a socket begins with. Raises Ended where it does not come in time."""
        try:
            frame = await asyncio.wait_for(self.receive(), AUTH_SECONDS)
        except TimeoutError:
            raise Ended(CloseCode.SESSION_ENDED, "no auth frame came in time") from None
        if frame.type != "auth":
            raise Ended(CloseCode.SESSION_ENDED, "the first frame must be auth")
        return frame

    # --- running ---------------------------------------------------------------------------------------------------

    async def _end(self) -> None:
        await self._over.wait()
        if self._ending is not None:
            raise self._ending

    async def _send_all(self) -> None:
        while True:
            await self._more.wait()
            self._more.clear()
            while self._waiting:
                await self._send_next()

    async def _send_next(self) -> None:
        first = self._waiting[0]
        if isinstance(first, _Frame):
            self._waiting.popleft()
            await self._put(first.text)
            return
        try:
            async for page in first.pages():
                for text in page:
                    await self._put(text)
            self._waiting.popleft()
        except StorageAway:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._overtake(), STORAGE_RETRY)

    async def _overtake(self) -> Never:
        """Sends what needs no storage past what waits for it."""
        while True:
            free = [item for item in self._waiting if isinstance(item, _Frame) and not item.in_order]
            for frame in free:
                await self._put(frame.text)
                self._waiting.remove(frame)
            await self._more.wait()
            self._more.clear()

    async def _put(self, text: str) -> None:
        try:
            await self._websocket.send_text(text)
        except WebSocketDisconnect:
            raise _Left from None

    async def _close(self, ending: Ended) -> None:
        with suppress(WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                if ending.problem is not None:
                    await self._websocket.send_text(render(error_frame(ending.problem, None)))
                await self._websocket.close(ending.code, ending.reason)


def error_frame(problem: GatewayError, frame_id: str | None) -> ServerFrame:
    """`messageId` is there where the message may have been sent all the same: sent again under it, it is sent once."""
    message_id = problem.members.get("clientMessageId")
    payload = ServerPayload(
        code=problem.code,
        detail=problem.detail,
        field=problem.field,
        message_id=message_id if isinstance(message_id, str) else None,
    )
    return ServerFrame(type="error", id=frame_id, payload=payload)


def refusal(error: ValidationError) -> GatewayError:
    """What to tell the sender of something that is not what it should be. The value itself is not repeated."""
    first = error.errors(include_url=False, include_input=False)[0]
    if first["type"] == "json_invalid" or not first["loc"]:
        return Malformed(f"A frame is a JSON object: {first['msg']}")
    field = to_camel(str(first["loc"][-1]))
    return Invalid(f"{field}: {first['msg']}", field=field)


class _Identified(Model):
    id: FrameId


def _parse(text: str | None) -> ClientFrame:
    """A client's frame. Raises Malformed where it is no JSON text, Invalid where it is no frame."""
    if text is None:
        raise Malformed("Frames are JSON in text messages")
    try:
        return ClientFrame.model_validate_json(text)
    except ValidationError as error:
        raise refusal(error) from None


def _id_of(text: str | None) -> str | None:
    """The id of a frame that could not be read, so that its sender knows which one it was."""
    try:
        return _Identified.model_validate_json(text or "").id
    except ValidationError:
        return None
