"""Every kind of conversation, played once on real servers, so that what Temporal kept of it can be replayed.

`python -m tests.replay.record` runs these as tests; the suite itself collects only `test_*.py`.
"""

from datetime import UTC, datetime, timedelta

from contracts.ai import Action, AIRequest, AIResponse
from contracts.commands import Assign, ChangePolicy, DecideAction, Opening, Snooze
from contracts.conversations import ConversationState
from contracts.messages import Author, GuestMessage, Route
from contracts.names import task_workflow_id
from contracts.rules import PolicyChanges
from settings import ServiceLevels, Survey
from tests.desk import Desk
from tests.fakes.ai import FakeAI, confident
from tests.fakes.callback import FakeCallback
from tests.questions import QUESTIONS
from tests.replay.store import keep
from tests.replay.waiting import has_left, resolved, settled
from tests.support import ANA, BEN, Guest, Stack, asked, command, eventually, reply, workers
from tests.task_records import a_task

PERSON = "I want to talk to a person"


async def test_quick_answers_and_a_summary(scene: Guest, stack: Stack, quick: None) -> None:
    for question in ("What time is breakfast?", "Is there parking?"):
        assert (await scene.ask(question)).outcome == "answered"
    await resolved(stack, scene)


async def test_an_answer_at_once(scene: Guest, stack: Stack, quick: None) -> None:
    assert stack.settings.ai_of(stack.hotel).engine == "embedded"
    await scene.ask("What time is breakfast?")
    await settled(stack, scene)


async def test_words_that_only_seem_to_need_a_person(scene: Guest, stack: Stack, quick: None) -> None:
    await scene.ask("I was trying to get in touch this morning. What time is breakfast?")
    conversation = await scene.conversation()
    assert conversation.priority == "normal"
    await stack.conversations.return_to_ai(command(conversation))
    for _ in range(3):
        assert (await scene.ask("Thank you very much!")).outcome == "answered"
    await settled(stack, scene)


async def test_slow_answers_and_a_summary(scene: Guest, stack: Stack, working: None) -> None:
    for question in ("What time is breakfast?", "Is there parking?"):
        assert (await scene.ask(question)).outcome == "answered"
    await resolved(stack, scene)


async def test_a_summary_of_a_hand_over(scene: Guest, stack: Stack, quick: None) -> None:
    await scene.ask("What time is breakfast?")
    await scene.ask("I want to speak to a person")

    async def summed_up() -> bool:
        escalation = (await scene.conversation()).escalation
        return escalation is not None and escalation.summary is not None

    await eventually(summed_up, what="a summary of the hand-over")
    await resolved(stack, scene)


async def test_an_answer_through_a_channel(texting: Guest, stack: Stack, working: None) -> None:
    await texting.ask("What time is breakfast?")
    await texting.ask("And dinner?")
    await settled(stack, texting)


async def test_a_message_while_an_answer_leaves(
    texting: Guest, stack: Stack, working: None, callback: FakeCallback
) -> None:
    callback.hold()
    first = await texting.write("When is breakfast?")

    async def arrived() -> bool:
        return bool(callback.received)

    await eventually(arrived, what="the first answer at the callback")
    second = await texting.write("And dinner?")
    await texting.reaches(lambda each: each.message_count == 3, "the second question to be taken in")
    callback.let_go()
    for each in (first, second):
        await texting.outcome(each)
    await settled(stack, texting)


async def test_a_reopening_within_the_window(scene: Guest, stack: Stack, ai: FakeAI) -> None:
    stack.settings.conversation.resolved_window = 2_000
    async with workers(stack.settings, stack.client):
        await scene.ask("Hello?")
        await stack.conversations.resolve(command(await scene.conversation()))
        assert (await scene.ask("One more thing")).outcome == "answered"
        await resolved(stack, scene)


