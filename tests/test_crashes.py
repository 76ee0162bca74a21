"""A worker process that is killed in the middle of its work: another takes over, nothing is lost or said twice."""

import asyncio
import signal
from collections import Counter

import pytest

from contracts.messages import Author
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.processes import worker_process
from tests.support import Stack, eventually

pytestmark = pytest.mark.usefixtures("held_to_the_rules")

GUESTS = 4
QUESTIONS = [f"Question {number}" for number in range(5)]


async def test_a_killed_worker_loses_and_repeats_nothing(stack: Stack, ai: FakeAI, callback: FakeCallback) -> None:
    stack.settings.routing.ai_timeout = 300_000  # however long the next worker takes to start
    guests = [stack.guest(adapter="messages", channel_type="sms") for _ in range(GUESTS)]
    async with worker_process(stack.settings) as first:
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
    async with worker_process(stack.settings) as second:
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
