"""Automations: what happens makes rules run, each once, by the same commands as staff, and never in a circle."""

import uuid
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest

import worker
from activities.automations.following import AutomationFollower
from activities.storage.automations import StoredAutomations
from activities.storage.property_events import PropertyEvents
from contracts.automations import AutomationRule, Automations, Facts
from contracts.messages import Author, GuestMessage, Message, Route
from contracts.names import automation_workflow_id
from contracts.property_events import PropertyEvent
from contracts.tasks import Task
from settings import Hours
from tests.api import Api
from tests.automation_rules import CREATE_TASK, a_rule
from tests.desk import Desk
from tests.fakes.ai import FakeAI
from tests.fakes.receiver import FakeReceiver
from tests.support import Guest, Stack, command, eventually, guest_message, workers
from tests.task_records import NOW, a_task
from tests.webhooks import hook
from workflows.automation_client import AutomationRuns

PERSON = "I want to talk to a person"


async def _follow(stack: Stack, *rules: AutomationRule) -> None:
    await StoredAutomations(stack.database).put(stack.hotel, rules, by="ana", allow=lambda _: None)


@pytest.fixture
async def automating(stack: Stack, ai: FakeAI) -> AsyncIterator[None]:
    """Workers, and somebody who follows the log."""
    async with workers(stack.settings, stack.client), worker.following(stack.settings, stack.client):
        yield


async def _tasks(stack: Stack) -> list[Task]:
    rows = await stack.rows("SELECT * FROM tasks WHERE property_id = :id ORDER BY created_at", id=stack.hotel)
    return [Task.model_validate(row) for row in rows]


async def _has_tasks(stack: Stack, count: int) -> list[Task]:
    async def look() -> bool:
        return len(await _tasks(stack)) >= count

    await eventually(look, what=f"{count} tasks")
    return await _tasks(stack)


async def _notices(stack: Stack) -> list[str]:
    rows = await stack.rows(
        "SELECT text FROM notifications WHERE property_id = :id AND kind = 'system'", id=stack.hotel
    )
    return [str(row["text"]) for row in rows]


async def _has_notice(stack: Stack, text: str) -> None:
    async def look() -> bool:
        return text in await _notices(stack)

    await eventually(look, what=f"the notification {text!r}")


async def _caught_up(stack: Stack) -> None:
    """Waits until all that happened was held against the rules, and what they began has ended."""

    async def held() -> bool:
        rows = await stack.rows(
            "SELECT head = position AS done FROM automations JOIN log_heads USING (property_id)"
            " WHERE property_id = :id",
            id=stack.hotel,
        )
        return bool(rows and rows[0]["done"])

    await eventually(held, what="the log to be held against the rules")


# --- what rules do -------------------------------------------------------------------------------------------------


async def test_an_escalation_makes_a_task_raises_the_priority_and_tells_staff(
    stack: Stack, guest: Guest, automating: None
) -> None:
    await _follow(
        stack,
        a_rule(
            "conversation.escalated",
            CREATE_TASK,
            {"type": "set_priority", "priority": "urgent"},
            {"type": "notify_staff", "text": "A guest needs help"},
            channels=["webchat"],
            states=["escalated"],
        ),
    )
    await guest.ask(PERSON)
    (task,) = await _has_tasks(stack, 1)
    conversation = await guest.reaches(lambda each: each.priority == "urgent", "the priority")
    assert task.conversation_id == conversation.conversation_id
    assert (task.title, task.due_at is not None) == ("Look in", True)
    await _has_notice(stack, "A guest needs help")


async def test_a_message_goes_out_as_the_hotels_and_takes_nothing_over(
    stack: Stack, guest: Guest, automating: None
) -> None:
    await _follow(stack, a_rule("message.received", {"type": "send_message", "content": "Thank you, we read this."}))
    await guest.ask("When is breakfast?")

    async def said() -> list[Message]:
        return [each for each in await guest.messages() if each.content == "Thank you, we read this."]

    (message,) = await eventually(said, what="the message of the rule")
    conversation = await guest.conversation()
    assert (message.author, conversation.state, conversation.assigned_to) == (Author.SYSTEM, "active", None)
    await stack.stored(conversation)
    await _caught_up(stack)
    assert len(await said()) == 1


