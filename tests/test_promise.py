"""The promise: every acknowledged guest message is answered or handed to a person, once, in order, whatever crashes."""

import asyncio
import re
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from contracts.staff import DEMO_PASSWORD, DEMO_PROPERTY
from embedded.supervisor import STEADY_SECONDS
from tests.development import PROCESSES, Dev, running
from tests.fakes.ai import FakeAI, confident
from tests.fakes.callback import SECRET, FakeCallback, signed_message
from tests.fakes.server import serving
from tests.questions import ASIDES, QUESTIONS
from tests.support import eventually

pytestmark = pytest.mark.usefixtures("clean_environment")

GUESTS = 6
BETWEEN_KILLS = 8
"""Messages that are acknowledged after one process is back and before the next is killed."""
PAUSE_SECONDS = 0.2
"""How long a guest waits before writing again, and a sender before sending again what was not acknowledged."""


@dataclass
class Desk:
    """A program that sends guests' messages, as often as it takes until they are acknowledged."""

    http: httpx.AsyncClient
    acknowledged: dict[str, list[str]] = field(default_factory=dict)
    """Ids of each guest's messages, in the order in which they were written."""
    over: bool = False

    @property
    def count(self) -> int:
        return sum(map(len, self.acknowledged.values()))

    async def writes(self, number: int) -> None:
        """One guest, whose next message is sent when the one before is acknowledged."""
        sender = f"guest-{number}"
        mine = self.acknowledged.setdefault(sender, [])
        while not self.over:
            turn = len(mine) * GUESTS + number
            question, _ = QUESTIONS[turn % len(QUESTIONS)]
            message_id = uuid.uuid4().hex
            await self._send(sender, message_id, f"{question}{ASIDES[turn // len(QUESTIONS) % len(ASIDES)]}")
            mine.append(message_id)
            await asyncio.sleep(PAUSE_SECONDS)

    async def _send(self, sender: str, message_id: str, content: str) -> None:
        body, headers = signed_message(sender, message_id, content)
        while True:
            try:
                answer = await self.http.post(f"/webhooks/messages/{DEMO_PROPERTY}", content=body, headers=headers)
            except httpx.TransportError:
                await asyncio.sleep(PAUSE_SECONDS)
                continue
            if answer.status_code == 202:
                return
            assert answer.status_code == 503, answer.text  # it says so when it cannot take a message
            await asyncio.sleep(PAUSE_SECONDS)


async def test_the_promise_holds_though_each_process_is_killed(tmp_path: Path) -> None:
    await _killing(tmp_path, rounds=1)


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_the_promise_holds_though_processes_are_killed_thirty_times(tmp_path: Path) -> None:
    await _killing(tmp_path, rounds=6)


@pytest.mark.long
@pytest.mark.timeout(1200)
async def test_the_promise_holds_though_the_kills_find_answers_and_sends_under_way(tmp_path: Path) -> None:
    ai = FakeAI()
    ai.seconds = 0.5
    ai.respond = lambda request: confident(request).model_copy(update={"response": "With pleasure"})
    async with serving(ai.app) as engine:
        slow = {"GATEWAY_AI__ENGINE": "http", "GATEWAY_AI__HTTP__URL": f"{engine}/answer"}
        await _killing(tmp_path, rounds=6, receiver_seconds=0.3, **slow)


async def _killing(folder: Path, *, rounds: int, receiver_seconds: float = 0, **settings: str) -> None:
    callback = FakeCallback()
    callback.seconds = receiver_seconds
    async with serving(callback.app) as receiver:
        settings |= {
            "GATEWAY_CHANNELS__MESSAGES__SECRET": SECRET,
            "GATEWAY_CHANNELS__MESSAGES__CALLBACK_URL": f"{receiver}/callback",
            "GATEWAY_CONVERSATION__DEBOUNCE": "0",
            "GATEWAY_RATE_LIMIT__MAX_REQUESTS": "100000",
        }
        async with (
            running(folder, **settings) as dev,
            httpx.AsyncClient(base_url=await dev.ready(), timeout=10, trust_env=False) as http,
        ):
            desk = Desk(http)
            async with asyncio.TaskGroup() as guests:
                for number in range(GUESTS):
                    guests.create_task(desk.writes(number))
                await _kill_all(dev, desk, rounds)
                desk.over = True
            await _sign_in(http, await dev.until(r"sign in as +(\S+?)[,;]"))
            await _holds(http, desk.acknowledged, callback)


