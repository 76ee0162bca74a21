"""One conversation at a time, on a real Temporal server, with a remote engine that the test commands."""

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from contracts.ai import Action
from contracts.commands import ChangePolicy
from contracts.conversations import ConversationState
from contracts.messages import Author, DeliveryState
from contracts.problems import HeldByOther, NotFound, OutcomeUnknown, Resolved, WrongState
from contracts.rules import PolicyChanges
from tests.fakes.ai import FakeAI, confident
from tests.fakes.callback import FakeCallback
from tests.support import ANA, BEN, Guest, Stack, asked, command, eventually, reply, workers

pytestmark = pytest.mark.usefixtures("held_to_the_rules")


async def test_a_message_is_answered_once(working: None, stack: Stack, guest: Guest, ai: FakeAI) -> None:
    outcome = await guest.ask("When is breakfast?")
    messages = await guest.messages()
    assert [(each.author, each.content) for each in messages] == [
        (Author.GUEST, "When is breakfast?"),
        (Author.AI, "Answer to When is breakfast?"),
    ]
    assert (outcome.outcome, outcome.reply_id) == ("answered", messages[1].id)
    conversation = await guest.conversation()
    assert (conversation.state, conversation.assigned_to) == (ConversationState.ACTIVE, None)
    assert ai.requests[0].context.turn_message_ids == [messages[0].id]


async def test_storage_holds_what_the_workflow_says(working: None, stack: Stack, guest: Guest) -> None:
    for question in ("One?", "Two?", "Three?"):
        await guest.ask(question)
    conversation, messages = await guest.conversation(), await guest.messages()
    await stack.stored(conversation)
    rows = await stack.rows(
        "SELECT id, seq, author, content, delivery_state FROM messages WHERE conversation_id = :id ORDER BY seq",
        id=conversation.conversation_id,
    )
    told = [(each.id, each.seq, each.author.value, each.content) for each in messages]
    assert [(row["id"], row["seq"], row["author"], row["content"]) for row in rows] == told
    assert {row["delivery_state"] for row in rows if row["author"] == "ai"} == {"sent"}
    outcomes = await stack.rows(
        "SELECT message_id, outcome, reply_id FROM outcomes WHERE conversation_id = :id",
        id=conversation.conversation_id,
    )
    assert {row["message_id"]: row["reply_id"] for row in outcomes} == {
        each.message_id: each.reply_id for each in (await guest.outcomes()).values()
    }


async def test_doubt_hands_over_and_keeps_the_draft(working: None, guest: Guest, ai: FakeAI) -> None:
    ai.respond = ai.doubtful
    outcome = await guest.ask("Is the moon made of cheese?")
    conversation = await guest.conversation()
    assert outcome.outcome == "handed"
    assert "unsure" in outcome.reason
    assert conversation.state is ConversationState.ESCALATED
    assert conversation.escalation is not None
    assert conversation.escalation.reason == outcome.reason
    assert conversation.draft is not None
    assert conversation.draft.content == "Answer to Is the moon made of cheese?"
    told = (await guest.messages())[-1]
    assert (told.id, told.author) == (outcome.reply_id, Author.SYSTEM)


async def test_asking_for_a_person_needs_no_ai(working: None, guest: Guest, ai: FakeAI) -> None:
    outcome = await guest.ask("I want to speak to a person")
    assert outcome.reason == "The guest asked for a person"
    assert ai.requests == []


async def test_a_late_message_is_a_persons(working: None, guest: Guest, ai: FakeAI) -> None:
    written = datetime.now(UTC) - timedelta(days=2)
    outcome = await guest.outcome(await guest.write("Is breakfast still on?", sent_at=written))
    assert (outcome.outcome, ai.requests) == ("handed", [])


