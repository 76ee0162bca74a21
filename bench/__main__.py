"""`make bench`: prints the product's figures as ratios to bare Temporal, with their targets."""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import socket
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

import uvloop
import websockets
from temporalio.client import Client

from bench.answers import answers_against_activities
from bench.bare import READY, TASK_QUEUE, BareConversation
from bench.lists import measure_lists
from bench.load import Arrivals, Conversing, Figures, Pace, Write, arrive, converse
from bench.report import Line, report
from bench.sockets import sockets_against_bare
from bench.wire import Connections, callback_server
from contracts.names import workflow_id
from embedded import PostgresServer, RedisServer, TemporalServer
from workflows.client import contact_key

HOTEL = "bench"
SECRET = "bench secret"
IDENTITY = "bench identity"
LATENCY = Conversing(conversations=1, messages=60)
THROUGHPUT = Conversing(conversations=50, messages=16)
WEBHOOKS = Pace(per_second=50, seconds=10, senders=100)
START_SECONDS, POLL_SECONDS = 30, 0.1
ROUNDS = 3
"""Bare and product take turns, so that a machine that slows down affects both."""
READING_SECONDS = 0.1
"""A guest whose history is counted reads each answer before writing again, as people do."""
COUNTED_FROM, COUNTED_TO = 3, 9
"""History is counted between these messages: after a conversation's beginning, and before it continues as new."""


@dataclass
class Stack:
    temporal: TemporalServer
    environment: dict[str, str]
    arrivals: Arrivals
    client: Client
    folder: Path


@asynccontextmanager
async def stack() -> AsyncIterator[Stack]:
    folder = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    nothing_set = folder / "gateway.yaml"
    nothing_set.write_text("gateway: {}")
    arrivals = Arrivals()
    async with (
        TemporalServer(folder / "temporal") as temporal,
        PostgresServer(folder / "postgres") as postgres,
        RedisServer(folder / "redis") as redis,
        callback_server(arrivals.arrived) as callback_port,
    ):
        environment = {
            **os.environ,
            "GATEWAY_CONFIG": str(nothing_set),
            "GATEWAY_TEMPORAL__ADDRESS": temporal.address,
            "GATEWAY_TEMPORAL__CODEC_KEYS": json.dumps({"dev": base64.b64encode(os.urandom(32)).decode()}),
            "GATEWAY_DATABASE__URL": postgres.url,
            "GATEWAY_REDIS__URL": redis.url,
            "GATEWAY_SERVER__HOST": "127.0.0.1",
            "GATEWAY_PROPERTIES": json.dumps({HOTEL: {"name": "Bench"}}),
            "GATEWAY_CHANNELS__MESSAGES__SECRET": SECRET,
            "GATEWAY_CHANNELS__MESSAGES__CALLBACK_URL": f"http://127.0.0.1:{callback_port}/",
            "GATEWAY_SECURITY__IDENTITY_SECRET": IDENTITY,
            "GATEWAY_SECURITY__JWT_SECRET": "a bench secret of thirty-two bytes and more",
            "GATEWAY_CONVERSATION__DEBOUNCE": "0",
            "GATEWAY_RATE_LIMIT__MAX_REQUESTS": "1000000",
            "GATEWAY_AI__HTTP__URL": "http://127.0.0.1:9/",
        }
        yield Stack(temporal, environment, arrivals, await Client.connect(temporal.address), folder)


@asynccontextmanager
async def process(environment: dict[str, str], *arguments: str, ready: str | None) -> AsyncIterator[None]:
    """Runs a child process during the block, which begins once the child has printed its `ready` line."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, *arguments, env=environment, stdout=asyncio.subprocess.PIPE if ready else None
    )
    try:
        if ready is not None and child.stdout is not None:
            async for line in child.stdout:
                if ready in line.decode():
                    break
        yield
    finally:
        if child.returncode is None:
            child.terminate()
        await child.wait()


@asynccontextmanager
async def bare(bench: Stack, *, apart: bool) -> AsyncIterator[Write]:
    """Runs the baseline's worker process. `apart` gives each activity a task queue of its own."""
    address = str(bench.folder / "bare.sock")
    receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    receiver.bind(address)
    loop = asyncio.get_running_loop()
    loop.add_reader(receiver, lambda: bench.arrivals.arrived(receiver.recv(256).decode()))
    run = uuid.uuid4().hex[:8]

    async def write(conversation: int, message_id: str, text: str) -> None:
        await bench.client.start_workflow(
            BareConversation.run,
            apart,
            id=f"bare-{run}-{conversation}",
            task_queue=TASK_QUEUE,
            start_signal="receive",
            start_signal_args=[text],
        )

    async with process(bench.environment, "-m", "bench.bare", bench.temporal.address, address, ready=READY):
        yield write
    loop.remove_reader(receiver)
    receiver.close()
    await asyncio.to_thread(Path(address).unlink)


