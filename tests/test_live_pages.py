"""The plain pages and the terminal's client."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest
from websockets.asyncio.server import ServerConnection, serve

from api.live.protocol import protocol_options
from api.main import create_app
from contracts.names import CONTENT_LIMIT
from settings import Settings
from tests.api import Api, problem
from tests.fakes.ai import FakeAI
from tests.fakes.server import serving

ROOT = Path(__file__).parent.parent
PAGES = {"/": ("chat.html", 200), "/staff": ("staff.html", 300), "/staff/tasks": ("tasks.html", 300)}
SHARED = {
    "what all pages have": (("style.css", "shared.js"), 100),
    "what the pages for staff have": (("session.css", "session.js", "notifications.js"), 160),
}


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_served_with_all_it_names_and_nothing_from_elsewhere(api: Api, path: str) -> None:
    page = await api.http.get(path, follow_redirects=True)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert not re.search(r"<script(?! src)|<style|\son\w+=|style=|https?:", page.text)
    files = re.findall(r'(?:src|<link rel="\w+" href)="(/[^"]+)"', page.text)
    assert len(files) >= 2
    for name in files:
        file = await api.http.get(name)
        assert file.headers["content-security-policy"] == policy
        assert file.headers["content-type"].split(";")[0] in ("text/css", "text/javascript")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|https?://", file.text)


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_is_small(api: Api, path: str) -> None:
    name, limit = PAGES[path]
    page = (ROOT / "console" / name).read_text()
    shared = [each for names, _ in SHARED.values() for each in names]
    own = [each for each in re.findall(r'"/static/([^"]+)"', page) if each not in shared]
    assert _lines(name, *own) < limit


@pytest.mark.parametrize("what", SHARED)
def test_what_pages_share_is_small(what: str) -> None:
    names, limit = SHARED[what]
    assert _lines(*names) < limit


def _lines(*names: str) -> int:
    return sum(len((ROOT / "console" / name).read_text().splitlines()) for name in names)


async def test_the_guests_page_is_of_the_first_property_unless_one_is_named(api: Api, hotel: str) -> None:
    assert (await api.http.get("/")).headers["location"] == f"/?property={hotel}"
    assert (await api.http.get("/?property=other")).status_code == 200


@pytest.mark.parametrize("name", ["terminal_chat.py", "..%2Fworker.py", "nothing.js"])
async def test_nothing_else_is_served(api: Api, name: str) -> None:
    assert problem(await api.http.get(f"/static/{name}")) == (404, "not_found")


# --- the terminal ----------------------------------------------------------------------------------------------------


class Terminal:
    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.shown: list[str] = []

    async def write(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())
        await self.process.stdin.drain()

    async def until(self, text: str) -> None:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            while not any(text in line for line in self.shown):
                line = (await self.process.stdout.readline()).decode()
                assert line, f"ended without {text!r} after {self.shown}"
                self.shown.append(line.rstrip())


@asynccontextmanager
async def terminal(url: str, property_id: str) -> AsyncIterator[Terminal]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "cli", "chat", "--url", url, "--property", property_id),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        yield Terminal(process)
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def test_the_terminal_shows_typing_the_answer_and_the_hand_over(
    working: None, api: Api, hotel: str, ai: FakeAI
) -> None:
    async with terminal(api.url, hotel) as guest:
        await guest.write("When is breakfast?")
        await guest.until("Butler: Answer to When is breakfast?")
        ai.respond = ai.doubtful
        await guest.write("A person, please")
        await guest.until("our team has taken over your conversation")
        assert guest.process.stdin is not None
        guest.process.stdin.close()
        assert await asyncio.wait_for(guest.process.wait(), 10) == 0
    assert "  · the butler is writing…" in guest.shown


async def test_the_terminal_comes_back_by_itself_and_loses_nothing(
    working: None, settings: Settings, hotel: str
) -> None:
    options = protocol_options(settings.websocket)
    async with AsyncExitStack() as first:
        url = await first.enter_async_context(serving(create_app(settings), **options))
        async with terminal(url, hotel) as guest:
            await guest.write("One?")
            await guest.until("Answer to One?")
            await first.aclose()
            await guest.until("not connected; reconnecting")
            await guest.write("Two?")
            async with serving(create_app(settings), port=int(url.rpartition(":")[2]), **options):
                await guest.until("Answer to Two?")
                assert guest.process.stdin is not None
                guest.process.stdin.close()
                assert await asyncio.wait_for(guest.process.wait(), 10) == 0
    assert [line for line in guest.shown if line.startswith("Butler")] == [
        "Butler: Answer to One?",
        "Butler: Answer to Two?",
    ]


async def test_the_terminal_says_why_it_is_refused(api: Api) -> None:
    async with terminal(api.url, "nowhere") as guest:
        await guest.until("the chat was refused: no such property")
        assert await asyncio.wait_for(guest.process.wait(), 10) == 0


@asynccontextmanager
async def refusing(*codes: str) -> AsyncIterator[tuple[str, asyncio.Queue[str]]]:
    """A chat that refuses the first messages with these codes; its URL, and what it has taken."""
    taken: asyncio.Queue[str] = asyncio.Queue()
    left = list(codes)

    async def talk(socket: ServerConnection) -> None:
        async for text in socket:
            frame = json.loads(text)
            answer = {"type": "session", "payload": {"token": "t", "visitorId": "v"}}
            if frame["type"] == "send_message" and left:
                answer = {"type": "error", "id": frame["id"], "payload": {"code": left.pop(0), "detail": "refused"}}
            elif frame["type"] == "send_message":
                taken.put_nowait(frame["payload"]["content"])
                answer = {"type": "ack", "id": frame["id"], "payload": {"messageId": frame["id"]}}
            await socket.send(json.dumps(answer))

    async with serve(talk, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", taken


async def test_what_the_terminal_could_not_send_is_sent_before_what_was_said_after_it() -> None:
    async with refusing("unavailable") as (url, taken), terminal(url, "seaview") as guest:
        await guest.write("One")
        await guest.until("not sent yet: refused")
        await guest.write("Two")
        assert [await asyncio.wait_for(taken.get(), 30) for _ in range(2)] == ["One", "Two"]


async def test_what_the_terminal_can_never_send_does_not_hold_the_rest_up() -> None:
    async with refusing("malformed") as (url, taken), terminal(url, "seaview") as guest:
        await guest.write("One")
        await guest.write("Two")
        await guest.until("not sent: refused")
        assert await asyncio.wait_for(taken.get(), 30) == "Two"


async def test_a_line_that_is_too_long_for_a_message_is_refused_at_once() -> None:
    async with refusing() as (url, taken), terminal(url, "seaview") as guest:
        await guest.write("x" * 70_000)
        await guest.until(f"not sent: a message may have at most {CONTENT_LIMIT} characters")
        await guest.write("Two")
        assert await asyncio.wait_for(taken.get(), 30) == "Two"
