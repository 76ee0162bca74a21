"""The stored histories: one file a run, in Temporal's own JSON, compressed."""

import base64
import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from temporalio.client import Client, WorkflowHistory

from settings import Temporal
from workflows.codec import data_converter

HISTORIES = Path(__file__).with_name("histories")
EARLIER = Path(__file__).with_name("earlier")
"""Histories by code from before a gated change. They cannot be recorded anew; they go when their gate does."""
SCENES = sorted(Path(__file__).parent.glob("*_scenes.py"))
CODEC_KEY = base64.b64encode(b"a test key of thirty-two bytes!!").decode()
"""The codec key of the whole suite; the stored payloads are encrypted with it."""


async def keep(name: str, client: Client, workflow_id: str) -> None:
    """Stores every run of a workflow, in their order."""
    runs = [each async for each in client.list_workflows(f"WorkflowId = '{workflow_id}'")]
    runs.sort(key=lambda each: each.start_time)
    for number, run in enumerate(runs, start=1):
        history = await client.get_workflow_handle(workflow_id, run_id=run.run_id).fetch_history()
        told = json.dumps({"workflowId": workflow_id, **_anonymous(history.to_json_dict())}, separators=(",", ":"))
        stem = name.removeprefix("test_") + (f"-{number}" if len(runs) > 1 else "")
        HISTORIES.mkdir(exist_ok=True)
        # No time in the archive's head: what is recorded alike is stored alike.
        (HISTORIES / f"{stem}.json.gz").write_bytes(gzip.compress(told.encode(), 9, mtime=0))


def kept(*folders: Path) -> list[Path]:
    return sorted(path for folder in folders or (HISTORIES, EARLIER) for path in folder.glob("*.json.gz"))


def load(path: Path) -> WorkflowHistory:
    told = json.loads(gzip.decompress(path.read_bytes()))
    return WorkflowHistory.from_json(told.pop("workflowId"), told)


def converter() -> Any:
    """What reads the payloads of stored histories."""
    return data_converter(Temporal.model_validate({"codec_keys": {"test": CODEC_KEY}, "codec_key_id": "test"}))


def _anonymous(told: Any) -> Any:
    """Without the names of the machine and its processes."""
    if isinstance(told, dict):
        return {
            key: "worker" if key == "identity" else "sticky" if _is_sticky(key, told) else _anonymous(value)
            for key, value in told.items()
        }
    return [_anonymous(each) for each in told] if isinstance(told, list) else told


def _is_sticky(key: str, queue: dict[str, Any]) -> bool:
    return key == "name" and queue.get("kind") == "TASK_QUEUE_KIND_STICKY"


def scenes() -> Iterator[str]:
    """Names of the scenes that should be stored."""
    for path in SCENES:
        for line in path.read_text().splitlines():
            if line.startswith("async def test_"):
                yield line.removeprefix("async def test_").partition("(")[0]
