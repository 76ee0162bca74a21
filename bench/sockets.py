"""Compares a thousand open sockets with those of a bare broadcast server: `python -m bench.sockets`."""

import asyncio
import base64
import json
import os
import resource
import socket
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil
import uvloop

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream
from activities.storage.publications import Publications
from activities.storage.redis_client import open_redis
from activities.storage.sessions import Sessions
from api.auth.signing_keys import SigningKeys
from api.auth.tokens import Claims, Tokens
from bench.bare_sockets import PING_SECONDS, READY
from bench.listeners import Listener, join_staff, listen, reach_all
from bench.report import Line, report
from bench.wire import Connections
from bench.zero import sentence
from contracts.conversations import Conversation, ConversationState
from contracts.events import Event, Publication
from contracts.messages import Author, Delivery, DeliveryState, Message, Route
from contracts.names import workflow_id
from contracts.staff import Staff
from embedded import PostgresServer, RedisServer
from settings import Settings, load_settings
from workflows.client import contact_key

HOTEL = "bench"
SOCKETS = 1000
WARM_UP, EVENTS, ROUNDS = 10, 40, 3
"""Bare and product take turns, so that a machine that slows down affects both."""
TOLERATED = 1.5
OPEN_FILES = 8192
FRAME_BYTES = 650
"""The size of one of the product's frames."""
SERVED = {"GATEWAY_WEBSOCKET__PING_INTERVAL": str(PING_SECONDS * 1000)}


@dataclass
class Figures:
    bytes_per_socket: float = 0.0
    seconds: list[float] = field(default_factory=list)


Tell = Callable[[str], Awaitable[object]]
"""Causes an event whose frame contains the text."""


@dataclass
class Server:
    """A server process and the sockets that are open to it."""

    listeners: list[Listener]
    tell: Tell
    figures: Figures

    async def measure(self, events: int) -> list[float]:
        texts = [uuid.uuid4().hex for _ in range(events)]

        def telling(text: str) -> Callable[[], Awaitable[object]]:
            return lambda: self.tell(text)

        return [await reach_all(self.listeners, text, telling(text)) for text in texts]


async def _open(pid: int, port: int, path: str, join: Callable[[Listener], Awaitable[None]], tell: Tell) -> Server:
    """Opens the sockets and measures the memory per socket, without what the process loads for the first ones."""
    process = psutil.Process(pid)
    first = await listen(port, path, SOCKETS // 10, join)
    before = process.memory_info().rss
    rest = await listen(port, path, SOCKETS - len(first), join)
    grown = process.memory_info().rss - before
    return Server([*first, *rest], tell, Figures(grown / len(rest)))


# --- the product -----------------------------------------------------------------------------------------------------


class Teller:
    """Publishes messages of one conversation, as its workflow would."""

    def __init__(self, publications: Publications, identity: str) -> None:
        self._publications = publications
        self._key = contact_key(identity, HOTEL, "webchat", "guest")
        self._seq = 0

    async def tell(self, text: str) -> None:
        self._seq += 1
        now = datetime.now(UTC)
        conversation_id = f"{self._key}-00000000"
        message = Message(
            id=uuid.uuid4().hex,
            conversation_id=conversation_id,
            seq=self._seq,
            author=Author.AI,
            content=sentence(text),
            created_at=now,
            delivery=Delivery(state=DeliveryState.SENT),
        )
        conversation = Conversation(
            conversation_id=conversation_id,
            guest_id="guest",
            property_id=HOTEL,
            state=ConversationState.ACTIVE,
            channel_type="webchat",
            created_at=now,
            last_message_at=now,
            seq=self._seq,
            workflow_id=workflow_id(self._key),
        )
        route = Route(adapter="webchat", channel_id=HOTEL, sender_id="guest")
        event = Event(seq=self._seq, at=now, message=message)
        await self._publications.publish(
            Publication(conversation=conversation, contact_key=self._key, route=route, events=[event])
        )


@asynccontextmanager
async def _product(environment: dict[str, str]) -> AsyncIterator[Server]:
    settings = load_settings(
        database={"url": environment["GATEWAY_DATABASE__URL"]},
        redis={"url": environment["GATEWAY_REDIS__URL"]},
        security={"jwt_secret": environment["GATEWAY_SECURITY__JWT_SECRET"]},
    )
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    database, redis = Database(settings.database), open_redis(settings.redis)
    api = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "cli", "api", env={**environment, **SERVED, "GATEWAY_SERVER__PORT": str(port)}
    )
    try:
        await _healthy(port)
        await database.migrate()
        token = await _token(settings, Sessions(database, redis, settings.session))
        teller = Teller(Publications(database, LiveStream(redis)), environment["GATEWAY_SECURITY__IDENTITY_SECRET"])

        async def join(listener: Listener) -> None:
            await join_staff(listener, token, HOTEL)

        yield await _open(api.pid, port, "/ws", join, teller.tell)
    finally:
        api.terminate()
        await api.wait()
        await redis.aclose()
        await database.close()


