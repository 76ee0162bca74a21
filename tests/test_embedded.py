"""The servers of the one-command stack, and what its supervisor promises of each part."""

import asyncio
import os
import signal
import socket
import stat
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import psutil
import pytest
import redis.asyncio
from pydantic import SecretStr
from temporalio.api.operatorservice.v1 import ListSearchAttributesRequest
from temporalio.client import Client

from activities.storage.database import Database
from contracts.names import SEARCH_BOOL, SEARCH_INT, SEARCH_KEYWORDS
from contracts.problems import StorageAway
from embedded import PostgresServer, RedisServer, StackError, TemporalServer, supervisor
from embedded.development import environment, kept_secrets
from embedded.preflight import check_port, held
from embedded.process import Process
from embedded.seed import seed
from embedded.service import Service, free_port
from settings import Settings, load_settings
from tests.processes import ended
from tests.support import eventually

pytestmark = pytest.mark.usefixtures("clean_environment")

LONG = "a-folder-whose-name-is-long" * 4


@pytest.fixture
async def postgres(tmp_path: Path) -> AsyncIterator[PostgresServer]:
    async with PostgresServer(tmp_path / "postgres") as server:
        yield server


async def query(server: PostgresServer, statement: str) -> object:
    connection = await asyncpg.connect(server.url)
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