async def test_what_somebody_holds_is_left_to_them(stack: Stack, guest: Guest, automating: None) -> None:
    await _follow(stack, a_rule("conversation.claimed", {"type": "send_message", "content": "Somebody is on it"}))
    await guest.ask(PERSON)
    await stack.conversations.claim(command(await guest.conversation()))
    await _has_notice(stack, "Automation rule could not send message: held_by_other")
    assert "Somebody is on it" not in [each.content for each in await guest.messages()]


async def test_opting_out_is_obeyed(stack: Stack, guest: Guest, automating: None) -> None:
    await _follow(stack, a_rule("conversation.opted_out", {"type": "send_message", "content": "Sorry to see you go"}))
    await guest.ask("Hello?")
    now = datetime.now(UTC)
    route = Route(adapter="webchat", channel_id=stack.hotel, sender_id=guest.sender_id)
    stop = GuestMessage(id=uuid.uuid4().hex, route=route, content="STOP", opts="out", sent_at=now, received_at=now)
    await stack.conversations.receive(stack.hotel, "webchat", stop)
    await _has_notice(stack, "Automation rule could not send message: opted_out")
    assert "Sorry to see you go" not in [each.content for each in await guest.messages()]


async def test_a_machine_is_not_answered(stack: Stack, guest: Guest, automating: None) -> None:
    """Its answer would make the rule run again, and so on; what else the rule does is done."""
    read = {"type": "send_message", "content": "Thank you, we read this."}
    await _follow(stack, a_rule("message.received", read, {"type": "notify_staff", "text": "Mail"}))
    away = guest_message(guest.sender_id, "I am back on Monday", channel_id=stack.hotel)
    away.suppressed = "out-of-office reply"
    await stack.conversations.receive(stack.hotel, "webchat", away)
    await _has_notice(stack, "Mail")
    assert [each.author for each in await guest.messages()] == [Author.GUEST]


async def test_an_overdue_task_is_assigned(stack: Stack, desk: Desk, api: Api, automating: None) -> None:
    staff = await api.hire(stack.hotel)
    await _follow(stack, a_rule("task.overdue", {"type": "assign", "staffId": staff.id}, departments=["housekeeping"]))
    task = await desk.create(due_in=timedelta(seconds=1))

    async def assigned() -> bool:
        return [each.assigned_to for each in await _tasks(stack) if each.id == task.id] == [staff.id]

    await eventually(assigned, what="the task to be assigned")
    await desk.change(task, status="done")
    await desk.handle(task).result()


async def test_the_guest_hears_nothing_of_what_a_rule_had_done(
    stack: Stack, guest: Guest, desk: Desk, automating: None
) -> None:
    """The task's title is the hotel's own word; what the guest asked for is another task, of which they do hear."""
    await _follow(stack, a_rule("conversation.escalated", CREATE_TASK))
    await guest.ask(PERSON)
    (inner,) = await _has_tasks(stack, 1)
    asked_for = await desk.create(conversation_id=inner.conversation_id, title="Two more towels")
    for task in (inner, asked_for):
        await desk.change(task, status="done")
        await desk.handle(task).result()

    async def told() -> list[str]:
        return [each.content for each in await guest.messages() if each.content.startswith("Done: ")]

    assert await eventually(told, what="the guest to be told") == ["Done: Two more towels."]


