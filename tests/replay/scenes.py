"""Every kind of conversation and task, played once on real servers, so that what Temporal kept of it can be replayed.

`python -m tests.replay.record` runs these as tests; the suite itself collects only `test_*.py`.
"""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import activities.ai
from activities.storage.database import Database
from contracts.ai import Action, AIRequest, AIResponse
from contracts.automations import AutomationRule, Automations, Facts
from contracts.commands import Assign, ChangePolicy, DecideAction, DeliveryFailure, Opening, Redeliver, Snooze
from contracts.conversations import Conversation, ConversationState
from contracts.messages import Author, DeliveryState, GuestMessage, Route
from contracts.names import automation_workflow_id, task_workflow_id, webhook_workflow_id
from contracts.property_events import PropertyEvent
from contracts.rules import PolicyChanges
from embedded import PostgresServer
from settings import ServiceLevels, Survey
from tests.desk import Desk
from tests.fakes.ai import FakeAI, confident
from tests.fakes.callback import FakeCallback
from tests.fakes.receiver import FakeReceiver
from tests.questions import QUESTIONS
from tests.replay.store import keep
from tests.support import ANA, BEN, Guest, Stack, asked, command, eventually, reply, workers
from tests.task_records import a_task
from tests.webhooks import delivering, hook
from workflows.automation_client import AutomationRuns

KNOWLEDGE = Path(activities.ai.__file__).parent / "properties" / "seaview"
PERSON = "I want to talk to a person"


@pytest.fixture
async def scene(request: pytest.FixtureRequest, stack: Stack) -> AsyncIterator[Guest]:
    """A guest; what happened to them is kept under the scene's name when it is over."""
    guest = stack.guest()
    yield guest
    await keep(request.node.name, stack.client, guest.handle.id)


@pytest.fixture
async def texting(request: pytest.FixtureRequest, stack: Stack, callback: FakeCallback) -> AsyncIterator[Guest]:
    """The same for a guest who writes through a program of the hotel's."""
    guest = stack.guest(adapter="messages", channel_type="sms")
    yield guest
    await keep(request.node.name, stack.client, guest.handle.id)


@pytest.fixture
async def quick(stack: Stack) -> AsyncIterator[None]:
    """Workers with the engine that answers by itself."""
    stack.settings.properties[stack.hotel].knowledge = str(KNOWLEDGE)
    async with workers(stack.settings, stack.client):
        yield


async def _resolved(stack: Stack, guest: Guest) -> None:
    await stack.conversations.resolve(command(await guest.conversation()))
    await guest.handle.result()


async def _settled(stack: Stack, guest: Guest) -> Conversation:
    conversation = await guest.conversation()
    await stack.stored(conversation)
    return conversation


async def _has_left(guest: Guest, author: Author = Author.AI) -> str:
    """The id of the author's first message, once the conversation knows that it left."""

    async def sent() -> str | None:
        messages = await guest.messages()
        gone = (each.id for each in messages if each.author is author and each.delivery.state is DeliveryState.SENT)
        return next(gone, None)

    return await eventually(sent, what="the reply to leave")


async def test_quick_answers_and_a_summary(scene: Guest, stack: Stack, quick: None) -> None:
    for question in ("What time is breakfast?", "Is there parking?"):
        assert (await scene.ask(question)).outcome == "answered"
    await _resolved(stack, scene)


async def test_slow_answers_and_a_summary(scene: Guest, stack: Stack, working: None) -> None:
    for question in ("What time is breakfast?", "Is there parking?"):
        assert (await scene.ask(question)).outcome == "answered"
    await _resolved(stack, scene)


async def test_a_summary_of_a_hand_over(scene: Guest, stack: Stack, quick: None) -> None:
    await scene.ask("What time is breakfast?")
    await scene.ask("I want to speak to a person")

    async def summed_up() -> bool:
        escalation = (await scene.conversation()).escalation
        return escalation is not None and escalation.summary is not None

    await eventually(summed_up, what="a summary of the hand-over")
    await _resolved(stack, scene)


async def test_an_answer_through_a_channel(texting: Guest, stack: Stack, working: None) -> None:
    await texting.ask("What time is breakfast?")
    await texting.ask("And dinner?")
    await _settled(stack, texting)


async def test_a_reopening_within_the_window(scene: Guest, stack: Stack, ai: FakeAI) -> None:
    stack.settings.conversation.resolved_window = 2_000
    async with workers(stack.settings, stack.client):
        await scene.ask("Hello?")
        await stack.conversations.resolve(command(await scene.conversation()))
        assert (await scene.ask("One more thing")).outcome == "answered"
        await _resolved(stack, scene)