@dataclass
class Product:
    """The whole product: its api and worker processes."""

    bench: Stack
    port: int
    wire: Connections

    def webhook(self, run: str) -> Write:
        async def write(conversation: int, message_id: str, text: str) -> None:
            body = json.dumps(
                {
                    "channelId": "desk",
                    "channelType": "sms",
                    "senderId": f"{run}-{conversation}",
                    "content": text,
                    "metadata": {"messageId": message_id},
                    "timestamp": datetime.now(UTC).isoformat(),
                }
            ).encode()
            signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
            headers = {"content-type": "application/json", "x-gateway-signature": signature}
            status = await self.wire.request("POST", f"/webhooks/messages/{HOTEL}", body, headers)
            assert status == 202, f"the webhook answered {status}"

        return write

    @asynccontextmanager
    async def chat(self) -> AsyncIterator[tuple[Write, str]]:
        """Opens one visitor's socket, where the frame of an AI message is the reply. Also yields the visitor's id."""
        async with websockets.connect(f"ws://127.0.0.1:{self.port}/chat/{HOTEL}") as chat:
            await chat.send(json.dumps({"type": "auth", "payload": {}}))
            visitor = json.loads(await chat.recv())["payload"]["visitorId"]
            pending: list[str] = []
            acknowledged: dict[str, asyncio.Event] = {}

            async def read() -> None:
                async for frame in chat:
                    told = json.loads(frame)
                    if told["type"] == "ack":
                        acknowledged[told["id"]].set()
                    elif told["type"] == "message" and told["payload"]["message"]["author"] == "ai":
                        self.bench.arrivals.arrived(pending.pop(0))

            async def write(conversation: int, message_id: str, text: str) -> None:
                pending.append(message_id)
                acknowledged[message_id] = asyncio.Event()
                await chat.send(json.dumps({"type": "send_message", "id": message_id, "payload": {"content": text}}))
                await acknowledged[message_id].wait()

            reading = asyncio.create_task(read())
            yield write, visitor
            reading.cancel()


async def _answers(wire: Connections) -> None:
    """Waits until the api is ready: storage is migrated, and Temporal answers."""
    async with asyncio.timeout(START_SECONDS):
        while True:
            with suppress(ConnectionError):
                if await wire.request("GET", "/readyz") == HTTPStatus.OK:
                    return
            await asyncio.sleep(POLL_SECONDS)


@asynccontextmanager
async def product(bench: Stack, engine: str) -> AsyncIterator[Product]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**bench.environment, "GATEWAY_SERVER__PORT": str(port), "GATEWAY_AI__ENGINE": engine}
    async with AsyncExitStack() as running:
        await running.enter_async_context(process(environment, "-m", "cli", "api", ready=None))
        await running.enter_async_context(process(environment, "-m", "bench.worker_process", ready=READY))
        wire = Connections(port)
        await _answers(wire)
        yield Product(bench, port, wire)
        wire.close()


async def history_cost(bench: Stack, sender: str, channel: str) -> tuple[float, float]:
    """Events and bytes of history per message and reply, averaged over messages 3 to 9 of a fresh conversation."""
    key = contact_key(IDENTITY, HOTEL, channel, sender)
    history = await bench.client.get_workflow_handle(workflow_id(key)).fetch_history()
    signals = [
        index
        for index, event in enumerate(history.events)
        if event.HasField("workflow_execution_signaled_event_attributes")
    ]
    counted = history.events[signals[COUNTED_FROM] : signals[COUNTED_TO]]
    messages = COUNTED_TO - COUNTED_FROM
    return len(counted) / messages, sum(event.ByteSize() for event in counted) / messages


