"""`gateway chat`: a guest chat in the terminal, which reconnects and continues where it was if the connection drops."""

import asyncio
import random
import threading
import uuid
from contextlib import suppress
from typing import Final, Literal
from urllib.parse import quote, urlsplit

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from contracts.conversations import ConversationState
from contracts.frames import ClientFrame, ClientPayload, ClientType, CloseCode, ServerFrame, ServerPayload
from contracts.messages import Author, Message
from contracts.names import CONTENT_LIMIT

FIRST_PAUSE: Final = 0.5
LONGEST_PAUSE: Final = 15.0
RESEND_SECONDS: Final = 4.0
LAST_ANSWER_SECONDS: Final = 60.0
"""How long the chat waits for the last answers after the input has ended."""

NEVER_TAKEN: Final = ("invalid", "malformed")
"""Error codes of messages that would be refused again, so that they are not resent."""
THIS_MACHINE: Final = ("127.0.0.1", "localhost", "::1")

STATES: Final = {
    ConversationState.ACTIVE: "you are chatting with the butler",
    ConversationState.ESCALATED: "our team has taken over your conversation",
    ConversationState.RESOLVED: "this conversation is closed; write to start a new one",
}


async def run(url: str, property_id: str) -> None:
    """Chats with a property of the gateway at `url` until the input ends or the chat is refused."""
    print(f"Chatting with {property_id}; press Ctrl-D to end.", flush=True)
    chat = _Chat(_socket_url(url, property_id))
    lines = _input_lines()
    tasks = [asyncio.create_task(each) for each in (chat.stay_connected(), chat.resend(), _pass_on(lines, chat))]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _pass_on(lines: asyncio.Queue[str | None], chat: "_Chat") -> None:
    while (line := await lines.get()) is not None:
        if line.strip():
            await chat.say(line.strip())
    with suppress(TimeoutError):
        async with asyncio.timeout(LAST_ANSWER_SECONDS):
            await chat.answered.wait()