async def test_who_has_left_gets_no_work_that_nobody_else_would_see(
    stack: Stack, desk: Desk, api: Api, automating: None
) -> None:
    staff = await api.hire("another-hotel")
    await _follow(
        stack,
        a_rule(
            "task.created",
            {**CREATE_TASK, "assignedTo": staff.id},
            {"type": "notify_staff", "text": "Look", "staffId": staff.id},
        ),
    )
    await desk.create()
    await _has_notice(
        stack, "Automation rule could not notify staff: this member of staff does not work at the property"
    )
    assert [each.assigned_to for each in await _tasks(stack) if each.title == "Look in"] == [None]
    assert "Look" not in await _notices(stack)


async def test_an_endpoint_is_called(stack: Stack, guest: Guest, receiver: FakeReceiver, ai: FakeAI) -> None:
    hooked = await hook(stack, receiver, ["task.overdue"])
    receiver.status = lambda event: 200 if len(receiver.attempts) > 1 else 503
    await _follow(stack, a_rule("conversation.resolved", {"type": "call_webhook", "endpointId": hooked.endpoint.id}))
    async with workers(stack.settings, stack.client), worker.following(stack.settings, stack.client):
        await guest.ask("Hello?")
        conversation = await guest.conversation()
        await stack.conversations.resolve(command(conversation))
        await hooked.has_received(1)
        await guest.handle.result()
    (event,) = receiver.received.values()
    assert event["type"] == "automation.fired"
    assert event["data"]["conversationId"] == conversation.conversation_id
    assert (event["data"]["ruleId"], event["data"]["event"]) == ("rule", "conversation.resolved")
    assert len(set(receiver.attempts)) == 1


# --- once, and never in a circle -----------------------------------------------------------------------------------


async def test_what_a_rule_does_makes_no_rule_run(stack: Stack, guest: Guest, automating: None) -> None:
    await _follow(
        stack,
        a_rule("task.*", CREATE_TASK, id="tasks"),
        a_rule("message.sent", {"type": "send_message", "content": "And this"}, CREATE_TASK, id="messages"),
        a_rule("conversation.*", {"type": "set_priority", "priority": "high"}, id="priorities"),
    )
    await guest.ask("When is breakfast?")  # the AI's answer is one message that was sent
    await _has_tasks(stack, 1)
    await guest.reaches(lambda each: each.priority == "high", "the priority")
    conversation = await guest.conversation()
    await stack.stored(conversation)
    await _caught_up(stack)
    assert len(await _tasks(stack)) == 1
    assert [each.content for each in await guest.messages()].count("And this") == 1


async def test_rules_that_undo_each_other_do_not_go_on_for_ever(stack: Stack, desk: Desk, automating: None) -> None:
    await _follow(
        stack,
        a_rule("task.*", {"type": "set_priority", "priority": "high"}, id="up", priorities=["low"]),
        a_rule("task.*", {"type": "set_priority", "priority": "low"}, id="down", priorities=["high"]),
    )
    task = await desk.create(priority="low")

    async def raised() -> bool:
        return [each.priority for each in await _tasks(stack)] == ["high"]

    await eventually(raised, what="the task to be raised")
    await _caught_up(stack)
    entries = await desk.told(task)
    assert [(entry.task.priority, entry.by) for entry in entries if entry.task is not None] == [
        ("low", None),
        ("high", "automation"),
    ]
    await desk.change(task, status="done")
    await desk.handle(task).result()


async def test_a_rule_runs_once_for_an_event_however_often_it_is_seen(
    stack: Stack, guest: Guest, working: None
) -> None:
    await _follow(stack, a_rule("conversation.escalated", CREATE_TASK))
    await guest.ask(PERSON)
    await stack.stored(await guest.conversation())
    stored, events = StoredAutomations(stack.database), PropertyEvents(stack.database)
    follower = AutomationFollower(stored, events, AutomationRuns(stack.client, stack.settings).start)
    await follower.look()
    await stack.rows("UPDATE automations SET position = 0 WHERE property_id = :id RETURNING 1", id=stack.hotel)
    await follower.look()
    (task,) = await _has_tasks(stack, 1)
    rows = await stack.rows(
        "SELECT position FROM log WHERE property_id = :id AND payload->>'change' = 'escalated'", id=stack.hotel
    )
    run = stack.client.get_workflow_handle(automation_workflow_id(stack.hotel, int(str(rows[0]["position"])), "rule"))
    assert await run.result() == [{"outcome": "done", "reason": None}]
    assert [each.id for each in await _tasks(stack)] == [task.id]