async def measure() -> AsyncIterator[list[Line]]:
    """Yields each group of figures as it is measured. New servers keep groups from disturbing each other by timers."""
    async with stack() as bench, product(bench, "embedded") as running:
        yield await measure_lists(bench.environment["GATEWAY_DATABASE__URL"], running.port, running.wire, HOTEL)
    async with stack() as bench:
        yield await sockets_against_bare(bench.environment)
    async with stack() as bench:
        yield await answers_against_activities(bench.client)
        for engine, name in (("embedded", "fast engine"), ("http", "slow engine")):
            yield await _against_bare(bench, engine, name)


async def _against_bare(bench: Stack, engine: str, name: str) -> list[Line]:
    base_latency, base_load = Figures(), Figures()
    webhook_latency, load, chat_latency = Figures(), Figures(), Figures()
    base_pace, pace = Figures(), Figures()
    async with bare(bench, apart=engine == "http") as write_bare, product(bench, engine) as running:
        run = uuid.uuid4().hex[:8]
        warm = running.webhook(f"{run}-warm")
        await converse(f"{run}-wb", write_bare, bench.arrivals, conversations=5, messages=5)
        await converse(f"{run}-wp", warm, bench.arrivals, conversations=5, messages=5)
        counted = Conversing(conversations=1, messages=COUNTED_TO + 2, pause=READING_SECONDS)
        await converse(f"{run}-h", running.webhook(f"{run}-h"), bench.arrivals, **counted)
        outside = await history_cost(bench, f"{run}-h-0", "sms")
        async with running.chat() as (write_chat, visitor):
            await converse(f"{run}-c", write_chat, bench.arrivals, **counted)
            webchat = await history_cost(bench, visitor, "webchat")
        for number in range(ROUNDS):
            each = f"{run}-{number}"
            base_latency += await converse(f"{each}-bl", write_bare, bench.arrivals, **LATENCY)
            webhook_latency += await converse(f"{each}-wl", running.webhook(f"{each}-l"), bench.arrivals, **LATENCY)
            async with running.chat() as (write_chat, _):
                chat_latency += await converse(f"{each}-cl", write_chat, bench.arrivals, **LATENCY)
            base_load += await converse(f"{each}-bt", write_bare, bench.arrivals, **THROUGHPUT)
            load += await converse(f"{each}-wt", running.webhook(f"{each}-t"), bench.arrivals, **THROUGHPUT)
            base_pace += await arrive(f"{each}-bp", write_bare, bench.arrivals, **WEBHOOKS)
            pace += await arrive(f"{each}-wp", running.webhook(f"{each}-p"), bench.arrivals, **WEBHOOKS)
    return [
        Line.ratio(f"{name}: reply p50, webhook", webhook_latency.p50, base_latency.p50, "ms", at_most=1.5),
        Line.ratio(f"{name}: reply p95, webhook", webhook_latency.p95, base_latency.p95, "ms"),
        Line.ratio(f"{name}: reply p50, web chat", chat_latency.p50, base_latency.p50, "ms", at_most=1.5),
        Line.ratio(f"{name}: reply p95, web chat", chat_latency.p95, base_latency.p95, "ms"),
        Line.ratio(f"{name}: messages/s, 50 at once", load.per_second, base_load.per_second, "/s", at_least=0.67),
        Line.ratio(f"{name}: webhook acknowledged", webhook_latency.ack, base_latency.ack, "ms", at_most=2),
        Line.ratio(f"{name}: webhook acknowledged, 50 a second", pace.ack, base_pace.ack, "ms", at_most=2),
        Line.ratio(f"{name}: the same, p99 against p50", pace.ack_p99, pace.ack, "ms", at_most=3),
        Line.figure(f"{name}: events/message, web chat", webchat[0], 11 if engine == "embedded" else 16),
        Line.figure(f"{name}: events/message, webhook", outside[0], 16),
        Line.figure(f"{name}: bytes/message, web chat", webchat[1], 4000),
        Line.figure(f"{name}: bytes/message, webhook", outside[1], 4000),
    ]


async def main() -> None:
    async for lines in measure():
        print(f"{report(lines)}\n", flush=True)


if __name__ == "__main__":
    uvloop.run(main())
