"""The interface keeps to its description: every operation, tried by Schemathesis over HTTP on the real stack."""

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest
import schemathesis

from tests.api import Api
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.fakes.graph import FakeGraph
from tests.fakes.smtp import FakeSmtp
from tests.fakes.twilio import FakeTwilio
from tests.good_requests import ask
from tests.histories import stumbled
from tests.support import Stack
from tests.world import World, new_world

ROOT = Path(__file__).parent.parent
MOMENTS = ("until", "dueAt", "expiresAt")
OF_HTTP = {
    *("accept-ranges", "cache-control", "content-length", "content-security-policy", "content-type", "date"),
    *("server", "x-content-type-options"),
}
"""Headers that need no description."""
FAR_MOMENTS = ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z", "2200-01-01T00:00:00+14:00"]
"""What is reckoned from a moment must not lead past the calendar."""


@pytest.fixture
async def world(
    working: None,
    smtp: FakeSmtp,
    graph: FakeGraph,
    twilio: FakeTwilio,
    callback: FakeCallback,
    ai: FakeAI,
    api: Api,
    stack: Stack,
) -> World:
    return await new_world(api, stack, ai, callback)


async def test_every_operation_succeeds_as_described(world: World) -> None:
    described = (await world.api.http.get("/openapi.json")).json()
    schema = schemathesis.openapi.from_dict(described)
    refused, untold = list[str](), list[str]()
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            answer = await ask(world, method.upper(), path, operation)
            if not answer.is_success:
                refused.append(f"{operation['operationId']}: {answer.status_code} {answer.text}")
                continue
            answer.request.read()
            schema[path][method].validate_response(answer)
            assert str(answer.status_code) in operation["responses"], operation["operationId"]
            told = {name.lower() for name in operation["responses"][str(answer.status_code)].get("headers", ())}
            untold += [f"{operation['operationId']}: {name}" for name in answer.headers.keys() - told - OF_HTTP]
    assert untold == [], "see api/parameters.py"
    assert refused == [], "their good requests belong into tests/good_requests.py"


@pytest.mark.parametrize("signed_in", [True, False])
async def test_no_generated_request_breaks_the_description(world: World, tmp_path: Path, signed_in: bool) -> None:
    await _run(world, tmp_path, signed_in=signed_in, examples=2, seconds=15 if signed_in else 5)


async def test_no_generated_sequence_breaks_the_description(world: World, tmp_path: Path) -> None:
    await _run(world, tmp_path, signed_in=True, examples=2, seconds=15, phases="stateful")


@pytest.mark.long
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("signed_in", [True, False])
async def test_many_generated_requests_break_nothing(world: World, tmp_path: Path, signed_in: bool) -> None:
    await _run(world, tmp_path, signed_in=signed_in, examples=100, seconds=700 if signed_in else 120)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_many_generated_sequences_break_nothing(world: World, tmp_path: Path) -> None:
    await _run(world, tmp_path, signed_in=True, examples=50, seconds=300, phases="stateful")


async def _run(
    world: World,
    folder: Path,
    *,
    signed_in: bool,
    examples: int,
    seconds: int,
    phases: str = "examples,coverage,fuzzing",
) -> None:
    """With every check; the time is for what comes after examples and coverage."""
    spare = await world.api.person(world.hotel, role="admin")
    config = folder / "schemathesis.toml"
    config.write_text(_config(world.ids, spare.token))
    description = folder / "openapi.json"  # the program itself would wait for it ten seconds and no longer
    description.write_bytes((await world.api.http.get("/openapi.json")).content)
    token = ["--header", f"Authorization: Bearer {world.admin.token}"] if signed_in else []
    child = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config)),
        *("run", str(description), "--url", world.api.url, "--checks", "all", "--phases", phases),
        *("--continue-on-failure", "--no-color"),
        *("--max-examples", str(examples), "--max-time", str(seconds), "--request-timeout", "30"),
        *("--generation-database", "none", "--warnings", "off", *token),
        cwd=folder,  # it keeps there what it found, and would begin with it the next time
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.contract_hooks", "PYTHONPATH": str(ROOT)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        told, _ = await child.communicate()
    finally:
        if child.returncode is None:
            child.kill()
    assert child.returncode == 0, told.decode()
    assert await stumbled(world.stack.client, world.hotel) == [], "a request made a workflow fail its task"


def _config(ids: dict[str, str], spare: str) -> str:
    """Ids that are there for two of three requests, whatever operation names them; signing out ends a spare session."""
    known = {**ids, "property": ids["propertyId"]}
    lines = [f"[dictionaries.{name}]\nvalues = [{json.dumps(value)}]" for name, value in known.items()]
    lines.append(f"[dictionaries.moments]\nvalues = {json.dumps(FAR_MOMENTS)}")
    lines.append("[parameters]")
    lines += [f'"body.{name}" = {{ dictionary = "moments", probability = 0.2 }}' for name in MOMENTS]
    lines += [f'"path.{name}" = {{ dictionary = "{name}", probability = 0.67 }}' for name in known]
    lines.append('"query.property" = { dictionary = "property", probability = 0.67 }')
    lines.append('"body.propertyId" = { dictionary = "propertyId", probability = 0.67 }')
    lines.append(f'[[operations]]\ninclude-operation-id = "logout"\nheaders = {{ Authorization = "Bearer {spare}" }}')
    lines.append('[checks.negative_data_rejection]\nexpected-statuses = ["4xx", "5xx"]')
    return "\n".join(lines)