async def test_a_question_and_two_ratings(scene: Guest, stack: Stack, quick: None) -> None:
    stack.settings.properties[stack.hotel].survey = Survey(enabled=True)
    stack.settings.properties[stack.hotel].survey.window = 2_000
    await scene.ask("What time is breakfast?")
    await stack.conversations.resolve(command(await scene.conversation()))
    await has_left(scene, Author.SYSTEM)
    for rating in ("2", "5 stars"):
        assert (await scene.ask(rating)).outcome == "rated"
    await scene.handle.result()


async def test_a_question_that_a_guest_passes_over(texting: Guest, stack: Stack, working: None) -> None:
    """Resolved again, nobody is asked twice; the number that comes then is the rating all the same."""
    stack.settings.properties[stack.hotel].survey = Survey(enabled=True)
    stack.settings.properties[stack.hotel].survey.window = 5_000
    await texting.ask("When is breakfast?")
    await stack.conversations.resolve(command(await texting.conversation()))
    await has_left(texting, Author.SYSTEM)
    assert (await texting.ask("And dinner?")).outcome == "answered"
    await stack.conversations.resolve(command(await texting.conversation()))
    assert (await texting.ask("4")).outcome == "rated"
    await texting.handle.result()


async def test_repeats_of_a_finished_conversation(scene: Guest, stack: Stack, working: None) -> None:
    await scene.outcome(await scene.write("Hello?", message_id=f"hello-{scene.sender_id}"))
    await resolved(stack, scene)
    await scene.write("Hello?", message_id=f"hello-{scene.sender_id}")
    await scene.handle.result()


async def test_a_claim_with_a_running_answer(scene: Guest, stack: Stack, working: None, ai: FakeAI) -> None:
    await scene.ask("Hello?")
    towels = Action(id="a-1", type="create_task", params={"department": "housekeeping", "title": "Two more towels"})
    ai.respond = lambda request: confident(request).model_copy(update={"actions": [towels]})
    ai.hold()
    await scene.write("When is breakfast?")
    await asked(ai, 2)
    await stack.conversations.claim(command(await scene.conversation()))
    ai.let_go()
    conversation = await scene.reaches(lambda each: each.draft is not None, "a draft")
    draft = conversation.draft
    assert draft is not None
    answer = reply(conversation, "").model_copy(update={"draft_id": draft.id})
    await stack.conversations.reply(answer)
    await stack.conversations.return_to_ai(command(conversation))
    ai.respond = confident
    assert (await scene.ask("And dinner?")).outcome == "answered"
    await settled(stack, scene)


async def test_a_newer_message_makes_an_answer_stale(scene: Guest, stack: Stack, working: None, ai: FakeAI) -> None:
    ai.hold()
    first = await scene.write("When is breakfast?")
    await asked(ai, 1)
    await scene.write("And dinner?")
    await asked(ai, 2)
    ai.let_go()
    await scene.outcome(first)
    await settled(stack, scene)


async def test_a_hand_over_with_a_draft(scene: Guest, stack: Stack, working: None, ai: FakeAI) -> None:
    ai.respond = ai.doubtful
    assert (await scene.ask("Is the moon made of cheese?")).outcome == "handed"
    await scene.ask("Hello?")
    await settled(stack, scene)


async def test_drafts_for_a_person(scene: Guest, stack: Stack, working: None, ai: FakeAI) -> None:
    """One with the hand-over, one after a burst, and one that a person forestalls."""
    stack.settings.properties[stack.hotel].autonomy = "draft"
    await scene.ask("When is breakfast?")
    ai.hold()
    for number, question in enumerate(("And dinner?", "And lunch?"), start=2):
        await scene.write(question)
        await asked(ai, number)
    ai.let_go()
    conversation = await scene.reaches(lambda each: each.draft is not None and "lunch" in each.draft.content, "a draft")
    await stack.conversations.reply(reply(conversation, "At seven, eight and one."))
    ai.hold()
    await scene.write("Is there parking?")
    await asked(ai, 4)
    await stack.conversations.reply(reply(conversation, "There is."))
    ai.let_go()
    await settled(stack, scene)