@pytest.mark.parametrize("patience", [0, 30])
async def test_the_demo_waits_for_a_database_that_is_slow_to_answer(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    answers, asked = Database.migrate, 0

    async def migrate(database: Database) -> None:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise StorageAway("PostgreSQL does not answer")
        await answers(database)

    monkeypatch.setattr(Database, "migrate", migrate)
    settings = Settings().database.model_copy(update={"url": postgres.url})
    if not patience:
        with pytest.raises(StackError, match="database: PostgreSQL does not answer"):
            await seed(settings, patience=patience)
    else:
        team = await seed(settings, patience=patience)
        assert {each.role for each in team} == {"agent", "manager", "admin"}


async def test_postgres_keeps_what_was_committed_before_it_was_killed(postgres: PostgresServer) -> None:
    await query(postgres, "CREATE TABLE kept AS SELECT 42 AS value")
    url = postgres.url
    await postgres.kill()
    assert not postgres.alive()
    await postgres.start()
    assert postgres.url == url
    assert await query(postgres, "SELECT value FROM kept") == 42


async def test_postgres_waits_for_sessions_that_outlive_their_killed_server(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = await asyncpg.connect(postgres.url)
    session = psutil.Process(connection.get_server_pid())
    tried: list[bool] = []
    spawn = postgres.process.spawn

    async def counted(*arguments: Any, **options: Any) -> None:
        tried.append(session.is_running())
        if len(tried) == 3:
            session.resume()  # it finds its server gone, and ends
        await spawn(*arguments, **options)

    session.suspend()
    await postgres.kill()
    monkeypatch.setattr(postgres.process, "spawn", counted)
    await postgres.start()
    assert tried[:3] == [True, True, True]
    assert await query(postgres, "SELECT 1") == 1
    connection.terminate()


async def test_postgres_stops_cleanly_while_somebody_is_connected(postgres: PostgresServer) -> None:
    connection = await asyncpg.connect(postgres.url)
    await postgres.stop()
    assert postgres.process.returncode == 0
    connection.terminate()


async def test_postgres_commits_to_disk_and_brings_pgvector(postgres: PostgresServer) -> None:
    assert await query(postgres, "SHOW fsync") == "on"
    assert await query(postgres, "SHOW synchronous_commit") == "on"
    await query(postgres, "CREATE EXTENSION vector")
    assert await query(postgres, "SELECT '[1,2]'::vector <-> '[1,4]'::vector") == 2


async def test_postgres_takes_over_from_one_that_was_left_behind(postgres: PostgresServer, tmp_path: Path) -> None:
    async with PostgresServer(tmp_path / "postgres", log=tmp_path / "second.log") as second:
        await asyncio.wait_for(postgres.wait(), 10)
        assert await query(second, "SELECT 1") == 1


async def test_a_broken_postgres_folder_is_told_in_one_line(postgres: PostgresServer, tmp_path: Path) -> None:
    await postgres.stop()
    (tmp_path / "postgres" / "data" / "global" / "pg_control").write_bytes(b"not what it was")
    with pytest.raises(StackError, match=r"PostgreSQL stopped with code -?\d+: .*pg_control") as told:
        await postgres.start()
    assert "\n" not in str(told.value)


async def test_a_folder_that_holds_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "letter").write_text("keep me")
    with pytest.raises(StackError, match="is not a PostgreSQL database"):
        await PostgresServer(tmp_path).start()
    assert (tmp_path / "data" / "letter").read_text() == "keep me"


async def test_servers_answer_on_sockets_however_long_the_folder_is(tmp_path: Path) -> None:
    async with PostgresServer(tmp_path / LONG) as postgres, RedisServer(tmp_path / LONG) as redis_server:
        assert await query(postgres, "SELECT 1") == 1
        async with redis.asyncio.from_url(redis_server.url) as client:
            assert await client.ping()


async def test_redis_keeps_sessions_over_a_restart_and_has_a_bound(tmp_path: Path) -> None:
    async with RedisServer(tmp_path) as server, redis.asyncio.from_url(server.url, decode_responses=True) as client:
        await client.set("session", "kept", ex=3600)
        assert await client.config_get("maxmemory") == {"maxmemory": str(128 * 1024 * 1024)}
        await server.stop()
        assert server.process.returncode == 0
        await server.start()
        assert await client.get("session") == "kept"


async def test_redis_takes_over_from_one_that_was_left_behind(tmp_path: Path) -> None:
    async with RedisServer(tmp_path) as first, RedisServer(tmp_path, log=tmp_path / "second.log") as second:
        await asyncio.wait_for(first.wait(), 10)
        assert second.alive()


async def test_temporal_has_the_search_attributes_in_a_folder_that_lacked_them(tmp_path: Path) -> None:
    cli = Path(sys.executable).with_name("temporal")
    port = free_port()
    older = Process("older", tmp_path / "older.log")
    await older.spawn(
        *(cli, "server", "start-dev", "--headless", "--port", str(port)),
        *("--db-filename", tmp_path / "temporal.sqlite", "--sqlite-pragma", "journal_mode=WAL"),
    )

    async def answers() -> bool:
        try:
            await Client.connect(f"127.0.0.1:{port}")
        except RuntimeError:
            return False
        return True

    await older.ready(answers, seconds=30)
    await older.stop()

    async with TemporalServer(tmp_path) as server:
        client = await Client.connect(server.address)
        known = await client.operator_service.list_search_attributes(ListSearchAttributesRequest(namespace="default"))
    assert {*SEARCH_KEYWORDS, SEARCH_INT, SEARCH_BOOL} <= set(known.custom_attributes)


async def test_temporal_keeps_its_address_and_history_over_a_restart(tmp_path: Path) -> None:
    async with TemporalServer(tmp_path) as server:
        client = await Client.connect(server.address)
        handle = await client.start_workflow("Nobody", id="kept", task_queue="nobody")
        address = server.address
        await server.stop()
        await server.start()
        assert server.address == address
        description = await client.get_workflow_handle("kept").describe()
        assert description.run_id == handle.result_run_id


async def test_a_missing_temporal_cli_names_its_setting(tmp_path: Path) -> None:
    with pytest.raises(StackError, match="GATEWAY_TEMPORAL__CLI"):
        await TemporalServer(tmp_path, cli="/nowhere/temporal").start()


async def test_a_temporal_that_cannot_start_is_told_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "temporal.sqlite").write_text("no database " * 1000)
    with pytest.raises(StackError, match=r"Temporal stopped with code 1: .*not a database") as told:
        await TemporalServer(tmp_path).start()
    assert "\n" not in str(told.value)


class Steps(Service):
    """Lives as long as its nth life in `lives` says, in seconds."""

    def __init__(self, folder: Path, *lives: float) -> None:
        self.process = Process("steps", folder / "steps.log")
        self.lives = list(lives)

    async def start(self) -> None:
        await self.process.spawn("/bin/sh", "-c", f"echo begins; sleep {self.lives.pop(0)}; exit 3")


async def test_a_service_that_ends_is_started_again_and_said_so(tmp_path: Path) -> None:
    service, said = Steps(tmp_path, 100, 100, 100), asyncio.Queue[str]()
    await service.start()
    keeper = asyncio.create_task(supervisor.keep(service, said.put_nowait))
    for _ in range(2):
        first = service.process.pid
        service.process.end_now()
        assert await asyncio.wait_for(said.get(), 10) == "steps stopped with code -9; restarted"
        assert service.alive()
        assert service.process.pid != first
    keeper.cancel()
    await service.stop()


async def test_a_service_that_keeps_ending_is_given_up_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "PAUSES", (0, 0.01, 0.02))
    service, said = Steps(tmp_path, 0, 0, 0, 0), list[str]()
    await service.start()
    with pytest.raises(
        StackError, match=r"steps keeps stopping, this time with code 3; the end of .*steps\.log:\n  begins"
    ):
        await supervisor.keep(service, said.append)
    assert len(said) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ties a child to its parent")
