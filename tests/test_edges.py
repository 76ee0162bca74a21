"""Things that rarely meet, on a real Temporal server: each of them once lost, repeated or stopped something."""

import pytest
from sqlalchemy import text

from activities.storage.database import Database
from contracts.conversations import ConversationState
from contracts.messages import Author
from embedded import PostgresServer
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.support import Guest, Stack, asked, command, workers
from workflows.turn import RESTARTS_OF_A_TURN

pytestmark = pytest.mark.usefixtures("held_to_the_rules")


async def test_a_wish_for_a_person_right_behind_an_answer(working: None, guest: Guest, ai: FakeAI) -> None:
    """The answer's sending is taken back in the same moment in which it was begun."""
    ai.hold()
    written = []
    for number in range(1 + RESTARTS_OF_A_TURN):
        written.append(await guest.write(f"Question {number}"))
        await asked(ai, number + 1)
    written.append(await guest.write("I want to speak to a person"))
    await guest.reaches(lambda each: each.unread == len(written), "the conversation to take the last message in")
    ai.let_go()
    for message_id in written:
        assert (await guest.outcome(message_id)).outcome in ("answered", "handed")
    conversation = await guest.reaches(lambda each: each.state is ConversationState.ESCALATED, "a person")
    await guest.stack.stored(conversation)


async def test_resolving_over_an_unanswered_message_opens_again(
    working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    await guest.ask("Hello?")
    ai.hold()
    question = await guest.write("When is breakfast?")
    await asked(ai, 2)
    resolved = await stack.conversations.resolve(command(await guest.conversation()))
    assert resolved.state is ConversationState.ACTIVE
    ai.let_go()
    assert (await guest.outcome(question)).outcome == "answered"
    await stack.stored(await guest.conversation())
    changes = await stack.rows(
        "SELECT payload->>'change' AS change FROM log WHERE contact_key = :key AND type = 'conversation_update'"
        " ORDER BY position",
        key=guest.contact_key,
    )
    assert [row["change"] for row in changes] == ["started", "resolved", "reopened"]


async def test_a_turn_does_not_wait_behind_one_that_was_taken_away(
    working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    await guest.ask("Hello?")
    ai.hold()
    older = await guest.write("When is breakfast?")
    await asked(ai, 2)
    conversation = await guest.conversation()
    await stack.conversations.claim(command(conversation))
    await stack.conversations.return_to_ai(command(conversation))
    newer = await guest.write("And dinner?")
    await asked(ai, 3)
    # What the person had and left is the AI's again, together with what came since.
    assert ai.requests[-1].context.turn_message_ids == [older, newer]
    ai.let_go()
    assert (await guest.outcome(newer)).outcome == "answered"


async def test_an_operators_cancel_hands_over_what_is_unanswered(
    working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    await guest.ask("Hello?")
    ai.hold()
    question = await guest.write("When is breakfast?")
    await asked(ai, 2)
    await guest.handle.cancel()
    await guest.handle.result()
    assert (await guest.outcomes())[question].outcome == "handed"
    rows = await stack.rows("SELECT state FROM conversations WHERE contact_key = :key", key=guest.contact_key)
    assert rows == [{"state": "resolved"}]
    told = await stack.rows("SELECT kind FROM notifications WHERE property_id = :id", id=stack.hotel)
    assert told == [{"kind": "system"}]


async def test_a_database_that_only_reads_repeats_nothing(
    tmp_path_factory: pytest.TempPathFactory, stack: Stack, ai: FakeAI, callback: FakeCallback
) -> None:
    async with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        stack.settings.database.url = server.url
        stack.database = Database(stack.settings.database)
        await stack.database.migrate()
        guest = stack.guest(adapter="messages", channel_type="sms")
        async with workers(stack.settings, stack.client):
            await guest.ask("Before")
            await stack.stored(await guest.conversation())
            await _read_only(stack, "on")
            for number in range(3):
                assert (await guest.ask(f"Meanwhile {number}")).outcome == "answered"
            await _read_only(stack, "off")
            await guest.ask("Afterwards")
            await stack.stored(await guest.conversation())
        assert len(callback.attempts) == len(callback.received) == 5
        rows = await stack.rows(
            "SELECT delivery_state FROM messages WHERE contact_key = :key AND author = :ai",
            key=guest.contact_key,
            ai=Author.AI.value,
        )
        assert [row["delivery_state"] for row in rows] == ["sent"] * 5
        await stack.database.close()


async def _read_only(stack: Stack, setting: str) -> None:
    """As after a failover to a standby; open connections are cut."""
    async with stack.database.begin() as connection:
        await connection.execute(text("SET TRANSACTION READ WRITE"))
        await connection.execute(text(f"ALTER DATABASE postgres SET default_transaction_read_only = {setting}"))
    async with stack.database.begin() as connection:
        others = "datname = 'postgres' AND pid <> pg_backend_pid()"
        await connection.execute(text(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}"))
