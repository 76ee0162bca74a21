"""What a workflow must not do, found in its source: our modules pass through the sandbox, which so cannot see it."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.test_imports import ROOT

OUTSIDE = (
    "automation_client",
    "calls",
    "client",
    "codec",
    "connection",
    "deployment",
    "executions",
    "rules",
    "sandbox",
    "task_client",
    "webhook_client",
)
"""What api and worker run, and no workflow."""
FORBIDDEN_MODULES = frozenset(
    {"httpx", "io", "os", "random", "secrets", "settings", "shutil", "socket", "subprocess", "tempfile", "threading"}
    | {"time", "urllib"}
)
FORBIDDEN_CALLS = frozenset(
    {"datetime.now", "datetime.today", "datetime.utcnow", "date.today", "uuid.uuid1", "uuid.uuid4", "uuid4", "uuid1"}
    | {"open", "print", "input", "asyncio.sleep", "asyncio.wait", "asyncio.wait_for", "asyncio.as_completed"}
)
"""`asyncio.sleep` is a timer without a name, and the waits of asyncio have no fixed order."""


def _sources() -> list[Path]:
    found = sorted(path for room in ("contracts", "workflows") for path in (ROOT / room).rglob("*.py"))
    return [path for path in found if path.stem not in OUTSIDE]


@pytest.mark.parametrize("path", _sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_a_workflow_is_deterministic_as_far_as_its_source_shows(path: Path) -> None:
    assert list(_wrong(path.read_text())) == []


@pytest.mark.parametrize(
    "source",
    [
        "import random",
        "from os import environ",
        "if True:\n    import time",
        "datetime.now(UTC)",
        "x = uuid.uuid4()",
        "open('/tmp/x')",
    ],
)
def test_a_wrong_source_would_be_seen(source: str) -> None:
    assert list(_wrong(source))


def _wrong(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import():
                imported = [alias.name for alias in node.names]
            case ast.ImportFrom():
                imported = [node.module or ""]
            case ast.Call():
                called = ast.unparse(node.func)
                if called in FORBIDDEN_CALLS:
                    yield f"line {node.lineno} calls {called}"
                continue
            case _:
                continue
        for name in imported:
            if name.split(".")[0] in FORBIDDEN_MODULES:
                yield f"line {node.lineno} imports {name}"