@pytest.mark.parametrize("broken", ["its rules", "its log"])
async def test_a_property_that_fails_holds_up_no_other(
    stack: Stack, guest: Guest, working: None, broken: str, caplog: pytest.LogCaptureFixture
) -> None:
    """By what a newer release wrote, say, which this one cannot read."""
    await _follow(stack, a_rule("conversation.escalated", CREATE_TASK))
    await guest.ask(PERSON)
    await stack.stored(await guest.conversation())
    stored, other = StoredAutomations(stack.database), f"a-{stack.hotel}"
    await stored.put(other, [a_rule("conversation.*", CREATE_TASK)], by="ana", allow=lambda _: None)
    head = "INSERT INTO log_heads (property_id, head) VALUES (:id, 1) RETURNING 1"
    await stack.rows(head, id=other)
    if broken == "its rules":
        await stack.rows("UPDATE automations SET rules = '[{}]' WHERE property_id = :id RETURNING 1", id=other)
    run = AutomationRuns(stack.client, stack.settings).start

    class Failing(PropertyEvents):
        async def read(self, property_id: str, *, after: int, limit: int) -> tuple[list[PropertyEvent], int]:
            if property_id == other:
                raise RuntimeError("Ana said hello")
            return await super().read(property_id, after=after, limit=limit)

    class First(StoredAutomations):
        async def behind(self) -> list[tuple[str, int]]:
            return sorted(await super().behind())

    await AutomationFollower(First(stack.database), Failing(stack.database), run).look()
    await _has_tasks(stack, 1)
    positions = await stack.rows("SELECT position FROM automations WHERE property_id = :id", id=other)
    assert positions == [{"position": 0}]  # it is tried again
    assert f"automations of {other}: postponed, unexpected" in caplog.text
    assert "Ana said hello" not in caplog.text
    await stack.rows("DELETE FROM automations WHERE property_id = :id RETURNING 1", id=other)


async def test_what_happened_before_there_were_rules_runs_none(stack: Stack, guest: Guest, automating: None) -> None:
    await guest.ask(PERSON)
    await stack.stored(await guest.conversation())
    await _follow(stack, a_rule("conversation.escalated", CREATE_TASK))
    await guest.ask("Hello?")
    await stack.stored(await guest.conversation())
    await _caught_up(stack)
    assert await _tasks(stack) == []


async def test_a_worker_that_was_away_makes_up_for_it(stack: Stack, guest: Guest, ai: FakeAI) -> None:
    await _follow(stack, a_rule("conversation.escalated", CREATE_TASK))
    async with workers(stack.settings, stack.client):
        await guest.ask(PERSON)
        await stack.stored(await guest.conversation())
    async with worker.following(stack.settings, stack.client):
        await _caught_up(stack)  # begun, with no worker to do it
    assert await _tasks(stack) == []
    async with workers(stack.settings, stack.client):
        assert len(await _has_tasks(stack, 1)) == 1


def test_business_hours_are_the_propertys(stack: Stack) -> None:
    stack.settings.properties[stack.hotel].hours = Hours(weekly={})
    runs = AutomationRuns(stack.client, stack.settings)
    event = PropertyEvent(type="task.created", property_id=stack.hotel, position=1, at=NOW, task=a_task())
    rules = [a_rule("task.*", CREATE_TASK, id=state, businessHours=state) for state in ("open", "closed")]
    known = Automations(property_id=stack.hotel, rules=rules)
    assert [rule.id for rule in runs.firing(known, event, Facts())] == ["closed"]
    stack.settings.properties[stack.hotel].hours = None
    assert [rule.id for rule in runs.firing(known, event, Facts())] == ["open"]