async def test_children_do_not_outlive_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import asyncio, pathlib; from embedded.process import Process\n"
        "async def main():\n"
        f"    child = Process('child', pathlib.Path({str(tmp_path / 'child.log')!r}))\n"
        "    await child.spawn('/bin/sleep', '100')\n"
        "    print(child.pid, flush=True)\n"
        "    await child.wait()\n"
        "asyncio.run(main())\n"
    )
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(await parent.stdout.readline()))
    assert child.is_running()
    parent.kill()
    await parent.wait()
    await eventually(ended([child]), what="the end of the child", seconds=10)


async def test_a_process_that_ignores_its_stop_signal_is_ended(tmp_path: Path) -> None:
    stubborn = Process("stubborn", tmp_path / "stubborn.log")
    await stubborn.spawn("/bin/sh", "-c", "trap '' TERM; echo deaf; while :; do sleep 1; done")

    async def deaf() -> bool:
        return "deaf" in stubborn.output()

    await stubborn.ready(deaf, seconds=10)
    await stubborn.stop(seconds=0.2)
    assert stubborn.returncode == -signal.SIGKILL


async def test_the_log_of_the_run_before_is_kept(tmp_path: Path) -> None:
    process = Process("talker", tmp_path / "talker.log")
    for word in ("one", "two", "three"):
        await process.spawn("/bin/echo", word)
        await process.wait()
    assert process.output() == ["three"]
    assert (tmp_path / "talker.log.1").read_text() == "two\n"


def test_a_second_instance_is_told_who_holds_the_folder(tmp_path: Path) -> None:
    refused = pytest.raises(StackError, match=rf"already runs on .* \(process {os.getpid()}\)")
    with held(tmp_path, os.getpid()), refused, held(tmp_path, 1):
        pass
    with held(tmp_path, os.getpid()) as folder:
        assert folder == tmp_path


def test_a_file_in_the_place_of_the_folder_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StackError, match=r"file: File exists; set GATEWAY_DATA_DIR"), held(tmp_path / "file", 1):
        pass


@pytest.mark.parametrize("listens_on", ["127.0.0.1", "0.0.0.0"])
def test_a_port_in_use_names_the_port_and_its_setting(listens_on: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("embedded.preflight.PORT_PATIENCE_SECONDS", 0.0)
    with socket.create_server((listens_on, 0)) as server:
        port = server.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} is in use; .* set GATEWAY_SERVER__PORT"):
            check_port("127.0.0.1", port, "GATEWAY_SERVER__PORT")
    check_port("127.0.0.1", port, "GATEWAY_SERVER__PORT")


def test_an_address_of_another_machine_names_the_setting() -> None:
    with pytest.raises(StackError, match="GATEWAY_SERVER__HOST"):
        check_port("192.0.2.1", 0, "GATEWAY_SERVER__PORT")


def test_secrets_are_made_once_and_only_their_owner_may_read_them(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    made = kept_secrets(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(set(made.values())) == len(made) == 3
    assert kept_secrets(path) == made


def test_a_secret_that_was_removed_is_made_again_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "secrets.env"
    made = kept_secrets(path)
    name, *others = made
    path.write_text("".join(f"{each}={made[each]}\n" for each in others))
    again = kept_secrets(path)
    assert again[name] != made[name]
    assert {each: again[each] for each in others} == {each: made[each] for each in others}


def effective(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings that a program started by the supervisor has."""
    for name, value in environment(load_settings(), tmp_path).items():
        monkeypatch.setenv(name, value)
    return load_settings()


def test_programs_get_what_nobody_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = effective(tmp_path, monkeypatch)
    assert settings.properties["seaview"].name == "Seaview Hotel"
    assert settings.properties["seaview"].time_zone == "Europe/Lisbon"
    assert list(settings.temporal.codec_keys) == ["dev"]
    assert settings.security.jwt_secret != settings.security.identity_secret


def test_programs_keep_what_was_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATEWAY_CHANNELS__MESSAGES__SECRET", "mine")
    monkeypatch.setenv("GATEWAY_PROPERTIES", '{"harbour": {"name": "Harbour Inn"}}')
    monkeypatch.setenv("GATEWAY_PROPERTIES__HARBOUR__TIME_ZONE", "Europe/Madrid")
    settings = effective(tmp_path, monkeypatch)
    assert settings.channels.messages.secret == SecretStr("mine")
    assert set(settings.properties) == {"harbour", "seaview"}
    assert settings.properties["harbour"].time_zone == "Europe/Madrid"