class _Chat:
    def __init__(self, url: str) -> None:
        self.answered = asyncio.Event()
        """Set when all messages are answered or handed to a person."""
        self.answered.set()
        self._url = url
        self._socket: ClientConnection | None = None
        self._pause = FIRST_PAUSE
        self._token: str | None = None
        self._cursor: str | None = None
        self._unsent: dict[str, str] = {}
        self._acknowledged: set[str] = set()
        self._shown: set[str] = set()
        self._own_is_last = False
        self._state = ConversationState.NEW
        self._typing: str | None = None

    async def stay_connected(self) -> None:
        """Connects, and reconnects, until the server refuses the chat."""
        # The system's proxy is not for connections to this machine.
        proxy: Literal[True] | None = None if urlsplit(self._url).hostname in THIS_MACHINE else True
        while True:
            try:
                async with connect(self._url, proxy=proxy) as socket:
                    await self._converse(socket)
            except ConnectionClosed as closed:
                if closed.rcvd is not None and closed.rcvd.code == CloseCode.FORBIDDEN:
                    _tell(f"the chat was refused: {closed.rcvd.reason}")
                    return
            except (OSError, TimeoutError, InvalidHandshake):
                pass
            finally:
                self._socket = None
            if self._pause == FIRST_PAUSE:
                _tell("not connected; reconnecting")
            await asyncio.sleep(self._pause * random.uniform(0.5, 1.5))  # noqa: S311 - spreads out clients, no security
            self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def say(self, content: str) -> None:
        """Sends a message once there is a connection and all earlier messages have arrived."""
        if len(content) > CONTENT_LIMIT:
            _tell(f"not sent: a message may have at most {CONTENT_LIMIT} characters, not {len(content)}")
            return
        self._unsent[str(uuid.uuid4())] = content
        self.answered.clear()
        if len(self._unsent) == 1:
            await self._send_next()

    async def resend(self) -> None:
        """Resends the oldest unacknowledged message at intervals. Under the same id, the server counts it once."""
        while True:
            await asyncio.sleep(RESEND_SECONDS)
            await self._send_next()

    async def _send_next(self) -> None:
        """Sends only the oldest message that has not arrived, so that none overtakes one that is refused for now."""
        for frame_id, content in list(self._unsent.items())[:1]:
            await self._send("send_message", ClientPayload(content=content), frame_id)

    async def _converse(self, socket: ClientConnection) -> None:
        self._socket = socket
        await self._send("auth", ClientPayload(token=self._token, after=self._cursor))
        while True:
            text = await socket.recv()
            with suppress(ValidationError):  # an unknown frame from a newer server
                await self._receive(ServerFrame.model_validate_json(text))

    async def _send(self, kind: ClientType, payload: ClientPayload, frame_id: str | None = None) -> None:
        frame = ClientFrame(type=kind, payload=payload, id=frame_id)
        if self._socket is not None:
            with suppress(ConnectionClosed):
                await self._socket.send(frame.model_dump_json(exclude_none=True))

    async def _receive(self, frame: ServerFrame) -> None:
        self._cursor = frame.cursor or self._cursor
        payload = frame.payload
        match frame.type:
            case "session" if payload.token is not None:
                await self._begin(payload)
            case "message" if payload.message is not None:
                self._show(payload.message)
            case "conversation_update" if payload.conversation is not None:
                self._show_state(payload.conversation.state)
            case "typing":
                self._show_typing((payload.author_name or "the butler") if payload.typing else None)
            case "ack" if frame.id is not None:
                self._acknowledged.update(filter(None, [payload.message_id]))
                await self._go_on_after(frame.id)
            case "error":
                await self._refuse(frame)
            case "resync" if self._socket is not None:
                self._cursor = None
                await self._socket.close()

    async def _begin(self, payload: ServerPayload) -> None:
        if self._pause != FIRST_PAUSE or self._token is None:
            _tell("connected")
        self._pause, self._token = FIRST_PAUSE, payload.token
        if payload.conversation is not None:
            self._show_state(payload.conversation.state)
        await self._send_next()

    async def _go_on_after(self, frame_id: str) -> None:
        if self._unsent.pop(frame_id, None) is not None:
            await self._send_next()
        self._check_answered()

    async def _refuse(self, frame: ServerFrame) -> None:
        if frame.id is None or frame.id not in self._unsent:
            _tell(str(frame.payload.detail))
        elif frame.payload.code in NEVER_TAKEN:
            _tell(f"not sent: {frame.payload.detail}")
            await self._go_on_after(frame.id)
        else:
            _tell(f"not sent yet: {frame.payload.detail}")

    def _show(self, message: Message) -> None:
        if message.id in self._shown:
            return
        self._shown.add(message.id)
        self._own_is_last = message.author is Author.GUEST
        if not self._own_is_last:
            self._typing = None
            names = {Author.AI: "Butler", Author.STAFF: message.author_name or "Our team"}
            print(f"{names.get(message.author, 'Hotel')}: {message.content}", flush=True)
        self._check_answered()

    def _show_state(self, state: ConversationState) -> None:
        begun = (self._state, state) == (ConversationState.NEW, ConversationState.ACTIVE)
        if state is not self._state and not begun:
            _tell(STATES.get(state, state.value))
        self._state = state
        self._check_answered()

    def _check_answered(self) -> None:
        all_seen = not self._unsent and self._acknowledged <= self._shown
        if all_seen and (not self._own_is_last or self._state is ConversationState.ESCALATED):
            self.answered.set()

    def _show_typing(self, name: str | None) -> None:
        if name is not None and name != self._typing:
            _tell(f"{name} is writing…")
        self._typing = name


def _tell(text: str) -> None:
    print(f"  · {text}", flush=True)


def _socket_url(url: str, property_id: str) -> str:
    parts = urlsplit(url if "://" in url else f"http://{url}")
    scheme = "wss" if parts.scheme in ("https", "wss") else "ws"
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}/chat/{quote(property_id, safe='')}"


def _input_lines() -> asyncio.Queue[str | None]:
    """The lines of standard input, then None. Read by a thread, because asyncio cannot wait for every kind of input."""
    lines: asyncio.Queue[str | None] = asyncio.Queue()
    loop = asyncio.get_running_loop()

    def read() -> None:
        # Unbuffered, because a buffer's lock would keep the process from exiting.
        with open(0, "rb", buffering=0, closefd=False) as raw, suppress(RuntimeError):
            for line in raw:
                loop.call_soon_threadsafe(lines.put_nowait, line.decode(errors="replace"))
            loop.call_soon_threadsafe(lines.put_nowait, None)

    threading.Thread(target=read, daemon=True).start()
    return lines