async def _healthy(port: int) -> None:
    wire = Connections(port)
    async with asyncio.timeout(60):
        while True:
            try:
                await wire.request("GET", "/healthz")
                break
            except ConnectionError:
                await asyncio.sleep(0.1)
    wire.close()


async def _token(settings: Settings, sessions: Sessions) -> str:
    staff = Staff(id=str(uuid.uuid4()), email="desk@bench.test", name="Desk", role="agent", properties=[HOTEL])
    now = datetime.now(UTC)
    ends_at = datetime.fromtimestamp(time.time() + settings.session.ttl, UTC)
    session_id = uuid.uuid4().hex
    lease = await sessions.open(session_id, ends_at)
    claims = Claims.of(staff, session_id=session_id, started_at=now, ends_at=ends_at, recorded=lease.recorded)
    return Tokens(SigningKeys.from_settings(settings.security)).sign(claims)


# --- bare ------------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _bare(padding: int) -> AsyncIterator[Server]:
    """Runs the bare server. Texts are padded to the size of the product's frames."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bench.bare_sockets", stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        line = (await child.stdout.readline()).decode()
        assert line.startswith(READY), line
        port = int(line.split()[-1])

        async def join(listener: Listener) -> None:
            return None

        speaker = (await listen(port, "/", 1, join))[0]

        async def tell(text: str) -> None:
            speaker.send(text.ljust(padding, "."))

        yield await _open(child.pid, port, "/", join, tell)
        speaker.close()
    finally:
        child.terminate()
        await child.wait()


# --- both ------------------------------------------------------------------------------------------------------------


async def sockets_against_bare(environment: dict[str, str]) -> list[Line]:
    """Compares the memory per socket, and the time until an event has reached all sockets, with the bare server's."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(OPEN_FILES, most), most))
    async with _product(environment) as product, _bare(padding=FRAME_BYTES) as bare:
        for server in (product, bare):
            await server.measure(WARM_UP)
        for _ in range(ROUNDS):
            for server in (product, bare):
                server.figures.seconds += await server.measure(EVENTS)
        for listener in (*product.listeners, *bare.listeners):
            listener.close()
    ours, theirs = product.figures, bare.figures
    p50, bare_p50 = statistics.median(ours.seconds), statistics.median(theirs.seconds)
    p95, bare_p95 = (statistics.quantiles(each.seconds, n=20)[-1] for each in (ours, theirs))
    return [
        Line.ratio(f"{SOCKETS} sockets: an event at all, p50", p50, bare_p50, "ms", at_most=TOLERATED),
        Line.ratio(f"{SOCKETS} sockets: an event at all, p95", p95, bare_p95, "ms"),
        Line.ratio(
            f"{SOCKETS} sockets: memory of each",
            ours.bytes_per_socket / 1024,
            theirs.bytes_per_socket / 1024,
            "KiB",
            at_most=TOLERATED,
        ),
    ]


async def main() -> str:
    folder = Path(tempfile.mkdtemp(prefix="gateway-bench-"))
    nothing_set = folder / "gateway.yaml"
    nothing_set.write_text("gateway: {}")
    async with PostgresServer(folder / "postgres") as postgres, RedisServer(folder / "redis") as redis:
        environment = {
            **os.environ,
            "GATEWAY_CONFIG": str(nothing_set),
            "GATEWAY_TEMPORAL__ADDRESS": "127.0.0.1:9",
            "GATEWAY_TEMPORAL__CODEC_KEYS": json.dumps({"dev": base64.b64encode(os.urandom(32)).decode()}),
            "GATEWAY_DATABASE__URL": postgres.url,
            "GATEWAY_REDIS__URL": redis.url,
            "GATEWAY_SERVER__HOST": "127.0.0.1",
            "GATEWAY_PROPERTIES": json.dumps({HOTEL: {"name": "Bench"}}),
            "GATEWAY_SECURITY__IDENTITY_SECRET": "bench identity",
            "GATEWAY_SECURITY__JWT_SECRET": "a bench secret of thirty-two bytes and more",
        }
        return report(await sockets_against_bare(environment))


if __name__ == "__main__":
    print(uvloop.run(main()))
