"""A hotel at work: guests who write until they are acknowledged, receptionists who act until it is certain."""

import asyncio
import random
import time
import uuid
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.exceptions import WebSocketException

from contracts.staff import DEMO_PASSWORD, DEMO_PROPERTY
from tests import live
from tests.fakes.callback import signed_message
from tests.questions import QUESTIONS

PAUSE_SECONDS = 0.3
"""Before something is tried again."""
ACK_SECONDS = 12
"""How long a chat waits for an acknowledgement before it connects anew."""
MAY_BREAK = (OSError, WebSocketException, TimeoutError)
TRY_AGAIN = ("unavailable", "storage_away", "outcome_unknown", "rate_limited")
REFUSALS = (404, 409)
"""What a command may meet where a colleague was quicker."""


def words(dice: random.Random) -> str:
    """A question that nobody has asked before; now and then one that only a person answers."""
    return "I want to speak to a person" if dice.random() < 0.01 else f"{dice.choice(QUESTIONS)[0]} ({dice.random()})"


@dataclass
class WritingGuest:
    """Brings messages by the generic channel, the next one when the one before is acknowledged."""

    sender: str
    dice: random.Random
    acknowledged: list[str] = field(default_factory=list)

    async def writes(self, http: httpx.AsyncClient, over: asyncio.Event) -> None:
        while not over.is_set():
            message_id = uuid.uuid4().hex
            body, headers = signed_message(self.sender, message_id, words(self.dice))
            await _bring(http, body, headers)
            self.acknowledged.append(message_id)
            await asyncio.sleep(self.dice.uniform(0.2, 2.5))


@dataclass
class ChattingGuest:
    """Writes by the page, which connects again and again, and sends again what was not acknowledged."""

    dice: random.Random
    token: str | None = None
    unsent: tuple[str, str] | None = None
    frames: list[live.Frame] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)

    async def writes(self, url: str, over: asyncio.Event) -> None:
        while not over.is_set() or self.unsent:
            with suppress(*MAY_BREAK):
                await self.connects(url, messages=self.dice.randint(1, 6), over=over)
            await asyncio.sleep(PAUSE_SECONDS)

    async def connects(self, url: str, *, messages: int = 0, over: asyncio.Event | None = None) -> None:
        """Says so much and listens, until nothing comes any more for a while. Raises what breaks the connection."""
        async with live.opened(url, f"/chat/{DEMO_PROPERTY}", open_timeout=10) as client:
            client.frames, client.patience = self.frames, ACK_SECONDS
            known = {"token": self.token, "after": client.cursor}
            await client.send("auth", {name: value for name, value in known.items() if value is not None})
            session = await client.until(live.of_type("session"))
            self.token = session["payload"]["token"]
            for _ in range(messages):
                if self.unsent or not (over and over.is_set()):
                    await self._says(client)
            with suppress(TimeoutError):
                client.patience = self.dice.uniform(0.5, 4)
                await client.until(lambda _: False)

    async def _says(self, client: live.Client) -> None:
        frame_id, content = self.unsent = self.unsent or (str(uuid.uuid4()), words(self.dice))
        await client.send("send_message", {"content": content}, frame_id)
        answer = await client.until(lambda frame: frame.get("id") == frame_id)
        if answer["type"] == "ack":
            self.acknowledged.append(answer["payload"]["messageId"])
            self.unsent = None
        else:
            assert answer["payload"]["code"] in TRY_AGAIN, answer["payload"]
            await asyncio.sleep(PAUSE_SECONDS)

    def seen(self) -> dict[str, list[str]]:
        """Ids of messages by conversation, in the order that their numbers give them."""
        found: dict[str, dict[int, str]] = defaultdict(dict)
        for frame in filter(live.is_message, self.frames):
            message = frame["payload"]["message"]
            assert found[message["conversationId"]].setdefault(message["seq"], message["id"]) == message["id"]
        return {conversation: [ids[seq] for seq in sorted(ids)] for conversation, ids in found.items()}


@dataclass(frozen=True)
class Claim:
    """When a claim was acknowledged, and when what ended it was sent; seconds since the epoch."""

    conversation_id: str
    since: float
    until: float