async def test_a_question_and_two_ratings(scene: Guest, stack: Stack, quick: None) -> None:
    stack.settings.properties[stack.hotel].survey = Survey(enabled=True)
    stack.settings.properties[stack.hotel].survey.window = 2_000
    await scene.ask("What time is breakfast?")
    await stack.conversations.resolve(command(await scene.conversation()))
    await _has_left(scene, Author.SYSTEM)
    for rating in ("2", "5 stars"):
        assert (await scene.ask(rating)).outcome == "rated"
    await scene.handle.result()


async def test_a_question_that_a_guest_passes_over(texting: Guest, stack: Stack, working: None) -> None:
    """Resolved again, nobody is asked twice; the number that comes then is the rating all the same."""
    stack.settings.properties[stack.hotel].survey = Survey(enabled=True)
    stack.settings.properties[stack.hotel].survey.window = 5_000
    await texting.ask("When is breakfast?")
    await stack.conversations.resolve(command(await texting.conversation()))
    await _has_left(texting, Author.SYSTEM)
    assert (await texting.ask("And dinner?")).outcome == "answered"
    await stack.conversations.resolve(command(await texting.conversation()))
    assert (await texting.ask("4")).outcome == "rated"
    await texting.handle.result()


async def test_repeats_of_a_finished_conversation(scene: Guest, stack: Stack, working: None) -> None:
    await scene.outcome(await scene.write("Hello?", message_id=f"hello-{scene.sender_id}"))
    await _resolved(stack, scene)
    await scene.write("Hello?", message_id=f"hello-{scene.sender_id}")
    await scene.handle.result()


async def test_a_claim_with_a_running_answer(scene: Guest, stack: Stack, working: None, ai: FakeAI) -> None:
    await scene.ask("Hello?")
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
    assert (await scene.ask("And dinner?")).outcome == "answered"
    await _settled(stack, scene)


async def test_a_newer_message_makes_an_answer_stale(scene: Guest, stack: Stack, working: None, ai: FakeAI) -> None:
    ai.hold()
    first = await scene.write("When is breakfast?")
    await asked(ai, 1)
    await scene.write("And dinner?")
    await asked(ai, 2)
    ai.let_go()
    await scene.outcome(first)
    await _settled(stack, scene)


async def test_a_hand_over_with_a_draft(scene: Guest, stack: Stack, working: None, ai: FakeAI) -> None:
    ai.respond = ai.doubtful
    assert (await scene.ask("Is the moon made of cheese?")).outcome == "handed"
    await scene.ask("Hello?")
    await _settled(stack, scene)


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
    await _settled(stack, scene)


async def test_an_engine_that_fails_twice(scene: Guest, stack: Stack, working: None, ai: FakeAI) -> None:
    ai.status = 500
    await scene.ask("Hello?")
    await scene.ask("Anybody?")
    conversation = await _settled(stack, scene)
    assert conversation.state is ConversationState.ESCALATED
    await stack.conversations.reviewed(command(conversation))
    await _settled(stack, scene)


async def test_a_burst_with_a_debounce(scene: Guest, stack: Stack, ai: FakeAI) -> None:
    stack.settings.conversation.debounce = dict.fromkeys(stack.settings.conversation.debounce, 300)
    async with workers(stack.settings, stack.client):
        written = [await scene.write(each) for each in ("Hi", "a question", "about towels")]
        assert len({(await scene.outcome(each)).reply_id for each in written}) == 1
        await scene.write("One more")
        await scene.reaches(lambda each: each.unread == 4, "the message to be taken in")
        await stack.conversations.claim(command(await scene.conversation()))
        await _settled(stack, scene)


async def test_going_on_in_a_new_run(scene: Guest, stack: Stack, quick: None) -> None:
    stack.settings.conversation.history_limit = 45
    await scene.ask("What time is breakfast?")
    first = (await scene.handle.describe()).run_id
    for question, _ in QUESTIONS:
        await scene.ask(question)
        await _settled(stack, scene)
        if (await scene.handle.describe()).run_id != first:
            break
    await scene.ask("Is there parking?")
    await stack.conversations.reply(reply(await scene.conversation(), "Ana here"))
    await _settled(stack, scene)


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
    await _resolved(stack, scene)


async def test_a_promise_reminded_and_broken(scene: Guest, stack: Stack, working: None) -> None:
    level = ServiceLevels(first_response=1_500, next_response=1_500)
    stack.settings.properties[stack.hotel].service_levels = {"normal": level}
    await scene.ask(PERSON)
    conversation = await scene.reaches(lambda each: each.priority == "high", "the breach")
    await stack.conversations.reply(reply(conversation, "I am sorry"))
    await _settled(stack, scene)


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
    await _settled(stack, scene)


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
    await _settled(stack, scene)


