"""A conversation that goes on in run after run, while guests and staff hammer it, loses and repeats nothing."""

import asyncio
import uuid
from collections import Counter
from datetime import timedelta

import pytest
from temporalio.client import WorkflowExecutionStatus

from contracts.messages import Author
from contracts.names import workflow_id
from contracts.problems import OutcomeUnknown
from tests.fakes.ai import FakeAI
from tests.support import Stack, eventually, reply, workers

pytestmark = pytest.mark.usefixtures("held_to_the_rules")

SIGNALS = 500
UPDATES = 200
AT_ONCE = 10


async def test_every_id_is_accounted_for_over_many_runs(stack: Stack, ai: FakeAI) -> None:
    stack.settings.conversation.history_limit = 40
    guest = stack.guest()
    gate = asyncio.Semaphore(AT_ONCE)
    written: list[str] = []
    noted: list[str] = []

    async def write(number: int) -> None:
        async with gate:
            written.append(await guest.write(f"Message {number}"))

    async def note(number: int) -> None:
        async with gate:
            command = reply(conversation, f"Note {number}", private=True, id=f"note-{number}-{uuid.uuid4().hex[:8]}")
            try:
                message = await stack.conversations.reply(command)
            except OutcomeUnknown:
                message = await stack.conversations.reply(command)  # as a client should: the same id again
            noted.append(message.id)

    async with workers(stack.settings, stack.client):
        await guest.ask("Hello?")
        conversation = await guest.conversation()
        work = [write(number) for number in range(SIGNALS)]
        for number in range(UPDATES):
            work.insert(number * 3, note(number))
        await asyncio.gather(*work)

        async def settled() -> bool:
            rows = await stack.rows(
                "SELECT count(*) AS n FROM outcomes WHERE conversation_id = :id", id=conversation.conversation_id
            )
            return rows[0]["n"] == SIGNALS + 1

        await eventually(settled, what="an outcome of every message", seconds=120)
        await stack.stored(await guest.conversation())

    rows = await stack.rows(
        "SELECT id, author, seq FROM messages WHERE conversation_id = :id ORDER BY seq", id=conversation.conversation_id
    )
    by_author = {author: [row["id"] for row in rows if row["author"] == author] for author in Author}
    assert Counter(by_author[Author.GUEST][1:]) == Counter(written)
    assert Counter(by_author[Author.STAFF]) == Counter(noted)
    outcomes = await stack.rows(
        "SELECT message_id, outcome, reply_id FROM outcomes WHERE conversation_id = :id",
        id=conversation.conversation_id,
    )
    assert {row["message_id"] for row in outcomes} == set(by_author[Author.GUEST])
    assert {row["outcome"] for row in outcomes} == {"answered"}
    assert {row["reply_id"] for row in outcomes} == set(by_author[Author.AI])
    log = await stack.rows(
        "SELECT seq FROM log WHERE conversation_id = :id AND NOT repeats ORDER BY position",
        id=conversation.conversation_id,
    )
    assert [row["seq"] for row in log] == list(range(1, len(log) + 1))
    runs = [each async for each in stack.client.list_workflows(f"WorkflowId = '{workflow_id(guest.contact_key)}'")]
    assert sum(run.status is WorkflowExecutionStatus.CONTINUED_AS_NEW for run in runs) >= 10
    assert {run.execution_time - run.start_time for run in runs if run.execution_time} == {timedelta(0)}, "none waited"