async def test_a_failing_ai_gives_the_fallback_and_then_a_person(
    working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    await guest.ask("Hello?")
    ai.status = 500
    first = await guest.ask("Still there?")
    conversation = await guest.conversation()
    assert (conversation.state, conversation.needs_review) == (ConversationState.ACTIVE, True)
    assert (await guest.messages())[-1].id == first.reply_id
    second = await guest.ask("Anybody?")
    conversation = await guest.conversation()
    assert conversation.state is ConversationState.ESCALATED
    assert first.outcome == second.outcome == "handed"
    tries_per_turn = 1 + stack.settings.routing.max_retries
    assert len(ai.requests) == 1 + 2 * tries_per_turn
    assert len(set(ai.turn_ids)) == 3
    await stack.stored(conversation)
    kinds = await stack.rows("SELECT kind FROM notifications WHERE property_id = :id ORDER BY at", id=stack.hotel)
    assert [row["kind"] for row in kinds] == ["ai_timeout", "ai_timeout", "escalation"]


async def test_an_answer_that_comes_after_a_claim_is_a_draft(
    working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    await guest.ask("Hello?")
    ai.hold()
    question = await guest.write("When is breakfast?")
    await asked(ai, 2)
    claimed = await stack.conversations.claim(command(await guest.conversation()))
    assert (claimed.state, claimed.assigned_to) == (ConversationState.ESCALATED, ANA.id)
    ai.let_go()
    conversation = await guest.reaches(lambda each: each.draft is not None, "a draft")
    assert conversation.draft is not None
    assert conversation.draft.content == "Answer to When is breakfast?"
    assert (await guest.outcome(question)).outcome == "handed"
    assert [each.author for each in await guest.messages()] == [Author.GUEST, Author.AI, Author.GUEST]


async def test_the_actions_of_an_overtaken_answer_wait_for_staff(
    working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    towels = Action(id="a-1", type="create_task", params={"department": "housekeeping", "title": "Two more towels"})
    ai.respond = lambda request: confident(request).model_copy(update={"actions": [towels]})
    ai.hold()
    await guest.write("May I have two more towels?")
    await asked(ai, 1)
    await stack.conversations.claim(command(await guest.conversation()))
    ai.let_go()
    conversation = await guest.reaches(lambda each: each.draft is not None, "a draft")
    (action,) = conversation.pending_actions
    assert (action.type, action.params["title"]) == ("create_task", "Two more towels")


async def test_rules_that_change_while_the_ai_thinks_hold_for_its_answer(
    working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    ai.hold()
    question = await guest.write("When is breakfast?")
    await asked(ai, 1)
    rules = PolicyChanges(autonomy="draft")
    conversation_id = (await guest.conversation()).conversation_id
    await stack.conversations.change_policy(ChangePolicy(conversation_id=conversation_id, by=ANA, changes=rules))
    ai.let_go()
    assert (await guest.outcome(question)).outcome == "handed"
    conversation = await guest.conversation()
    assert conversation.draft is not None
    assert conversation.draft.content == "Answer to When is breakfast?"
    assert [each for each in await guest.messages() if each.author is Author.AI] == []


async def test_a_newer_message_is_answered_together_with_the_one_in_thought(
    working: None, guest: Guest, ai: FakeAI
) -> None:
    ai.hold()
    first = await guest.write("When is breakfast?")
    await asked(ai, 1)
    second = await guest.write("And dinner?")
    await asked(ai, 2)
    ai.let_go()
    outcomes = [await guest.outcome(each) for each in (first, second)]
    assert outcomes[0].reply_id == outcomes[1].reply_id
    replies = [each for each in await guest.messages() if each.author is Author.AI]
    assert [each.content for each in replies] == ["Answer to When is breakfast? + And dinner?"]


async def test_a_burst_is_one_turn(stack: Stack, guest: Guest, ai: FakeAI) -> None:
    stack.settings.conversation.debounce = dict.fromkeys(stack.settings.conversation.debounce, 300)
    async with workers(stack.settings, stack.client):
        written = [await guest.write(each) for each in ("Hi", "a question", "about towels")]
        replies = {(await guest.outcome(each)).reply_id for each in written}
    assert len(replies) == 1
    assert [request.context.turn_message_ids for request in ai.requests] == [written]


async def test_repeats_are_answered_once(working: None, guest: Guest, ai: FakeAI) -> None:
    for _ in range(3):
        await guest.write("When is breakfast?", message_id="the-same")
    await guest.outcome("the-same")
    await guest.ask("And dinner?")
    assert [each.author for each in await guest.messages()] == [Author.GUEST, Author.AI, Author.GUEST, Author.AI]


async def test_staff_commands(working: None, stack: Stack, guest: Guest, ai: FakeAI) -> None:
    await guest.ask("Hello?")
    conversation = await guest.conversation()
    api = stack.conversations
    note = await api.reply(reply(conversation, "A nice guest", private=True))
    assert note.private
    assert (await guest.conversation()).state is ConversationState.ACTIVE
    sent = await api.reply(reply(conversation, "Ana here", id="r-1"))
    assert (await api.reply(reply(conversation, "Ana here", id="r-1"))).id == sent.id
    taken = await guest.conversation()
    assert (taken.state, taken.assigned_to) == (ConversationState.ESCALATED, ANA.id)
    with pytest.raises(HeldByOther) as held:
        await api.reply(reply(conversation, "Ben too", BEN))
    assert held.value.members["assignedTo"] == ANA.id
    with pytest.raises(HeldByOther):
        await api.claim(command(conversation, BEN))
    assert (await api.claim(command(conversation))).assigned_to == ANA.id
    assert (await guest.ask("Thank you, Ana")).outcome == "handed"
    returned = await api.return_to_ai(command(conversation))
    assert (returned.state, returned.assigned_to) == (ConversationState.ACTIVE, None)
    assert (await api.return_to_ai(command(conversation))).state is ConversationState.ACTIVE
    with pytest.raises(WrongState) as wrong:
        await api.return_to_ai(command(conversation, BEN))
    assert wrong.value.members["state"] == "active"
    assert (await guest.ask("And breakfast?")).outcome == "answered"
    assert (await api.escalate(command(conversation, reason="VIP"))).escalation is not None
    said = [each.content for each in await guest.messages() if each.author is Author.STAFF]
    assert said == ["A nice guest", "Ana here"]


async def test_resolving_ends_the_conversation_and_the_next_message_begins_another(
    working: None, stack: Stack, guest: Guest, ai: FakeAI
) -> None:
    await guest.write("Hello?", message_id="hello")
    await guest.outcome("hello")
    conversation = await guest.conversation()
    resolved = await stack.conversations.resolve(command(conversation, reason="All done"))
    assert resolved.state is ConversationState.RESOLVED
    await guest.handle.result()
    told = await stack.rows(
        "SELECT payload->>'by' AS by, payload->>'reason' AS reason FROM log WHERE conversation_id = :id"
        " AND payload->>'change' = 'resolved'",
        id=conversation.conversation_id,
    )
    assert told == [{"by": ANA.id, "reason": "All done"}]
    with pytest.raises(Resolved):
        await stack.conversations.claim(command(conversation))
    with pytest.raises(NotFound):
        await stack.conversations.claim(
            command(conversation.model_copy(update={"conversation_id": f"{guest.contact_key}-00000000"}))
        )
    await guest.write("Hello?", message_id="hello")
    await guest.handle.result()
    rows = await stack.rows("SELECT id FROM conversations WHERE property_id = :id", id=stack.hotel)
    assert [row["id"] for row in rows] == [conversation.conversation_id]
    await guest.ask("Hello again?")
    again = await guest.conversation()
    assert again.conversation_id != conversation.conversation_id
    assert again.previous_conversation_id == conversation.conversation_id
    assert "Hello?" in [each.content for each in ai.requests[-1].context.messages]
    with pytest.raises(Resolved):
        await stack.conversations.claim(command(conversation))


async def test_a_message_within_the_window_reopens(stack: Stack, guest: Guest, ai: FakeAI) -> None:
    stack.settings.conversation.resolved_window = 600_000
    async with workers(stack.settings, stack.client):
        await guest.ask("Hello?")
        conversation = await guest.conversation()
        await stack.conversations.resolve(command(conversation))
        assert (await guest.ask("One more thing")).outcome == "answered"
        again = await guest.conversation()
    assert (again.conversation_id, again.state) == (conversation.conversation_id, ConversationState.ACTIVE)


async def test_nothing_is_lost_while_no_worker_lives(stack: Stack, ai: FakeAI) -> None:
    guests = [stack.guest() for _ in range(4)]
    async with workers(stack.settings, stack.client):
        for guest in guests:
            await guest.ask("Hello?")
        first = await guests[0].conversation()
    before = len(ai.requests)
    written = [(guest, await guest.write(f"Question {number}")) for number in range(5) for guest in guests]
    with pytest.raises(OutcomeUnknown):
        await stack.conversations.claim(command(first, BEN))
    assert len(ai.requests) == before
    async with workers(stack.settings, stack.client):
        for guest, message_id in written:
            assert (await guest.outcome(message_id)).outcome in ("answered", "handed")
        for guest in guests[1:]:
            messages = await guest.messages()
            questions = [each.content for each in messages if each.author is Author.GUEST]
            assert questions == ["Hello?", *(f"Question {number}" for number in range(5))]
            answered = [outcome.reply_id for outcome in (await guest.outcomes()).values()]
            replies = [each.id for each in messages if each.author is Author.AI]
            assert set(answered) == set(replies)


async def test_a_refusing_channel_is_tried_again_and_a_claim_ends_that(
    working: None, stack: Stack, callback: FakeCallback
) -> None:
    guest = stack.guest(adapter="messages", channel_type="sms")
    callback.status = lambda message: 503
    question = await guest.write("When is breakfast?")

    async def tried_twice() -> bool:
        return len(callback.attempts) >= 2

    await eventually(tried_twice, what="two attempts to send")
    await stack.conversations.claim(command(await guest.conversation()))
    attempts = len(callback.attempts)
    callback.status = lambda message: 200
    conversation = await guest.reaches(lambda each: each.draft is not None, "the reply kept as a draft")
    assert (await guest.outcome(question)).outcome == "handed"
    staff = await stack.conversations.reply(reply(conversation, "At seven."))

    async def delivered() -> bool:
        return staff.id in callback.received

    await eventually(delivered, what="the staff message at the callback")
    assert [each.message_id for each in callback.attempts[attempts:]] == [staff.id]
    ai_message = next(each for each in await guest.messages() if each.author is Author.AI)
    assert ai_message.delivery.state is DeliveryState.FAILED
    await stack.stored(await guest.conversation())

    async def told() -> bool:
        rows = await stack.rows("SELECT delivery_state FROM messages WHERE id = :id", id=ai_message.id)
        return rows[0]["delivery_state"] == "failed"

    await eventually(told, what="the withdrawal in storage")


async def test_a_channel_that_heals_gets_the_message_once(working: None, stack: Stack, callback: FakeCallback) -> None:
    guest = stack.guest(adapter="messages", channel_type="sms")
    callback.status = lambda message: 503 if len(callback.attempts) < 2 else 200
    question = await guest.write("When is breakfast?")

    async def received() -> bool:
        return bool(callback.received)

    await eventually(received, what="the reply")
    assert {each.message_id for each in callback.attempts} == set(callback.received)
    assert [each.in_reply_to for each in callback.received.values()] == [[question]]


async def test_a_channel_that_refuses_for_good_gives_the_guest_to_staff(
    working: None, stack: Stack, callback: FakeCallback
) -> None:
    guest = stack.guest(adapter="messages", channel_type="sms")
    callback.status = lambda message: 404
    await guest.write("When is breakfast?")
    conversation = await guest.reaches(lambda each: each.state is ConversationState.ESCALATED, "a person")
    assert conversation.escalation is not None
    assert "404" in conversation.escalation.reason
    assert len(callback.attempts) == 1


async def _writes_while_an_answer_leaves(guest: Guest, callback: FakeCallback) -> list[str]:
    """A question whose answer is held by the receiver, and another that the conversation has taken in."""
    callback.hold()
    written = [await guest.write("When is breakfast?")]

    async def arrived() -> bool:
        return bool(callback.received)

    await eventually(arrived, what="the first answer at the callback")
    written.append(await guest.write("And dinner?"))
    await guest.reaches(lambda each: each.message_count == 3, "the second question to be taken in")
    return written


async def test_a_guest_who_writes_while_an_answer_leaves_is_answered_behind_it(
    working: None, stack: Stack, ai: FakeAI, callback: FakeCallback
) -> None:
    guest = stack.guest(adapter="messages", channel_type="sms")
    written = await _writes_while_an_answer_leaves(guest, callback)
    assert len(ai.requests) == 1
    callback.let_go()
    outcomes = [await guest.outcome(each) for each in written]
    assert [each.outcome for each in outcomes] == ["answered", "answered"]
    await stack.stored(await guest.conversation())
    scheduled = [
        event.activity_task_scheduled_event_attributes.activity_type.name
        for event in (await guest.handle.fetch_history()).events
        if event.HasField("activity_task_scheduled_event_attributes")
    ]
    assert scheduled == ["answer", "deliver_and_publish"] * 2  # and none that publishes the second question alone
    assert [each.in_reply_to for each in callback.received.values()] == [[each] for each in written]


async def test_who_takes_over_while_an_answer_leaves_has_what_was_written_meanwhile(
    working: None, stack: Stack, ai: FakeAI, callback: FakeCallback
) -> None:
    guest = stack.guest(adapter="messages", channel_type="sms")
    written = await _writes_while_an_answer_leaves(guest, callback)
    await stack.conversations.claim(command(await guest.conversation()))
    callback.let_go()
    assert (await guest.outcome(written[1])).outcome == "handed"
    await stack.stored(await guest.conversation())
    assert len(ai.requests) == len(callback.attempts) == 1


async def test_many_commands_at_once_keep_one_order(working: None, stack: Stack, guest: Guest) -> None:
    await guest.ask("Hello?")
    conversation = await guest.conversation()
    ids = [uuid.uuid4().hex for _ in range(20)]
    notes = await asyncio.gather(
        *(stack.conversations.reply(reply(conversation, f"Note {each}", private=True, id=each)) for each in ids)
    )
    assert len({note.seq for note in notes}) == len(ids)
    end = await guest.conversation()
    await stack.stored(end)
    rows = await stack.rows("SELECT seq FROM log WHERE conversation_id = :id ORDER BY position", id=end.conversation_id)
    assert [row["seq"] for row in rows] == list(range(1, end.seq + 1))
