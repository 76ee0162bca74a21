"""Messages as large as they may be: Temporal takes 2 MB at once, and a conversation with more would stand still."""

import json
import random
from datetime import UTC, datetime

import pytest

from activities.channels.messages import parse
from activities.storage.database import Database
from contracts.messages import Attachment, Template
from contracts.names import GUEST_CONTENT_LIMIT
from contracts.problems import Invalid
from embedded import PostgresServer
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.support import Guest, Stack, command, eventually, reply, workers

FIRST, LAST = 0x20000, 0x2A6DF
"""Characters of four bytes, which random text of cannot be compressed much."""


def _text(length: int, seed: int) -> str:
    chance = random.Random(seed)
    return "".join(chr(chance.randint(FIRST, LAST)) for _ in range(length))


def _largest(seed: int) -> str:
    return _text(GUEST_CONTENT_LIMIT, seed)


def _largest_attachment(seed: int) -> Attachment:
    text = _text(2048, seed)
    return Attachment(id=text[:256], name=text[256:512], content_type=text[512:768], url=text)


async def _failed_tasks(guest: Guest) -> int:
    history = await guest.handle.fetch_history()
    return sum(event.HasField("workflow_task_failed_event_attributes") for event in history.events)


@pytest.mark.usefixtures("held_to_the_rules")
async def test_many_that_a_person_has_go_on_in_new_runs(stack: Stack, ai: FakeAI) -> None:
    stack.settings.conversation.history_limit = 40
    guest = stack.guest()
    ai.respond = ai.doubtful
    async with workers(stack.settings, stack.client):
        for number in range(25):
            assert (await guest.ask(_largest(number))).outcome == "handed"
        runs = [each async for each in stack.client.list_workflows(f"WorkflowId = '{guest.handle.id}'")]
        assert len(runs) > 1
        assert await _failed_tasks(guest) == 0


@pytest.mark.long
@pytest.mark.usefixtures("held_to_the_rules")
async def test_many_with_all_the_files_and_gaps_that_they_may_have_go_on_too(
    stack: Stack, ai: FakeAI, callback: FakeCallback
) -> None:
    stack.settings.conversation.history_limit = 40
    guest = stack.guest(adapter="messages", channel_type="sms")
    async with workers(stack.settings, stack.client):
        await guest.ask("Hello?")
        conversation = await guest.conversation()
        for number in range(25):
            files = [_largest_attachment(20 * number + each) for each in range(20)]
            template = Template(name="welcome", parameters=[_text(1024, number) for _ in range(50)])
            said = reply(conversation, "Here they are").model_copy(update={"attachments": files, "template": template})
            await stack.conversations.reply(said)
        await stack.conversations.return_to_ai(command(conversation))
        for number in range(8):  # until it has gone on, however many of those commands came in one task
            assert (await guest.ask(f"And what of {number}?")).outcome in ("answered", "handed")
        await stack.stored(await guest.conversation())
        runs = [each async for each in stack.client.list_workflows(f"WorkflowId = '{guest.handle.id}'")]
        assert len(runs) > 1
        assert await _failed_tasks(guest) == 0
        assert len(callback.received) >= 26
        assert all(len(each.attachments) == 20 for each in callback.received.values() if each.template is not None)


@pytest.mark.usefixtures("held_to_the_rules")
async def test_many_while_storage_is_away_wait_for_it(
    tmp_path_factory: pytest.TempPathFactory, stack: Stack, ai: FakeAI
) -> None:
    stack.settings.conversation.history_limit = 40
    async with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        stack.settings.database.url = server.url
        stack.database = Database(stack.settings.database)
        await stack.database.migrate()
        guest = stack.guest()
        async with workers(stack.settings, stack.client):
            await guest.ask("Hello?")
            await server.kill()
            written = [await guest.write(_largest(number)) for number in range(40)]
            for message_id in written:
                assert (await guest.outcome(message_id)).outcome in ("answered", "handed")
            assert await _failed_tasks(guest) == 0
            await server.start()

            async def all_stored() -> bool:
                rows = await stack.rows("SELECT count(*) AS n FROM messages WHERE author = 'guest'")
                return rows[0]["n"] == 41

            await eventually(all_stored, what="every message in storage")
            assert (await guest.ask("Are you there?")).outcome in ("answered", "handed")
        await stack.database.close()


async def test_one_that_no_adapter_has_looked_at_is_cut(working: None, stack: Stack, ai: FakeAI) -> None:
    guest = stack.guest()
    assert (await guest.ask("x" * (GUEST_CONTENT_LIMIT + 1))).outcome in ("answered", "handed")
    await stack.stored(await guest.conversation())
    rows = await stack.rows(
        "SELECT length(content) AS characters FROM messages WHERE contact_key = :key AND author = 'guest'",
        key=guest.contact_key,
    )
    assert rows == [{"characters": GUEST_CONTENT_LIMIT}]


def test_one_that_is_larger_is_refused_by_what_it_may_have() -> None:
    now = datetime.now(UTC)
    _, message = parse(_body("x" * GUEST_CONTENT_LIMIT), now)
    assert len(message.content) == GUEST_CONTENT_LIMIT
    with pytest.raises(Invalid, match=f"content: must have at most {GUEST_CONTENT_LIMIT} characters, not 16001"):
        parse(_body("x" * (GUEST_CONTENT_LIMIT + 1)), now)


def _body(content: str) -> bytes:
    message = {"channelId": "desk", "channelType": "sms", "senderId": "1", "content": content}
    return json.dumps({**message, "timestamp": "2026-11-01T10:00:00Z"}).encode()
