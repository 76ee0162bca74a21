"""A worker process that is killed in the middle of its work: another takes over, nothing is lost or said twice."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import worker
from contracts.messages import Author
from settings import Settings
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.support import Stack, eventually

ROOT = Path(worker.__file__).parent
GUESTS = 4
QUESTIONS = [f"Question {number}" for number in range(5)]


def _environment(settings: Settings) -> dict[str, str]:
    keys = {name: key.get_secret_value() for name, key in settings.temporal.codec_keys.items()}
    secret = settings.channels.messages.secret
    return {
        **os.environ,
        "GATEWAY_TEMPORAL__ADDRESS": settings.temporal.address or "",
        "GATEWAY_TEMPORAL__CODEC_KEYS": json.dumps(keys),
        "GATEWAY_TEMPORAL__CODEC_KEY_ID": settings.temporal.codec_key_id,
        "GATEWAY_DATABASE__URL": settings.database.url or "",
        "GATEWAY_REDIS__URL": settings.redis.url or "",
        "GATEWAY_AI__ENGINE": settings.ai.engine,
        "GATEWAY_AI__HTTP__URL": settings.ai.http.url or "",
        "GATEWAY_CHANNELS__MESSAGES__CALLBACK_URL": settings.channels.messages.callback_url or "",
        "GATEWAY_CHANNELS__MESSAGES__SECRET": secret.get_secret_value() if secret else "",
    }


@asynccontextmanager
async def _worker_process(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    """`python worker.py`, from the moment it says that it is ready."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "worker.py", cwd=ROOT, env=_environment(settings), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    async with asyncio.timeout(60):
        async for line in process.stdout:
            if worker.READY in line.decode():
                break
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def test_a_killed_worker_loses_and_repeats_nothing(stack: Stack, ai: FakeAI, callback: FakeCallback) -> None:
    guests = [stack.guest(adapter="messages", channel_type="sms") for _ in range(GUESTS)]
    async with _worker_process(stack.settings) as first:
        for guest in guests:
            await guest.ask("Hello?")
        ai.hold()  # every conversation has a turn in the AI's hands when the process dies
        written = [(guest, await guest.write(question)) for question in QUESTIONS for guest in guests]

        async def asked() -> bool:
            return len(ai.requests) >= 2 * GUESTS

        await eventually(asked, what="the AI to be asked by every conversation")
        first.kill()
        assert await first.wait() == -signal.SIGKILL
    ai.let_go()
    async with _worker_process(stack.settings) as second:
        for guest, message_id in written:
            assert (await guest.outcome(message_id)).outcome == "answered"
        second.terminate()
        assert await asyncio.wait_for(second.wait(), 40) == 0
    answered = Counter(each for reply in callback.received.values() for each in reply.in_reply_to)
    assert {answered[message_id] for _, message_id in written} == {1}
    for guest in guests:
        rows = await stack.rows(
            "SELECT content FROM messages WHERE contact_key = :key AND author = :guest ORDER BY seq",
            key=guest.contact_key,
            guest=Author.GUEST.value,
        )
        assert [row["content"] for row in rows] == ["Hello?", *QUESTIONS]