@dataclass
class Receptionist:
    email: str
    dice: random.Random
    claims: list[Claim] = field(default_factory=list)
    said: dict[str, str] = field(default_factory=dict)
    """By id of each message that was acknowledged: its conversation."""
    authorization: dict[str, str] = field(default_factory=dict)

    async def works(self, http: httpx.AsyncClient, over: asyncio.Event) -> None:
        while not over.is_set():
            listed = (await self.call(http, "GET", "/conversations", params={"limit": 100})).json()["items"]
            open_ones = [each["conversationId"] for each in listed if each["state"] != "resolved"]
            if open_ones:
                deed = self.dice.choice([self._takes_over, self._takes_over, self._takes_over, self._notes, self._says])
                await deed(http, self.dice.choice(open_ones))
            await asyncio.sleep(self.dice.uniform(0.1, 1))

    async def _takes_over(self, http: httpx.AsyncClient, conversation_id: str) -> None:
        if (await self._commands(http, conversation_id, "claim")).is_success:
            since = time.time()
            for _ in range(self.dice.randint(0, 2)):
                await self._replies(http, conversation_id)
                await asyncio.sleep(self.dice.random())
            self.claims.append(Claim(conversation_id, since, time.time()))
            await self._commands(http, conversation_id, self.dice.choice(["return", "return", "return", "resolve"]))

    async def _says(self, http: httpx.AsyncClient, conversation_id: str) -> None:
        if await self._replies(http, conversation_id):
            await self._commands(http, conversation_id, "return")

    async def _notes(self, http: httpx.AsyncClient, conversation_id: str) -> None:
        note = {"content": "A note", "private": True, "clientMessageId": uuid.uuid4().hex}
        await self.call(http, "POST", f"/conversations/{conversation_id}/messages", json=note)

    async def _replies(self, http: httpx.AsyncClient, conversation_id: str) -> bool:
        reply = {"content": "Here I am", "clientMessageId": uuid.uuid4().hex}
        answer = await self.call(http, "POST", f"/conversations/{conversation_id}/messages", json=reply)
        if answer.is_success:
            self.said[answer.json()["id"]] = conversation_id
        return answer.is_success

    async def _commands(self, http: httpx.AsyncClient, conversation_id: str, name: str) -> httpx.Response:
        return await self.call(http, "POST", f"/conversations/{conversation_id}/{name}")

    async def call(self, http: httpx.AsyncClient, method: str, path: str, **more: Any) -> httpx.Response:
        """The same request again while its outcome is unknown."""
        key = {"Idempotency-Key": uuid.uuid4().hex} if method == "POST" else {}
        while True:
            with suppress(httpx.TransportError):
                answer = await http.request(method, f"/api/v1{path}", headers=self.authorization | key, **more)
                if answer.is_success or answer.status_code in REFUSALS:
                    return answer
                assert answer.status_code in (401, 429, 503), f"{method} {path}: {answer.status_code} {answer.text}"
                if answer.status_code == 401:
                    await self._signs_in(http)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _signs_in(self, http: httpx.AsyncClient) -> None:
        credentials = {"email": self.email, "password": DEMO_PASSWORD}
        answer = await http.post("/api/v1/auth/login", json=credentials)
        if answer.is_success:
            self.authorization = {"authorization": f"Bearer {answer.json()['accessToken']}"}

    async def all_of(self, http: httpx.AsyncClient, path: str) -> list[dict[str, Any]]:
        """Every item of a list, page after page."""
        items: list[dict[str, Any]] = []
        cursor: str | None = ""
        while cursor is not None:
            params = {"limit": "200"} | ({"cursor": cursor} if cursor else {})
            page = (await self.call(http, "GET", path, params=params)).json()
            items += page["items"]
            cursor = page["nextCursor"]
        return items


async def _bring(http: httpx.AsyncClient, body: bytes, headers: dict[str, str]) -> None:
    """The same message again until it is acknowledged."""
    while True:
        with suppress(httpx.TransportError):
            answer = await http.post(f"/webhooks/messages/{DEMO_PROPERTY}", content=body, headers=headers)
            assert answer.status_code in (202, 503), answer.text
            if answer.status_code == 202:
                return
        await asyncio.sleep(PAUSE_SECONDS)
