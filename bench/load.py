"""Generates load and measures it: conversations that write, wait for the answer and write again, or a fixed rate."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypedDict

from bench.zero import sentence

ANSWER_SECONDS = 60
"""How long a message may wait for its answer."""

Write = Callable[[int, str, str], Awaitable[None]]
"""Sends a message, given the conversation's number, the message's id and its text. Returns once acknowledged."""


class Conversing(TypedDict, total=False):
    conversations: int
    messages: int
    pause: float


class Pace(TypedDict):
    per_second: int
    seconds: int
    senders: int


class Arrivals:
    """Records when answers arrive, by the id of the message that they answer."""

    def __init__(self) -> None:
        self._waiting: dict[str, asyncio.Future[float]] = {}

    def expect(self, message_id: str) -> asyncio.Future[float]:
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._waiting[message_id] = future
        return future

    def arrived(self, message_id: str) -> None:
        future = self._waiting.pop(message_id, None)
        if future is not None and not future.done():
            future.set_result(time.perf_counter())


@dataclass
class Figures:
    """Times in seconds: until each reply, until each acknowledgement, and in all."""

    replies: list[float] = field(default_factory=list)
    acknowledgements: list[float] = field(default_factory=list)
    elapsed: float = 0.0

    @property
    def p50(self) -> float:
        return statistics.median(self.replies)

    @property
    def p95(self) -> float:
        return statistics.quantiles(self.replies, n=20)[-1]

    @property
    def ack(self) -> float:
        return statistics.median(self.acknowledgements)

    @property
    def ack_p99(self) -> float:
        return statistics.quantiles(self.acknowledgements, n=100)[-1]

    @property
    def per_second(self) -> float:
        return len(self.replies) / self.elapsed

    def __add__(self, other: "Figures") -> "Figures":
        return Figures(
            self.replies + other.replies, self.acknowledgements + other.acknowledgements, self.elapsed + other.elapsed
        )


async def converse(
    name: str, write: Write, arrivals: Arrivals, *, conversations: int = 1, messages: int = 1, pause: float = 0.0
) -> Figures:
    """Runs many conversations at once. Each writes one message at a time, `pause` seconds after the last answer."""
    figures = Figures()

    async def one(conversation: int) -> None:
        for number in range(messages):
            message_id = f"{name}-{conversation}-{number}"
            answer = arrivals.expect(message_id)
            begun = time.perf_counter()
            await write(conversation, message_id, sentence(message_id))
            figures.acknowledgements.append(time.perf_counter() - begun)
            figures.replies.append(await asyncio.wait_for(answer, ANSWER_SECONDS) - begun)
            if pause:
                await asyncio.sleep(pause)

    begun = time.perf_counter()
    await asyncio.gather(*(one(conversation) for conversation in range(conversations)))
    figures.elapsed = time.perf_counter() - begun
    return figures


async def arrive(
    name: str, write: Write, arrivals: Arrivals, *, per_second: int, seconds: int, senders: int
) -> Figures:
    """Sends messages at a fixed rate, without waiting for earlier ones. Ends once all are answered."""
    figures = Figures()

    async def one(number: int) -> None:
        message_id = f"{name}-{number}"
        answer = arrivals.expect(message_id)
        begun = time.perf_counter()
        await write(number % senders, message_id, sentence(message_id))
        figures.acknowledgements.append(time.perf_counter() - begun)
        figures.replies.append(await asyncio.wait_for(answer, ANSWER_SECONDS) - begun)

    loop = asyncio.get_running_loop()
    first = loop.time()
    async with asyncio.TaskGroup() as messages:
        for number in range(per_second * seconds):
            await asyncio.sleep(first + number / per_second - loop.time())
            messages.create_task(one(number))
    figures.elapsed = loop.time() - first
    return figures