async def test_opting_out_and_in(scene: Guest, stack: Stack, working: None) -> None:
    await scene.ask("Hello?")
    await _has_left(scene)
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
    await _settled(stack, scene)


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
    await _settled(stack, scene)
    await keep("task_of_an_action", stack.client, handles[1].id)


async def test_a_channel_that_heals(texting: Guest, stack: Stack, working: None, callback: FakeCallback) -> None:
    callback.status = lambda message: 503 if len(callback.attempts) < 3 else 200
    await texting.ask("When is breakfast?")

    async def received() -> bool:
        return bool(callback.received)

    await eventually(received, what="the reply")
    await _settled(stack, texting)


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
    await _settled(stack, texting)


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
    await _settled(stack, texting)


async def test_a_message_that_a_provider_lost(texting: Guest, stack: Stack, working: None) -> None:
    await texting.ask("When is breakfast?")
    message_id = await _has_left(texting)
    conversation_id = (await texting.conversation()).conversation_id
    failure = DeliveryFailure(conversation_id=conversation_id, message_id=message_id, reason="number unknown")
    await stack.conversations.delivery_failed(failure)
    await texting.reaches(lambda each: each.state is ConversationState.ESCALATED, "a person")
    await _settled(stack, texting)


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
                await _settled(stack, guest)
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
        await _settled(stack, scene)


async def test_a_task_overdue_and_done(request: pytest.FixtureRequest, stack: Stack, working: None) -> None:
    desk = Desk(stack, stack.client)
    task = await desk.create(due_in=timedelta(seconds=2))
    await desk.change(task, assigned_to=ANA.id)

    async def overdue() -> bool:
        return len(await desk.notifications(task)) >= 1

    await eventually(overdue, what="the task to be overdue")
    await desk.change(task, status="done")
    await desk.handle(task).result()
    await keep(request.node.name, stack.client, desk.handle(task).id)


async def test_a_cancelled_task(request: pytest.FixtureRequest, stack: Stack, working: None) -> None:
    desk = Desk(stack, stack.client)
    task = await desk.create(due_in=timedelta(days=2))
    await desk.is_stored(task, 1)
    await desk.handle(task).cancel()
    await desk.handle(task).result()
    await keep(request.node.name, stack.client, desk.handle(task).id)


async def test_webhooks_that_fail_and_heal(
    request: pytest.FixtureRequest, stack: Stack, receiver: FakeReceiver
) -> None:
    """One failure, a wait that is ended, a wait that ends by itself in a new run, and a receiver that is gone."""
    hooked = await hook(stack, receiver, ["task.*"])
    answers = iter((500, 200, 500, 200, 410))
    receiver.status = lambda event: next(answers)
    await hooked.happens(3)
    async with delivering(stack):
        await hooked.deliveries.start(hooked.endpoint, history_limit=20)
        await hooked.was_tried(1)
        await hooked.deliveries.wake(hooked.endpoint.id)
        await hooked.becomes_disabled()
        handle = stack.client.get_workflow_handle(webhook_workflow_id(hooked.endpoint.id))
        await handle.result()
    await keep(request.node.name, stack.client, handle.id)


async def test_an_automation_with_a_refused_action(
    request: pytest.FixtureRequest, scene: Guest, stack: Stack, working: None
) -> None:
    """A conversation and a task that a rule changes, and a message that it may not send."""
    rule = AutomationRule.model_validate(
        {
            "id": "claimed",
            "name": "What is claimed is looked after",
            "when": ["conversation.claimed"],
            "then": [
                {"type": "create_task", "department": "front_desk", "title": "Look in"},
                {"type": "set_priority", "priority": "high"},
                {"type": "send_message", "content": "Somebody is on it"},
            ],
        }
    )
    await scene.ask("Hello?")
    await stack.conversations.escalate(command(await scene.conversation()))
    conversation = await stack.conversations.claim(command(await scene.conversation()))
    event = PropertyEvent(
        type="conversation.claimed",
        property_id=stack.hotel,
        position=1,
        at=datetime.now(UTC),
        conversation_id=conversation.conversation_id,
        conversation=conversation,
    )
    automations = Automations(property_id=stack.hotel, rules=[rule])
    await AutomationRuns(stack.client, stack.settings).start(automations, event, Facts(conversation=conversation))
    handle = stack.client.get_workflow_handle(automation_workflow_id(stack.hotel, 1, rule.id))
    await handle.result()
    await _settled(stack, scene)
    await keep(f"{request.node.name}_and_its_rule", stack.client, handle.id)
