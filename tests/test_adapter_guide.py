"""The adapter guide's example is a channel that works, as it stands in the guide."""

import re
import sys
import time
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

import worker
from activities.media.store import MediaStore
from activities.storage.delivery_reports import DeliveryReports
from api.main import create_app
from settings import Settings
from tests.fakes.ai import FakeAI
from tests.fakes.server import serving
from tests.support import Stack, workers

GUIDE = Path(worker.__file__).parent / "docs" / "adapters.md"
LIMIT = 60


def _blocks() -> dict[str, str]:
    """The example's files, by their path."""
    blocks = re.findall(r"```python\n# (\S+)\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    return dict(blocks)


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The example's modules, importable under their names for the length of a test."""
    modules: dict[str, Any] = {}
    for path, code in _blocks().items():
        name = path.removesuffix(".py").replace("/", ".")
        module = ModuleType(name)
        monkeypatch.setitem(sys.modules, name, module)
        exec(compile(code, path, "exec"), module.__dict__)
        modules[name] = module
    return modules


def test_the_example_is_short() -> None:
    lines = [line for code in _blocks().values() for line in code.splitlines() if line.strip()]
    assert len(_blocks()) == 3
    assert len(lines) < LIMIT


async def test_the_example_brings_a_message_in_and_its_answer_out(
    example: dict[str, Any], settings: Settings, stack: Stack, ai: FakeAI, hotel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[dict[str, Any]] = []

    async def take(request: Request) -> JSONResponse:
        sent.append(await request.json())
        return JSONResponse({"ok": True})

    monkeypatch.setenv("TELEGRAM_SECRET", "secret")
    app = create_app(settings)
    app.router.routes += example["api.webhooks.telegram"].router.routes
    update = {
        "update_id": 1,
        "message": {"message_id": 7, "from": {"id": 42}, "date": int(time.time()), "text": "Is there a pool?"},
    }
    fake = Starlette(routes=[Route("/bottoken/sendMessage", take, methods=["POST"])])
    async with serving(fake) as telegram, serving(app) as url, httpx.AsyncClient(base_url=url) as http:
        built = worker.build_channels

        def with_telegram(settings: Settings, reports: DeliveryReports, files: MediaStore) -> dict[str, Any]:
            ours = example["activities.channels.telegram_sender"].Telegram(telegram, "token")
            return {**built(settings, reports, files), "telegram": ours}

        monkeypatch.setattr(worker, "build_channels", with_telegram)
        path, headers = f"/webhooks/telegram/{hotel}", {"X-Telegram-Bot-Api-Secret-Token": "secret"}
        async with workers(stack.settings, stack.client):
            assert (await http.post(path, json=update)).status_code == 401
            for _ in range(2):
                assert (await http.post(path, json=update, headers=headers)).status_code == 200
            guest = stack.guest(adapter="telegram", sender_id="42")
            assert (await guest.outcome("42-7")).outcome == "answered"
            await guest.reaches(lambda each: each.message_count == 2, "the answer")
        assert (await http.post(path, json={}, headers=headers)).status_code == 200
    assert sent == [{"chat_id": "42", "text": "Answer to Is there a pool?"}]
    kept = await stack.rows("SELECT adapter FROM quarantine WHERE property_id = :hotel", hotel=hotel)
    assert [each["adapter"] for each in kept] == ["telegram"]
