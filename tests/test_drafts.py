"""Drafts for people and returns to the AI, on a real Temporal server."""

import pytest

from contracts.conversations import Conversation, ConversationState
from contracts.messages import Author
from tests.fakes.ai import FakeAI, confident
from tests.support import ANA, Guest, Stack, asked, command, eventually, reply, workers

pytestmark = pytest.mark.usefixtures("held_to_the_rules")


@pytest.fixture
def drafting(stack: Stack) -> None:
    """The AI of the hotel only drafts."""
    stack.settings.properties[stack.hotel].autonomy = "draft"


async def _draft(guest: Guest, content: str) -> Conversation:
    return await guest.reaches(lambda each: each.draft is not None and each.draft.content == content, content)


async def test_each_message_gets_a_draft_until_somebody_answers(
    drafting: None, working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    assert (await guest.ask("When is breakfast?")).outcome == "handed"
    await guest.write("And dinner?")
    conversation = await _draft(guest, "Answer to When is breakfast? + And dinner?")
    draft = conversation.draft
    assert draft is not None
    await stack.conversations.reply(reply(conversation, "").model_copy(update={"draft_id": draft.id}))
    assert (await guest.conversation()).draft is None
    await guest.write("Is there parking?")
    conversation = await _draft(guest, "Answer to Is there parking?")
    assert (conversation.state, conversation.assigned_to) == (ConversationState.ESCALATED, ANA.id)
    assert len(ai.requests) == 3
    said = [each.author for each in await guest.messages()]
    assert said.count(Author.AI) == 0


async def test_a_burst_costs_one_answer(drafting: None, stack: Stack, guest: Guest, ai: FakeAI) -> None:
    stack.settings.conversation.debounce = dict.fromkeys(stack.settings.conversation.debounce, 300)
    async with workers(stack.settings, stack.client):
        await guest.ask("When is breakfast?")
        for text in ("One", "Two", "Three"):
            await guest.write(text)
        await _draft(guest, "Answer to When is breakfast? + One + Two + Three")
        assert await _answers(guest) == 2


async def test_a_person_who_answers_first_makes_a_draft_needless(
    drafting: None, working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    await guest.ask("When is breakfast?")
    ai.hold()
    await guest.write("And dinner?")
    await asked(ai, 2)
    await stack.conversations.reply(reply(await guest.conversation(), "At seven, and dinner at eight."))
    ai.let_go()
    await guest.write("Is there parking?")
    await _draft(guest, "Answer to Is there parking?")


async def test_a_return_while_a_draft_is_written_is_a_turn(
    drafting: None, working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    await guest.ask("When is breakfast?")
    ai.hold()
    await guest.write("And dinner?")
    await asked(ai, 2)
    await stack.conversations.return_to_ai(command(await guest.conversation()))
    ai.let_go()
    conversation = await _draft(guest, "Answer to When is breakfast? + And dinner?")
    assert conversation.escalation is not None
    assert conversation.escalation.reason.startswith("Handed over again: Staff must approve")


async def test_an_engine_that_fails_leaves_the_person_without_a_draft(
    drafting: None, working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    await guest.ask("When is breakfast?")
    ai.status = 400
    await guest.write("And dinner?")
    await asked(ai, 2)
    ai.status = 200
    await guest.write("Is there parking?")
    conversation = await _draft(guest, "Answer to When is breakfast? + And dinner? + Is there parking?")
    assert not conversation.needs_review


async def test_what_the_ai_was_unsure_of_it_may_try_again_after_a_return(
    working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    ai.respond = ai.doubtful
    assert (await guest.ask("When is breakfast?")).outcome == "handed"
    ai.respond = confident
    await stack.conversations.return_to_ai(command(await guest.conversation()))

    async def answered() -> bool:
        return [each.outcome for each in (await guest.outcomes()).values()] == ["answered"]

    await eventually(answered, what="the answer")
    assert ai.requests[-1].context.handoffs[-1].ended_at is not None
    said = [each.content for each in await guest.messages() if each.author is Author.AI]
    assert said == ["Answer to When is breakfast?"]


async def _answers(guest: Guest) -> int:
    """How often the conversation asked the AI."""
    started = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in (await guest.handle.fetch_history()).events
    ]
    return started.count("answer")
