"""Sockets as clients see them, and conversations that are told by hand."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from activities.storage.publications import Publications
from contracts.conversations import Conversation, ConversationState
from contracts.events import Event, Notification, Publication, Published
from contracts.messages import AIInfo, Author, ChannelType, Delivery, DeliveryState, Message, Route
from contracts.names import workflow_id

PATIENCE_SECONDS = 60

Frame = dict[str, Any]


@dataclass
class Client:
    """A socket and every frame that came."""

    socket: ClientConnection
    frames: list[Frame] = field(default_factory=list)
    patience: float = PATIENCE_SECONDS

    async def send(self, kind: str, payload: object = None, frame_id: str | None = None) -> None:
        frame = {"type": kind, "payload": payload if payload is not None else {}, "id": frame_id}
        await self.socket.send(json.dumps({key: value for key, value in frame.items() if value is not None}))

    async def ask(self, kind: str, payload: object = None) -> Frame:
        """Sends a frame and gives its `ack` or `error`."""
        frame_id = str(uuid.uuid4())
        await self.send(kind, payload, frame_id)
        return await self.until(lambda frame: frame.get("id") == frame_id)

    async def next(self) -> Frame:
        async with asyncio.timeout(self.patience):
            frame: Frame = json.loads(await self.socket.recv())
        self.frames.append(frame)
        return frame

    async def until(self, wanted: Callable[[Frame], bool]) -> Frame:
        """Reads on to the first frame that is wanted."""
        while not wanted(frame := await self.next()):
            pass
        return frame

    async def message(self, content: str) -> Frame:
        """The message that says this, come already or still to come."""

        def wanted(frame: Frame) -> bool:
            return is_message(frame) and bool(frame["payload"]["message"]["content"] == content)

        come = next((frame for frame in self.frames if wanted(frame)), None)
        return come or await self.until(wanted)

    async def closed(self) -> int:
        """Reads until the server closes the socket, and gives the code."""
        with pytest.raises(ConnectionClosed) as closed:
            await self.until(lambda _: False)
        assert closed.value.rcvd is not None, "the connection broke"
        return closed.value.rcvd.code

    @property
    def cursor(self) -> str | None:
        return next((frame["cursor"] for frame in reversed(self.frames) if "cursor" in frame), None)

    def contents(self) -> list[str]:
        return [frame["payload"]["message"]["content"] for frame in self.frames if is_message(frame)]


def is_message(frame: Frame) -> bool:
    return bool(frame["type"] == "message")


def of_type(kind: str) -> Callable[[Frame], bool]:
    return lambda frame: bool(frame["type"] == kind)


@asynccontextmanager
async def opened(url: str, path: str, **options: Any) -> AsyncIterator[Client]:
    """A socket that has said nothing yet."""
    options = {"max_queue": None, "proxy": None, "compression": None, **options}
    async with connect(url.replace("http", "ws", 1) + path, **options) as socket:
        yield Client(socket)


@asynccontextmanager
async def guest(
    url: str, property_id: str, token: str | None = None, after: str | None = None
) -> AsyncIterator[Client]:
    async with opened(url, f"/chat/{property_id}") as client:
        payload = {"token": token, "after": after}
        await client.send("auth", {key: value for key, value in payload.items() if value is not None})
        await client.until(lambda frame: frame["type"] == "session" and "token" in frame["payload"])
        yield client


@asynccontextmanager
async def staff(url: str, token: str, *properties: str, after: str | None = None) -> AsyncIterator[Client]:
    """A member of staff, subscribed to the properties."""
    async with opened(url, "/ws") as client:
        await client.send("auth", {"token": token})
        await client.until(of_type("session"))
        for property_id in properties:
            payload = {"propertyId": property_id} | ({"after": after} if after is not None else {})
            assert (await client.ask("subscribe", payload))["type"] == "ack"
        yield client


@dataclass
class Story:
    """A conversation told by hand, as its workflow would publish it."""

    publications: Publications
    property_id: str
    contact_key: str
    sender_id: str = "somebody"
    channel_type: ChannelType = "webchat"
    state: ConversationState = ConversationState.ACTIVE
    suffix: str = field(default_factory=lambda: uuid.uuid4().hex[:8])
    seq: int = 0
    unread: int = 0
    untold: list[Event] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"{self.contact_key}-{self.suffix}"

    def message(
        self,
        content: str,
        author: Author = Author.AI,
        *,
        private: bool = False,
        delivery: DeliveryState = DeliveryState.SENT,
    ) -> Message:
        """The next message, which is told by `publish`."""
        self.seq += 1
        message = Message(
            id=uuid.uuid4().hex,
            conversation_id=self.id,
            seq=self.seq,
            author=author,
            content=content,
            private=private,
            created_at=datetime.now(UTC),
            delivery=Delivery(state=delivery),
            ai=AIInfo(confidence=0.9, intent="secret_intent") if author is Author.AI else None,
        )
        self.untold.append(Event(seq=self.seq, at=message.created_at, message=message))
        return message

    def change(self, state: ConversationState) -> None:
        self.state = state
        self.seq += 1
        self.untold.append(Event(seq=self.seq, at=datetime.now(UTC), change="escalated"))

    def notify(self, text: str) -> None:
        self.seq += 1
        now = datetime.now(UTC)
        notification = Notification(id=uuid.uuid4().hex, kind="system", text=text, conversation_id=self.id, at=now)
        self.untold.append(Event(seq=self.seq, at=now, notification=notification))

    async def say(self, content: str, author: Author = Author.AI, *, private: bool = False) -> Message:
        message = self.message(content, author, private=private)
        await self.publish()
        return message

    async def publish(self, told: int = 0) -> Published:
        """Publishes what is not stored yet; it stays to be published again while PostgreSQL is away."""
        now = datetime.now(UTC)
        conversation = Conversation(
            conversation_id=self.id,
            guest_id=f"guest-{self.contact_key}",
            property_id=self.property_id,
            state=self.state,
            channel_type=self.channel_type,
            created_at=now,
            last_message_at=now,
            seq=self.seq,
            unread=self.unread,
            workflow_id=workflow_id(self.contact_key),
        )
        published, _ = await self.publications.publish(
            Publication(
                conversation=conversation,
                contact_key=self.contact_key,
                route=Route(adapter=self.channel_type, channel_id=self.property_id, sender_id=self.sender_id),
                told=told,
                events=self.untold,
            )
        )
        if published.stored:
            self.untold = []
        return published
