"""Temporal's development server, from the CLI in its Python package."""

import sys
import tempfile
from pathlib import Path

from temporalio.client import Client
from temporalio.service import RPCError

from contracts.names import SEARCH_BOOL, SEARCH_INT, SEARCH_KEYWORDS
from embedded.process import Process, StackError
from embedded.service import START_SECONDS, Service, free_port
from workflows.search import register_search_attributes

SEARCH_ATTRIBUTES = {**dict.fromkeys(SEARCH_KEYWORDS, "Keyword"), SEARCH_INT: "Int", SEARCH_BOOL: "Bool"}
ATTEMPTS = 3
PORT_TAKEN = "address already in use"
"""The error if another program opens a port between the server's choosing and opening it."""


class TemporalServer(Service):
    """Temporal's development server, in memory without a `data_dir`.

    Port 0 means any free port. Without a `ui_port` there is no UI. `cli` is the path of another Temporal CLI.
    """

    def __init__(
        self,
        data_dir: Path | None,
        port: int = 0,
        ui_port: int | None = None,
        cli: str | None = None,
        log: Path | None = None,
        *,
        namespace: str = "default",
    ) -> None:
        self._file = data_dir / "temporal.sqlite" if data_dir else None
        self._port = port
        self._ui_port = ui_port
        self._namespace = namespace
        self._cli = Path(cli) if cli else Path(sys.executable).with_name("temporal")
        self.process = Process(
            "Temporal", log or (data_dir or Path(tempfile.mkdtemp(prefix="gateway-"))) / "temporal.log"
        )

    @property
    def address(self) -> str:
        """`host:port`, fixed at the first start."""
        return f"127.0.0.1:{self._port}"

    @property
    def ui_url(self) -> str | None:
        return f"http://127.0.0.1:{self._ui_port}" if self._ui_port else None

    async def start(self) -> None:
        if not self._cli.is_file():
            raise StackError(f"temporal.cli: {self._cli} does not exist; set GATEWAY_TEMPORAL__CLI to a Temporal CLI")
        self._port = self._port or free_port()
        if self._ui_port == 0:
            self._ui_port = free_port()
        if self._file:
            self._file.parent.mkdir(parents=True, exist_ok=True)
        for attempt in range(1, ATTEMPTS + 1):
            await self.process.spawn(self._cli, *self._arguments())
            try:
                await self.process.ready(self._answers, seconds=START_SECONDS)
            except StackError:
                if attempt == ATTEMPTS or not any(PORT_TAKEN in line for line in self.process.output()):
                    raise
            else:
                return

    def _arguments(self) -> list[str]:
        attributes = [f"{name}={kind}" for name, kind in SEARCH_ATTRIBUTES.items()]
        return [
            *("server", "start-dev", "--ip", "127.0.0.1", "--port", str(self._port), "--log-level", "warn"),
            *(("--headless",) if self._ui_port is None else ("--ui-port", str(self._ui_port))),
            *(("--db-filename", str(self._file)) if self._file else ()),
            # Measured: without these four settings a message takes 99 ms instead of 21 ms, and throughput falls to a
            # quarter. By default the server polls its transfer and timer queues at most 20 times a second for all
            # conversations together, and SQLite syncs the disk at every transaction.
            *("--dynamic-config-value", "history.transferProcessorMaxPollRPS=2000"),
            *("--dynamic-config-value", "history.timerProcessorMaxPollRPS=2000"),
            *(("--sqlite-pragma", "journal_mode=WAL", "--sqlite-pragma", "synchronous=NORMAL") if self._file else ()),
            # Otherwise finished entries leave those queues only every 30 s, and are scanned again for each new task.
            *("--dynamic-config-value", 'history.transferProcessorUpdateAckInterval="1s"'),
            *("--dynamic-config-value", 'history.timerProcessorUpdateAckInterval="1s"'),
            # Otherwise a conversation that continues as new twice within a second would wait for that second.
            *("--dynamic-config-value", 'history.workflowIdReuseMinimalInterval="0s"'),
            *("--namespace", self._namespace),
            *(part for each in attributes for part in ("--search-attribute", each)),
        ]

    async def _answers(self) -> bool:
        try:
            # The CLI's option for search attributes has no effect on an existing namespace.
            await register_search_attributes(await Client.connect(self.address, namespace=self._namespace))
        except (RuntimeError, RPCError):
            return False
        return True
