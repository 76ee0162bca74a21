"""Conversations while channels, storage or workers fail, or an operator steps in.

`python -m tests.replay.record` runs these as tests; the suite itself collects only `test_*.py`.
"""

import pytest

from activities.storage.database import Database
from contracts.commands import DeliveryFailure, Redeliver
from contracts.conversations import ConversationState
from contracts.messages import Author
from embedded import PostgresServer
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.replay.store import keep
from tests.replay.waiting import has_left, settled
from tests.support import ANA, Guest, Stack, asked, command, eventually, workers


async def test_a_channel_that_heals(texting: Guest, stack: Stack, working: None, callback: FakeCallback) -> None:
    callback.status = lambda message: 503 if len(callback.attempts) < 3 else 200
    await texting.ask("When is breakfast?")

    async def received() -> bool:
        return bool(callback.received)

    await eventually(received, what="the reply")
    await settled(stack, texting)


async def test_a_channel_that_refuses_for_good(
    texting: Guest, stack: Stack, working: None, callback: FakeCallback
) -> None:
    callback.status = lambda message: 404
    await texting.write("When is breakfast?")
    conversation = await texting.reaches(lambda each: each.state is ConversationState.ESCALATED, "a person")
    lost = next(each for each in await texting.messages() if each.author is Author.AI)
    callback.status = lambda message: 200
    again = Redeliver(
        conversation_id=conversation.conversation_id, by=ANA, message_id=lost.id, copy_id=f"{lost.id}-again"
    )
    await stack.conversations.redeliver(again)
    await settled(stack, texting)


async def test_a_claim_recalls_what_is_tried_again(
    texting: Guest, stack: Stack, working: None, callback: FakeCallback
) -> None:
    callback.status = lambda message: 503
    await texting.write("When is breakfast?")

    async def tried_twice() -> bool:
        return len(callback.attempts) >= 2

    await eventually(tried_twice, what="two attempts to send")
    await stack.conversations.claim(command(await texting.conversation()))
    await texting.reaches(lambda each: each.draft is not None, "the reply kept as a draft")
    await settled(stack, texting)


async def test_a_message_that_a_provider_lost(texting: Guest, stack: Stack, working: None) -> None:
    await texting.ask("When is breakfast?")
    message_id = await has_left(texting)
    conversation_id = (await texting.conversation()).conversation_id
    failure = DeliveryFailure(conversation_id=conversation_id, message_id=message_id, reason="number unknown")
    await stack.conversations.delivery_failed(failure)
    await texting.reaches(lambda each: each.state is ConversationState.ESCALATED, "a person")
    await settled(stack, texting)


async def test_storage_away(
    request: pytest.FixtureRequest,
    scene: Guest,
    stack: Stack,
    ai: FakeAI,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        stack.settings.database.url = server.url
        stack.database = Database(stack.settings.database)
        await stack.database.migrate()
        async with workers(stack.settings, stack.client):
            await scene.ask("Before")
            await server.kill()
            assert (await scene.ask("Meanwhile")).outcome == "answered"
            other = stack.guest()
            assert (await other.ask("Hello?")).outcome == "answered"
            await server.start()
            for guest in (scene, other):
                await settled(stack, guest)
            await keep(f"{request.node.name}_from_the_beginning", stack.client, other.handle.id)
        await stack.database.close()


async def test_an_operators_cancel(scene: Guest, stack: Stack, working: None, ai: FakeAI) -> None:
    await scene.ask("Hello?")
    ai.hold()
    await scene.write("When is breakfast?")
    await asked(ai, 2)
    await scene.handle.cancel()
    await scene.handle.result()


async def test_no_worker_for_a_while(scene: Guest, stack: Stack, ai: FakeAI) -> None:
    async with workers(stack.settings, stack.client):
        await scene.ask("Hello?")
    written = [await scene.write(f"Question {number}") for number in range(3)]
    async with workers(stack.settings, stack.client):
        for each in written:
            await scene.outcome(each)
        await settled(stack, scene)
