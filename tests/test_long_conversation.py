"""A conversation of thousands of messages, over many runs: order, state and the size of every run's history."""

import functools
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from temporalio.client import WorkflowExecutionStatus
from temporalio.worker import Worker

import activities.ai
import worker
from contracts.conversations import Conversation
from contracts.messages import Author
from contracts.problems import OutcomeUnknown
from tests.histories import check_all
from tests.questions import ASIDES, QUESTIONS
from tests.support import ANA, BEN, Guest, Stack, command, eventually, reply, workers

KNOWLEDGE = Path(activities.ai.__file__).parent / "properties" / "seaview"
TEXTS = [f"{question}{aside}" for aside in ASIDES for question, _ in QUESTIONS]
EVENTS_A_RUN = 512
NOTE_EVERY, CLAIM_EVERY, LOOK_EVERY = 10, 25, 5
COLD_LOOKS = 20
ATTEMPTS = 5


@pytest.fixture
def answering(stack: Stack) -> Stack:
    """The engine knows the demo hotel, and says the same thing as often as it is asked."""
    here = stack.settings.properties[stack.hotel]
    here.knowledge, here.repeats_to_escalate = str(KNOWLEDGE), 1_000_000
    return stack


async def test_two_hundred_messages(answering: Stack) -> None:
    await _a_long_conversation(answering, 200)


@pytest.mark.long
@pytest.mark.timeout(900)
async def test_two_thousand_messages(answering: Stack) -> None:
    await _a_long_conversation(answering, 2000)


@pytest.mark.long
async def test_four_hundred_messages_while_somebody_looks(answering: Stack) -> None:
    await _a_long_conversation(answering, 400, looking=True)


async def _a_long_conversation(stack: Stack, messages: int, *, looking: bool = False) -> None:
    guest = stack.guest()
    async with workers(stack.settings, stack.client):
        await guest.ask("Hello?")
        conversation = await guest.conversation()
        written, noted, replied = [], [], []
        for number in range(messages):
            written.append(await guest.write(TEXTS[number % len(TEXTS)]))
            if looking and number % LOOK_EVERY == 0:
                await guest.conversation()
            if number % NOTE_EVERY == 0:
                noted.append(await _say(stack, conversation, f"Note {number}", private=True))
            if number % CLAIM_EVERY == 0:
                replied.append(await _takes_over_for_a_moment(stack, conversation, number))

        async def settled() -> bool:
            rows = await stack.rows(
                "SELECT count(*) AS n FROM outcomes WHERE conversation_id = :id", id=conversation.conversation_id
            )
            return rows[0]["n"] == messages + 1

        await eventually(settled, what="an outcome of every message", seconds=300)
        ended = await guest.conversation()
        await stack.stored(ended)
        window = await guest.messages()
    rows = await stack.rows(
        "SELECT id, author, seq FROM messages WHERE conversation_id = :id ORDER BY seq", id=ended.conversation_id
    )
    by_author = {author: [row["id"] for row in rows if row["author"] == author] for author in Author}
    assert by_author[Author.GUEST][1:] == written
    assert set(by_author[Author.STAFF]) == {*noted, *replied}
    assert [row["id"] for row in rows][-len(window) :] == [message.id for message in window]
    stored = await stack.rows(
        "SELECT state, assigned_to, seq FROM conversations WHERE id = :id", id=ended.conversation_id
    )
    assert stored == [{"state": ended.state.value, "assigned_to": ended.assigned_to, "seq": ended.seq}]
    log = await stack.rows(
        "SELECT seq FROM log WHERE conversation_id = :id AND NOT repeats ORDER BY position", id=ended.conversation_id
    )
    assert [row["seq"] for row in log] == list(range(1, ended.seq + 1))
    runs = [each async for each in stack.client.list_workflows(f"WorkflowId = '{guest.handle.id}'")]
    assert sum(run.status is WorkflowExecutionStatus.CONTINUED_AS_NEW for run in runs) >= messages // 100
    lengths = [
        (await stack.client.get_workflow_handle(run.id, run_id=run.run_id).describe()).history_length for run in runs
    ]
    assert max(lengths) <= EVENTS_A_RUN
    assert await check_all(stack.client, stack.hotel) == 1


async def _takes_over_for_a_moment(stack: Stack, conversation: Conversation, number: int) -> str:
    mine = command(conversation, BEN)
    claim, giving_back = uuid.uuid4().hex, uuid.uuid4().hex
    await _again(lambda: stack.conversations.claim(mine, claim))
    said = await _say(stack, conversation, f"Ben here, {number}", private=False)
    await _again(lambda: stack.conversations.return_to_ai(mine, giving_back))
    return said


async def _say(stack: Stack, conversation: Conversation, content: str, *, private: bool) -> str:
    said = reply(conversation, content, ANA if private else BEN, private=private)
    await _again(lambda: stack.conversations.reply(said))
    return said.message_id


async def _again(send: Callable[[], Awaitable[object]]) -> None:
    """As a client should: the same command again where its outcome is unknown."""
    for _ in range(ATTEMPTS):
        try:
            await send()
        except OutcomeUnknown:
            continue
        return
    raise AssertionError(f"a command's outcome was unknown {ATTEMPTS} times")


@pytest.mark.long
async def test_a_conversation_that_nobody_has_cached_is_read_within_a_second(
    answering: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At the length at which a run ends; each look finds the conversation thrown out by a look at the other."""
    guests = [answering.guest(), answering.guest()]
    async with workers(answering.settings, answering.client):
        for guest in guests:
            await guest.ask("Hello?")
            number = 0
            while (await guest.handle.describe()).history_length < answering.settings.conversation.history_limit - 15:
                await guest.ask(TEXTS[number])
                number += 1
        cached = [await _seconds(guests[0]) for _ in range(COLD_LOOKS)]
    monkeypatch.setattr(worker, "Worker", functools.partial(Worker, max_cached_workflows=1))
    async with workers(answering.settings, answering.client):
        cold = [await _seconds(guest) for _ in range(COLD_LOOKS) for guest in guests]
    sys.stdout.write(
        f"cached {1000 * statistics.median(cached):.0f} ms, cold {1000 * statistics.median(cold):.0f} ms\n"
    )
    assert statistics.median(cold) < 1


async def _seconds(guest: Guest) -> float:
    began = time.perf_counter()
    await guest.conversation()
    return time.perf_counter() - began
