"""`gateway dev`: what it prints, keeps running, refuses and leaves behind."""

import asyncio
import re
import shlex
import shutil
import signal
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import httpx
import psutil
import pytest

from tests.development import FREE_PORTS, Dev, launch, running
from tests.processes import ended
from tests.support import eventually

pytestmark = pytest.mark.usefixtures("clean_environment")

MEMORY_LIMIT = 900 * 1024 * 1024


def machine_seconds() -> float:
    """Processor time that this machine has spent on anything."""
    spent = psutil.cpu_times()
    return float(spent.user + spent.nice + spent.system)


def seconds_of(processes: Sequence[psutil.Process]) -> float:
    """Processor time that these have spent."""
    return float(sum(sum(process.cpu_times()[:2]) for process in processes))


@pytest.fixture(scope="module")
async def dev(tmp_path_factory: pytest.TempPathFactory, clean_environment: None) -> AsyncIterator[Dev]:
    async with running(tmp_path_factory.mktemp("dev")) as dev:
        await dev.ready()
        yield dev


async def test_every_address_it_prints_answers(dev: Dev) -> None:
    pages = re.findall(r"^  (?:Guest chat|Staff page|API|Temporal UI) +(http://\S+)$", dev.printed, re.MULTILINE)
    assert len(pages) == 4
    async with httpx.AsyncClient(follow_redirects=True) as client:
        for page in pages:
            answer = await client.get(page, headers={"accept": "text/html"})
            assert answer.status_code == 200, page
            assert answer.headers["content-type"].startswith("text/html"), page


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl on this machine")
async def test_the_curl_line_it_prints_signs_in(dev: Dev) -> None:
    line = (await dev.until(r"First call +(curl .*)\n"))[1]
    curl = await asyncio.create_subprocess_exec(*shlex.split(line), "--fail", stdout=asyncio.subprocess.PIPE)
    answer, _ = await curl.communicate()
    assert curl.returncode == 0
    assert b'"accessToken"' in answer
    assert b'"admin"' in answer


async def test_it_listens_on_this_machine_alone(dev: Dev) -> None:
    listening = [
        connection.laddr
        for process in dev.children()
        for connection in process.net_connections(kind="inet")
        if connection.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert {address.ip for address in listening} <= {"127.0.0.1", "::1"}


async def test_all_of_it_takes_less_memory_than_promised(dev: Dev) -> None:
    processes = [psutil.Process(dev.process.pid), *dev.children()]
    assert sum(process.memory_full_info().pss for process in processes) < MEMORY_LIMIT


async def test_a_killed_worker_is_started_again_and_said_so(dev: Dev) -> None:
    killed = dev.child("worker")
    killed.kill()
    await dev.until(r"worker stopped with code -9; restarted\n")
    assert dev.child("worker").pid != killed.pid


async def test_a_second_instance_is_refused_in_one_line(dev: Dev) -> None:
    folder = Path(psutil.Process(dev.process.pid).cwd())
    second = await launch(folder)
    printed, _ = await second.process.communicate()
    assert second.process.returncode == 1
    assert re.fullmatch(rf"gateway dev: .* already runs on {folder}/\.gateway \(process \d+\).*\n", printed.decode())


@pytest.mark.parametrize("setting", list(FREE_PORTS))
async def test_a_port_in_use_is_told_in_one_line_before_anything_starts(setting: str, tmp_path: Path, dev: Dev) -> None:
    port = (await dev.until(r"Guest chat +http://127.0.0.1:(\d+)/"))[1]
    refused = await launch(tmp_path, **{setting: port})
    printed, _ = await refused.process.communicate()
    assert refused.process.returncode == 1
    assert re.fullmatch(rf"gateway dev: port {port} is in use; .* set {setting} to another port\n", printed.decode())
    assert not (tmp_path / ".gateway" / "postgres").exists()


async def test_it_stops_starts_again_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path) as first:
        await first.ready()
        children = first.children()
        first.process.send_signal(signal.SIGINT)
        assert await asyncio.wait_for(first.process.wait(), 15) == 0
        assert await ended(children)()

    began, spent_before = time.monotonic(), machine_seconds()
    async with running(tmp_path) as second:
        api = await second.ready()
        took, spent = time.monotonic() - began, machine_seconds() - spent_before
        taken_by_others = spent - seconds_of([psutil.Process(second.process.pid), *second.children()])
        assert took - taken_by_others < 10
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{api}/readyz")).status_code == 200
        children = second.children()
        second.process.kill()
        await eventually(ended(children), what="the end of every child", seconds=10)

    async with running(tmp_path) as third:
        await third.ready()


async def test_a_server_that_cannot_start_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / ".gateway" / "redis").mkdir(parents=True)
    (tmp_path / ".gateway" / "redis" / "redis.rdb").write_text("no snapshot")
    refused = await launch(tmp_path)
    printed, _ = await refused.process.communicate()
    assert refused.process.returncode == 1
    assert re.fullmatch(r"gateway dev: Redis stopped with code 1: .*\n", printed.decode().splitlines(keepends=True)[-1])
    assert "Traceback" not in printed.decode()