async def test_a_return_without_an_answer(scene: Guest, stack: Stack, working: None, ai: FakeAI) -> None:
    """The AI is unsure twice, and is not asked a third time."""
    ai.respond = ai.doubtful
    await scene.ask("Is the moon made of cheese?")
    await stack.conversations.return_to_ai(command(await scene.conversation()))
    again = await scene.reaches(
        lambda each: each.escalation is not None and each.escalation.reason.startswith("Handed over again"),
        "the second hand-over",
    )
    await stack.conversations.return_to_ai(command(again))
    ai.respond = confident
    await scene.ask("When is breakfast?")
    await settled(stack, scene)


async def test_a_wish_for_a_person_right_behind_an_answer(
    scene: Guest, stack: Stack, working: None, ai: FakeAI
) -> None:
    ai.hold()
    written = []
    for number in range(4):
        written.append(await scene.write(f"Question {number}"))
        await asked(ai, number + 1)
    written.append(await scene.write(PERSON))
    await scene.reaches(lambda each: each.unread == len(written), "the last message to be taken in")
    ai.let_go()
    for each in written:
        await scene.outcome(each)
    await settled(stack, scene)


async def test_an_engine_that_fails_twice(scene: Guest, stack: Stack, working: None, ai: FakeAI) -> None:
    ai.status = 500
    await scene.ask("Hello?")
    await scene.ask("Anybody?")
    conversation = await settled(stack, scene)
    assert conversation.state is ConversationState.ESCALATED
    await stack.conversations.reviewed(command(conversation))
    await settled(stack, scene)


async def test_a_burst_with_a_debounce(scene: Guest, stack: Stack, ai: FakeAI) -> None:
    stack.settings.conversation.debounce = dict.fromkeys(stack.settings.conversation.debounce, 300)
    async with workers(stack.settings, stack.client):
        written = [await scene.write(each) for each in ("Hi", "a question", "about towels")]
        assert len({(await scene.outcome(each)).reply_id for each in written}) == 1
        await scene.write("One more")
        await scene.reaches(lambda each: each.unread == 4, "the message to be taken in")
        await stack.conversations.claim(command(await scene.conversation()))
        await settled(stack, scene)


async def test_going_on_in_a_new_run(scene: Guest, stack: Stack, quick: None) -> None:
    stack.settings.conversation.history_limit = 45
    await scene.ask("What time is breakfast?")
    first = (await scene.handle.describe()).run_id
    for question, _ in QUESTIONS:
        await scene.ask(question)
        await settled(stack, scene)
        if (await scene.handle.describe()).run_id != first:
            break
    await scene.ask("Is there parking?")
    await stack.conversations.reply(reply(await scene.conversation(), "Ana here"))
    await settled(stack, scene)


async def test_commands_of_staff(scene: Guest, stack: Stack, working: None) -> None:
    await scene.ask("Hello?")
    conversation, api = await scene.conversation(), stack.conversations
    note = reply(conversation, "A nice guest", private=True).model_copy(update={"mentions": ["ben"]})
    await api.reply(note)
    await api.escalate(command(conversation, reason="A guest of honour"))
    await api.claim(command(conversation))
    await api.reply(reply(conversation, "Ana here"))
    by = {"conversation_id": conversation.conversation_id, "by": ANA}
    await api.assign(Assign(**by, staff_id=BEN.id, staff_name=BEN.name))
    await api.unassign(command(conversation, BEN))
    await api.change_policy(ChangePolicy(**by, changes=PolicyChanges(max_retries=1)))
    await api.read(command(conversation))
    await api.return_to_ai(command(conversation, BEN))
    await resolved(stack, scene)


async def test_a_promise_reminded_and_broken(scene: Guest, stack: Stack, working: None) -> None:
    level = ServiceLevels(first_response=1_500, next_response=1_500)
    stack.settings.properties[stack.hotel].service_levels = {"normal": level}
    await scene.ask(PERSON)
    conversation = await scene.reaches(lambda each: each.priority == "high", "the breach")
    await stack.conversations.reply(reply(conversation, "I am sorry"))
    await settled(stack, scene)


