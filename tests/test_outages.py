"""What fails under a running conversation stops nothing, and afterwards storage says what the workflows say."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from activities.storage.database import Database
from contracts.conversations import ConversationState
from contracts.messages import Author
from contracts.problems import Resolved
from embedded import PostgresServer, RedisServer
from tests.fakes.ai import FakeAI
from tests.support import Guest, Stack, command, eventually, reply, workers

GUESTS = 5


@pytest.fixture
async def own_postgres(tmp_path_factory: pytest.TempPathFactory, stack: Stack) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL of this test alone, which it may stop."""
    async with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        stack.settings.database.url = server.url
        stack.database = Database(stack.settings.database)
        await stack.database.migrate()
        yield server
        await stack.database.close()


async def _same_as_workflow(stack: Stack, guest: Guest) -> None:
    """Storage has every event once, in order, and the newest snapshot."""
    conversation = await guest.conversation()
    await stack.stored(conversation)
    log = await stack.rows(
        "SELECT seq FROM log WHERE conversation_id = :id AND NOT repeats ORDER BY position",
        id=conversation.conversation_id,
    )
    assert [row["seq"] for row in log] == list(range(1, conversation.seq + 1))
    rows = await stack.rows(
        "SELECT state, assigned_to, seq FROM conversations WHERE id = :id", id=conversation.conversation_id
    )
    assert rows == [
        {"state": conversation.state.value, "assigned_to": conversation.assigned_to, "seq": conversation.seq}
    ]
    stored = await stack.rows(
        "SELECT id, seq, delivery_state FROM messages WHERE conversation_id = :id ORDER BY seq DESC LIMIT 20",
        id=conversation.conversation_id,
    )
    told = [
        {"id": each.id, "seq": each.seq, "delivery_state": each.delivery.state.value}
        for each in reversed(await guest.messages())
    ]
    assert stored == told
    outcomes = await stack.rows(
        "SELECT message_id, outcome, reply_id FROM outcomes WHERE conversation_id = :id",
        id=conversation.conversation_id,
    )
    kept = {each.message_id: (each.outcome, each.reply_id) for each in (await guest.outcomes()).values()}
    assert {row["message_id"]: (row["outcome"], row["reply_id"]) for row in outcomes} == kept


async def test_postgresql_away_under_load(own_postgres: PostgresServer, stack: Stack, ai: FakeAI) -> None:
    await _outage(own_postgres, stack, messages_meanwhile=6)


@pytest.mark.long
async def test_postgresql_away_for_a_minute_under_load(own_postgres: PostgresServer, stack: Stack, ai: FakeAI) -> None:
    await _outage(own_postgres, stack, messages_meanwhile=15, pause=4)


async def _outage(postgres: PostgresServer, stack: Stack, *, messages_meanwhile: int, pause: float = 0) -> None:
    guests = [stack.guest() for _ in range(GUESTS)]
    async with workers(stack.settings, stack.client):
        await asyncio.gather(*(guest.ask("Before") for guest in guests))
        await postgres.kill()
        for number in range(messages_meanwhile):
            outcomes = await asyncio.gather(*(guest.ask(f"Meanwhile {number}") for guest in guests))
            assert {outcome.outcome for outcome in outcomes} == {"answered"}
            await asyncio.sleep(pause)
        conversation = await guests[0].conversation()
        await stack.conversations.reply(reply(conversation, "A person, meanwhile"))
        newcomer = stack.guest()
        assert (await newcomer.ask("I am new here")).outcome == "answered"
        await postgres.start()
        await asyncio.gather(*(guest.ask("Afterwards") for guest in guests[1:]))
        for guest in [*guests, newcomer]:
            await _same_as_workflow(stack, guest)
        assert (await guests[0].conversation()).state is ConversationState.ESCALATED


async def test_redis_away_stops_nothing(tmp_path_factory: pytest.TempPathFactory, stack: Stack, ai: FakeAI) -> None:
    async with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        stack.settings.redis.url = server.url
        guest = stack.guest()
        async with workers(stack.settings, stack.client):
            await guest.ask("Before")
            await server.kill()
            assert (await guest.ask("Meanwhile")).outcome == "answered"
            await _same_as_workflow(stack, guest)


async def test_a_resolve_racing_a_message_leaves_one_truth(stack: Stack, ai: FakeAI) -> None:
    """200 times at once: whoever comes first, every message has an outcome and storage has every `seq`."""
    gate = asyncio.Semaphore(10)

    async def race(number: int) -> None:
        async with gate:
            guest = stack.guest()
            await guest.ask("Hello?")
            conversation = await guest.conversation()
            racing = f"racing-{number}"

            async def resolve() -> None:
                try:
                    await stack.conversations.resolve(command(conversation))
                except Resolved:
                    return

            await asyncio.gather(resolve(), guest.write("One more thing", message_id=racing))

            async def outcome() -> bool:
                rows = await stack.rows(
                    "SELECT 1 AS found FROM outcomes o JOIN conversations c ON c.id = o.conversation_id"
                    " WHERE o.message_id = :id AND c.contact_key = :key",
                    id=racing,
                    key=guest.contact_key,
                )
                return bool(rows)

            await eventually(outcome, what="an outcome of the racing message")
            rows = await stack.rows(
                "SELECT id, state, seq FROM conversations WHERE contact_key = :key", key=guest.contact_key
            )
            for row in rows:
                log = await stack.rows(
                    "SELECT seq FROM log WHERE conversation_id = :id AND NOT repeats ORDER BY position", id=row["id"]
                )
                assert [each["seq"] for each in log] == list(range(1, int(str(row["seq"])) + 1))
            newest = await guest.conversation()
            await stack.stored(newest)
            assert newest.conversation_id in {row["id"] for row in rows}
            answers = await stack.rows(
                "SELECT count(*) AS n FROM messages WHERE contact_key = :key AND author = :ai",
                key=guest.contact_key,
                ai=Author.AI.value,
            )
            assert answers[0]["n"] in (1, 2)

    async with workers(stack.settings, stack.client):
        await asyncio.gather(*(race(number) for number in range(200)))