async def _kill_all(dev: Dev, desk: Desk, rounds: int) -> None:
    """Each process once a round, while guests write; the next one when the one before is back and has had work."""
    back_at: dict[str, float] = {}
    for _ in range(rounds):
        for name, process in PROCESSES.items():
            await _acknowledges(desk, BETWEEN_KILLS)
            await _is_steady(back_at.get(name))
            back = rf"{name} stopped with code -\d+; restarted\n"  # not -9 where a slow start was given up
            times = len(re.findall(back, dev.printed))
            process(dev).kill()
            await dev.until(back, times=times + 1)
            back_at[name] = time.monotonic()
    await _acknowledges(desk, BETWEEN_KILLS)


async def _is_steady(back_at: float | None) -> None:
    """Waits until `gateway dev` has forgotten that a process ended before: it gives one up that keeps ending."""

    async def look() -> bool:
        return back_at is None or time.monotonic() - back_at > STEADY_SECONDS

    await eventually(look, what="a steady process")


async def _acknowledges(desk: Desk, more: int) -> None:
    wanted = desk.count + more

    async def look() -> bool:
        return desk.count >= wanted

    await eventually(look, what="acknowledged messages")


async def _sign_in(http: httpx.AsyncClient, staff: re.Match[str]) -> None:
    credentials = {"email": staff[1], "password": DEMO_PASSWORD}
    answer = (await http.post("/api/v1/auth/login", json=credentials)).raise_for_status()
    http.headers["authorization"] = f"Bearer {answer.json()['accessToken']}"


async def _holds(http: httpx.AsyncClient, acknowledged: dict[str, list[str]], callback: FakeCallback) -> None:
    written = [message_id for each in acknowledged.values() for message_id in each]
    outcomes: dict[str, dict[str, str]] = {}

    async def settled() -> bool:
        outcomes.update(await _outcomes(http))
        return len(outcomes) == len(written)

    await eventually(settled, what="an outcome of every acknowledged message", seconds=150)
    assert set(outcomes) == set(written)
    assert {each["outcome"] for each in outcomes.values()} <= {"answered", "handed"}
    answered = {message_id for message_id, each in outcomes.items() if each["outcome"] == "answered"}

    async def told() -> bool:
        return set(_in_replies(callback)) >= answered

    await eventually(told, what="the reply to every answered message", seconds=60)
    again = len(callback.attempts) - len(callback.received)
    sys.stdout.write(f"{len(written)} messages, {len(answered)} answered, {again} replies sent again under their id\n")
    told_of = _in_replies(callback)  # a hand-over may be told to its guest, too
    assert set(Counter(told_of).values()) == {1}
    for mine in acknowledged.values():
        assert [each for each in told_of if each in mine] == [each for each in mine if each in told_of]


def _in_replies(callback: FakeCallback) -> list[str]:
    """Ids of guests' messages in the order of the replies that answer them."""
    return [message_id for reply in callback.received.values() for message_id in reply.in_reply_to]


async def _outcomes(http: httpx.AsyncClient) -> dict[str, dict[str, str]]:
    """By id of the guest's message; that there is one only is checked on the way."""
    found: dict[str, dict[str, str]] = {}
    for conversation in await _items(http, "/conversations"):
        for outcome in await _items(http, f"/conversations/{conversation['conversationId']}/outcomes"):
            assert outcome["messageId"] not in found
            found[outcome["messageId"]] = outcome
    return found


async def _items(http: httpx.AsyncClient, path: str) -> list[dict[str, str]]:
    items: list[dict[str, str]] = []
    cursor: str | None = ""
    while cursor is not None:
        page = (
            (await http.get(f"/api/v1{path}", params={"limit": 200, **({"cursor": cursor} if cursor else {})}))
            .raise_for_status()
            .json()
        )
        items += page["items"]
        cursor = page["nextCursor"]
    return items
