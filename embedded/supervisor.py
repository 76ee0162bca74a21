"""`gateway dev`: starts the stack in order, keeps it running, and stops it in order."""

import asyncio
import os
import signal
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path

import httpx

from contracts.staff import Staff
from embedded.development import environment
from embedded.greeting import greeting
from embedded.postgres import PostgresServer
from embedded.preflight import check_port, held
from embedded.process import Process, StackError
from embedded.program import Program
from embedded.redis import RedisServer
from embedded.seed import seed
from embedded.service import START_SECONDS, Service, free_port
from embedded.temporal import TemporalServer
from settings import Settings

STEADY_SECONDS = 10
"""A service that ran this long before it ended is restarted at once, and its earlier failures are forgotten."""
PAUSES = (0, 0.5, 1, 2, 4)
"""Seconds before each restart of a service that keeps ending. After the last it is given up."""
WORKER_READY = "worker ready"
"""What a worker prints once it accepts tasks."""

Say = Callable[[str], None]


async def run(settings: Settings, say: Say) -> None:
    """Runs the stack until SIGINT, SIGTERM or SIGHUP. Raises StackError if it cannot be started or kept running."""
    with held(settings.data_dir, os.getpid()) as folder:
        check_port(settings.server.host, settings.server.port, "GATEWAY_SERVER__PORT")
        if not settings.temporal.address:
            check_port("127.0.0.1", settings.temporal.port, "GATEWAY_TEMPORAL__PORT")
            check_port("127.0.0.1", settings.temporal.ui_port, "GATEWAY_TEMPORAL__UI_PORT")
        await Supervisor(settings, folder, say).run()


class Supervisor:
    def __init__(self, settings: Settings, folder: Path, say: Say) -> None:
        self._settings = settings
        self._folder = folder
        self._say = say
        self._logs = folder / "logs"
        self._port = settings.server.port or free_port()
        host = "127.0.0.1" if settings.server.host == "0.0.0.0" else settings.server.host  # noqa: S104
        self._api_url = f"http://{host}:{self._port}"
        temporal = settings.temporal
        self._temporal = TemporalServer(
            folder / "temporal",
            temporal.port,
            temporal.ui_port,
            temporal.cli,
            self._logs / "temporal.log",
            namespace=temporal.namespace,
        )
        self._postgres = PostgresServer(folder / "postgres", self._logs / "postgres.log")
        self._redis = RedisServer(folder / "redis", self._logs / "redis.log")
        self._servers: list[Service] = [
            server
            for server, configured in (
                (self._temporal, temporal.address),
                (self._postgres, settings.database.url),
                (self._redis, settings.redis.url),
            )
            if not configured
        ]
        self._programs: list[Service] = []
        self._team: list[Staff] = []

    async def run(self) -> None:
        """Returns after a signal has stopped the stack. A second signal kills everything at once."""
        asked = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._asked, asked)
        stack = asyncio.create_task(self._run_stack())
        signalled = asyncio.create_task(asked.wait())
        try:
            await asyncio.wait((stack, signalled), return_when=asyncio.FIRST_COMPLETED)
        finally:
            signalled.cancel()
            stack.cancel()
            await asyncio.wait((stack,))
            await self._stop()
            self._say("stopped")
        if not stack.cancelled():
            stack.result()

    def _asked(self, asked: asyncio.Event) -> None:
        if asked.is_set():
            for service in (*self._programs, *self._servers):
                service.process.end_now()
        else:
            self._say("stopping")
            asked.set()

    async def _run_stack(self) -> None:
        """Starts everything, announces that it is ready, and keeps it running until cancelled."""
        began = time.monotonic()
        self._say(f"starting the gateway with its data in {self._folder}")
        await _together(*(_start(server) for server in self._servers))
        variables = self._environment()
        self._programs = [
            Program(
                "api",
                log=self._logs / "api.log",
                environment=variables,
                answers=self._api_answers,
                stop_seconds=10,
            ),
            Program(
                "worker",
                log=self._logs / "worker.log",
                environment=variables,
                answers=_worker_answers,
                stop_seconds=40,  # it grants its own activities 30
            ),
        ]
        await _together(*(_start(program) for program in self._programs), self._seed())
        ui = None if self._settings.temporal.address else self._temporal.ui_url
        self._say(greeting(self._api_url, ui, self._folder, self._team, time.monotonic() - began))
        await _together(*(keep(service, self._say) for service in (*self._servers, *self._programs)))

    def _environment(self) -> dict[str, str]:
        """The environment of api and worker: ours, the servers' addresses, and the development settings."""
        return {
            **os.environ,
            **environment(self._settings, self._folder),
            "GATEWAY_SERVER__PORT": str(self._port),
            "GATEWAY_TEMPORAL__ADDRESS": self._settings.temporal.address or self._temporal.address,
            "GATEWAY_DATABASE__URL": self._database_url(),
            "GATEWAY_REDIS__URL": self._settings.redis.url or self._redis.url,
            "PYTHONUNBUFFERED": "1",
        }

    def _database_url(self) -> str:
        return self._settings.database.url or self._postgres.url

    async def _seed(self) -> None:
        # Our own server has just answered, so it is worth waiting for.
        database = self._settings.database.model_copy(update={"url": self._database_url()})
        self._team = await seed(database, patience=0 if self._settings.database.url else START_SECONDS)

    async def _api_answers(self, _: Process) -> bool:
        try:
            async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
                return (await client.get(f"{self._api_url}/readyz")).is_success
        except httpx.TransportError:
            return False

    async def _stop(self) -> None:
        """Stops the api first, then the worker, then the servers that both need."""
        for program in self._programs:
            await program.stop()
        await asyncio.gather(*(server.stop() for server in self._servers))


async def keep(service: Service, say: Say) -> None:
    """Restarts the service whenever it ends. Raises StackError if it keeps ending."""
    ends = 0
    while True:
        started = time.monotonic()
        code = await service.wait()
        ends = 1 if time.monotonic() - started > STEADY_SECONDS else ends + 1
        if ends > len(PAUSES):
            raise StackError(f"{service.name} keeps stopping, this time with code {code}; {service.process.tail()}")
        await asyncio.sleep(PAUSES[ends - 1])
        with suppress(StackError):
            await _start(service)
            say(f"{service.name} stopped with code {code}; restarted")


async def _start(service: Service) -> None:
    try:
        await service.start()
    except OSError as error:
        raise StackError(f"{service.name} cannot start: {error.strerror} ({error.filename})") from error


async def _worker_answers(process: Process) -> bool:
    return WORKER_READY in process.output()


async def _together(*work: Coroutine[None, None, None]) -> None:
    """Runs everything concurrently. The first StackError cancels the rest."""
    try:
        async with asyncio.TaskGroup() as group:
            for each in work:
                group.create_task(each)
    except* StackError as errors:
        first = errors.exceptions[0]
    else:
        return
    raise first
