"""Pages in a real browser, by the DevTools protocol, with sockets of their own or of the test's choosing."""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect

from tests.support import eventually

PROGRAM: Final = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The browser of this machine; None where there is none."""

SOCKETS: Final = """
window.sockets = [];
window.WebSocket = class {
  static OPEN = 1;
  constructor() { sockets.push(this); this.sent = []; setTimeout(() => { this.readyState = 1; this.onopen(); }); }
  send(text) { this.sent.push(JSON.parse(text)); }
  close(code) {
    if (this.readyState !== 3) setTimeout(() => this.onclose({ code, reason: "" }));
    this.readyState = 3;
  }
};
window.hear = (type, payload, more) => sockets.at(-1).onmessage({ data: JSON.stringify({ type, payload, ...more }) });
"""
"""Stands in for the sockets of a page: each keeps what was sent, and `hear` has the newest one receive a frame."""


@dataclass
class Browser:
    _socket: ClientConnection
    _ids: Any = field(default_factory=count)
    _waiting: dict[int, asyncio.Future[dict[str, Any]]] = field(default_factory=dict)

    async def read(self) -> None:
        async for text in self._socket:
            message = json.loads(text)
            if (waiting := self._waiting.pop(message.get("id"), None)) is not None:
                waiting.set_result(message)

    async def ask(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        of_page = {"sessionId": session} if session is not None else {}
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters, **of_page}))
        said = await asyncio.wait_for(answer, 60)
        assert "error" not in said, said
        result: dict[str, Any] = said["result"]
        return result

    async def profile(self) -> str:
        """A browser of its own: its tabs share what pages keep, and no other's do."""
        return str((await self.ask("Target.createBrowserContext"))["browserContextId"])

    async def open(self, url: str, profile: str, *, first: str = SOCKETS) -> "Tab":
        """A tab of the page, in which `first` ran before the page's own scripts."""
        target = await self.ask("Target.createTarget", url="about:blank", browserContextId=profile)
        attached = await self.ask("Target.attachToTarget", targetId=target["targetId"], flatten=True)
        tab = Tab(self, attached["sessionId"])
        await tab.ask("Page.enable")
        await tab.ask("Emulation.setFocusEmulationEnabled", enabled=True)
        await tab.ask("Page.addScriptToEvaluateOnNewDocument", source=first)
        await tab.ask("Page.navigate", url=url)
        await tab.until("location.href !== 'about:blank' && document.readyState === 'complete'")
        return tab


@dataclass
class Tab:
    _browser: Browser
    _session: str

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return await self._browser.ask(method, self._session, **parameters)

    async def run(self, script: str) -> Any:
        """What a script says, once what it waits for is there."""
        said = await self.ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in said, said["exceptionDetails"]
        return said["result"].get("value")

    async def until(self, script: str) -> Any:
        return await eventually(lambda: self.run(script), what=script, seconds=30)

    async def tell(self, kind: str, payload: dict[str, Any], **more: Any) -> None:
        """Has the page receive a frame."""
        await self.run(f"hear({json.dumps(kind)}, {json.dumps(payload)}, {json.dumps(more)})")

    async def write(self, text: str) -> None:
        """Types into what has the focus."""
        await self.ask("Input.insertText", text=text)


@asynccontextmanager
async def browsing(folder: Path) -> AsyncIterator[Browser]:
    assert PROGRAM is not None
    process = await asyncio.create_subprocess_exec(
        *(PROGRAM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-proxy-server"),
        *("--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with AsyncExitStack() as closing:
            where = await eventually(
                lambda: asyncio.to_thread(_address, folder / "DevToolsActivePort"), what="the browser", seconds=60
            )
            browser = Browser(await closing.enter_async_context(connect(where, max_size=None, proxy=None)))
            reading = asyncio.create_task(browser.read())
            closing.callback(reading.cancel)
            yield browser
    finally:
        process.terminate()
        await process.wait()


def _address(file: Path) -> str | None:
    lines = file.read_text().split() if file.exists() else []
    return f"ws://127.0.0.1:{lines[0]}{lines[1]}" if len(lines) == 2 else None