async def test_snoozes(scene: Guest, stack: Stack, working: None) -> None:
    await scene.ask(PERSON)
    conversation = await scene.conversation()
    await stack.conversations.reply(reply(conversation, "I will look into it"))
    for seconds in (3600, 1):
        until = datetime.now(UTC) + timedelta(seconds=seconds)
        snooze = Snooze(conversation_id=conversation.conversation_id, by=ANA, until=until)
        await stack.conversations.snooze(snooze)
        if seconds > 1:
            await scene.ask("Any news?")
    await scene.reaches(lambda each: each.snoozed_until is None, "the end of the snooze")
    await settled(stack, scene)


async def test_an_idle_conversation_closes(scene: Guest, stack: Stack, ai: FakeAI) -> None:
    stack.settings.conversation.idle_timeout = 1_500
    async with workers(stack.settings, stack.client):
        await scene.ask("Hello?")
        await scene.handle.result()


async def test_an_escalated_conversation_closes_at_its_limit(scene: Guest, stack: Stack, ai: FakeAI) -> None:
    stack.settings.conversation.escalated_timeout = 1_500
    async with workers(stack.settings, stack.client):
        await scene.ask(PERSON)
        await scene.handle.result()


async def test_staff_write_first(scene: Guest, stack: Stack, working: None) -> None:
    route = Route(adapter=scene.adapter, channel_id=stack.hotel, sender_id=scene.sender_id)
    opening = Opening(by=ANA, message_id=f"opening-{scene.sender_id}", content="Welcome!", guest_name="Rosa")
    opened = await stack.conversations.open(stack.hotel, scene.channel_type, route, opening)
    assert opened.state is ConversationState.NEW
    assert (await scene.ask("Thank you. When is breakfast?")).outcome == "answered"
    await settled(stack, scene)


async def test_opting_out_and_in(scene: Guest, stack: Stack, working: None) -> None:
    await scene.ask("Hello?")
    await has_left(scene)
    now = datetime.now(UTC)
    route = Route(adapter=scene.adapter, channel_id=stack.hotel, sender_id=scene.sender_id)
    for number, opts in enumerate(("out", None, "in")):
        message = GuestMessage.model_validate(
            {"id": f"{scene.sender_id}-{number}", "route": route, "content": "Word", "opts": opts}
            | {"sent_at": now, "received_at": now}
        )
        await stack.conversations.receive(stack.hotel, scene.channel_type, message)
        assert (await scene.outcome(message.id)).outcome == "suppressed"
    assert (await scene.ask("And now?")).outcome == "answered"
    await settled(stack, scene)


async def test_actions(scene: Guest, stack: Stack, working: None, ai: FakeAI) -> None:
    """A task by itself, a late check-out that staff allow, a notice, and an action that nobody knows."""

    def wants(request: AIRequest) -> AIResponse:
        actions = [
            Action(id="1", type="create_task", params={"department": "housekeeping", "title": "Towels"}),
            Action(id="2", type="request_late_checkout", params={"until": "14:00"}),
            Action(id="3", type="notify_staff", params={"text": "A guest of honour"}),
            Action(id="4", type="make_coffee", params={}),
        ]
        return confident(request).model_copy(update={"actions": actions})

    ai.respond = wants
    await scene.ask("More towels, please")
    conversation = await scene.reaches(lambda each: bool(each.pending_actions), "an action that waits")
    asked_for = conversation.pending_actions[0]
    decision = DecideAction(conversation_id=conversation.conversation_id, by=ANA, action_id=asked_for.id, approve=True)
    await stack.conversations.decide(decision)

    async def tasks() -> list[dict[str, object]] | None:
        found = await stack.rows("SELECT id, title FROM tasks WHERE property_id = :id ORDER BY title", id=stack.hotel)
        return found if len(found) == 2 else None

    found = await eventually(tasks, what="two tasks")
    desk = Desk(stack, stack.client)
    handles = [stack.client.get_workflow_handle(task_workflow_id(str(each["id"]))) for each in found]
    await desk.change(a_task(str(found[1]["id"])), status="done")
    await handles[1].result()
    await settled(stack, scene)
    await keep("task_of_an_action", stack.client, handles[1].id)
