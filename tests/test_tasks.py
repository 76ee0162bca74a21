"""Tasks on a real server: what is acknowledged is told once and in order, whatever is away, killed or repeated."""

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest
from redis.asyncio import Redis
from temporalio.api.sdk.v1 import WorkflowMetadata
from temporalio.client import WorkflowExecutionStatus
from temporalio.common import WorkflowIDConflictPolicy, WorkflowIDReusePolicy

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream
from activities.storage.tasks import Tasks
from contracts.events import live_stream
from contracts.names import TaskQueue, task_workflow_id
from contracts.problems import OutcomeUnknown, StaleVersion, Unavailable
from contracts.tasks import Task, TaskFilter, TaskPolicy, VersionedTask
from embedded import PostgresServer
from tests.desk import Desk, StandIn, a_conversation_id, stand_in
from tests.processes import worker_process
from tests.support import Stack, eventually, workers
from tests.task_records import NOW, a_change, a_task
from workflows import task_policy
from workflows.task import TaskWorkflow
from workflows.task_policy import TaskStart

WORDS = ("Zanzibarmoon", "quetzalcoatl")


@pytest.fixture
async def own_postgres(tmp_path_factory: pytest.TempPathFactory, stack: Stack) -> AsyncIterator[PostgresServer]:
    """A PostgreSQL of this test alone, which it may stop."""
    async with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        stack.settings.database.url = server.url
        stack.database = Database(stack.settings.database)
        await stack.database.migrate()
        yield server
        await stack.database.close()


# --- life ----------------------------------------------------------------------------------------------------------


async def test_a_task_lives_until_it_is_done_and_can_be_opened_again(desk: Desk, served: None) -> None:
    task = await desk.create()
    await desk.change(task, status="in_progress", assigned_to="ana")
    await desk.change(task, status="done")
    await desk.handle(task).result()
    with pytest.raises(StaleVersion) as stale:
        await desk.reopen(task, expected=[2], status="open")
    assert stale.value.members == {"etag": '"3"', "version": 3}
    assert (await desk.reopen(task, expected=[3], status="open")).version == 4
    await desk.change(task, status="cancelled")
    await desk.handle(task).result()
    told = await desk.versions(task)
    assert [each.status for each in told] == ["open", "in_progress", "done", "open", "cancelled"]
    assert {each.assigned_to for each in told[1:]} == {"ana"}


async def test_a_change_of_what_is_done_is_answered_and_leaves_it_done(desk: Desk, served: None) -> None:
    task = await desk.create()
    await desk.change(task, status="done")
    await desk.handle(task).result()
    assert (await desk.reopen(task)).version == 2  # nothing is changed
    await desk.handle(task).result()
    assert (await desk.reopen(task, title="Towels, brought")).version == 3
    await desk.handle(task).result()
    assert [each.title for each in await desk.versions(task)] == ["Towels", "Towels", "Towels, brought"]


async def test_a_second_start_under_one_id_is_harmless(desk: Desk, served: None) -> None:
    task = await desk.create(due_in=timedelta(days=1))
    another = a_task(task.id, property_id=desk.stack.hotel, title="Something else")
    assert (await desk.running.create(another)).task == task
    await desk.change(task, status="done")
    await desk.handle(task).result()
    assert (await desk.running.create(another)).task == task
    # A conversation's child may begin anew under the id of one that is done.
    again = await desk.client.start_workflow(
        TaskWorkflow.run,
        TaskStart(task=task),
        id=task_workflow_id(task.id),
        task_queue=TaskQueue.GATEWAY,
        id_conflict_policy=WorkflowIDConflictPolicy.USE_EXISTING,
        id_reuse_policy=WorkflowIDReusePolicy.ALLOW_DUPLICATE,
    )
    await again.result()
    assert (await desk.running.get(task.id)).task.status == "done"
    assert [each.status for each in await desk.versions(task)] == ["open", "done"]


async def test_an_operator_who_cancels_the_workflow_cancels_the_task(desk: Desk, served: None) -> None:
    task = await desk.create()
    await desk.is_stored(task, 1)
    await desk.handle(task).cancel()
    await desk.handle(task).result()
    assert [each.status for each in await desk.versions(task)] == ["open", "cancelled"]


async def test_changes_go_on_over_many_runs(desk: Desk, served: None) -> None:
    now = datetime.now(UTC)
    task = a_task(str(uuid.uuid4()), now=now, property_id=desk.stack.hotel, due_at=now + timedelta(days=1))
    await desk.client.start_workflow(
        TaskWorkflow.run,
        TaskStart(task=task, policy=TaskPolicy(history_limit=30)),
        id=task_workflow_id(task.id),
        task_queue=TaskQueue.GATEWAY,
    )
    for number in range(40):
        await desk.change(task, title=f"Title {number}", expected=[number + 1])
    await desk.is_stored(task, 41)
    assert [each.title for each in await desk.versions(task)] == ["Towels", *(f"Title {n}" for n in range(40))]
    assert (await desk.running.create(task)).version > 1  # the newest run began with a later one
    runs = desk.client.list_workflows(f"WorkflowId = '{task_workflow_id(task.id)}'")

    async def continued() -> bool:
        return [each.status async for each in runs].count(WorkflowExecutionStatus.CONTINUED_AS_NEW) >= 3

    assert await continued()


# --- away, down, killed --------------------------------------------------------------------------------------------


async def test_without_a_worker_a_task_is_begun_and_a_change_has_no_known_outcome(desk: Desk) -> None:
    task = await desk.create()
    with pytest.raises(OutcomeUnknown):
        await desk.change(task, status="done")
    async with workers(desk.stack.settings, desk.client):
        await desk.change(task, status="done")
        await desk.handle(task).result()
        assert [each.status for each in await desk.versions(task)] == ["open", "done"]


async def test_without_a_worker_when_it_falls_due_it_is_late_by_the_restart(desk: Desk) -> None:
    desk.stack.settings.tasks.reminder_lead = 0
    async with workers(desk.stack.settings, desk.client):
        task = await desk.create(due_in=timedelta(seconds=2))
        await desk.is_stored(task, 1)

    async def fired() -> bool:
        history = await desk.handle(task).fetch_history()
        return any(event.HasField("timer_fired_event_attributes") for event in history.events)

    await eventually(fired, what="the due date to pass")
    assert await desk.notifications(task) == []
    async with workers(desk.stack.settings, desk.client):
        await desk.is_stored(task, 2)
    assert [each.audience for each in await desk.notifications(task)] == ["managers"]
    assert [each.priority for each in await desk.versions(task)] == ["normal", "high"]


async def test_storage_away_delays_what_is_told_and_stops_nothing(
    own_postgres: PostgresServer, desk: Desk, stand_ins: None
) -> None:
    async with workers(desk.stack.settings, desk.client):
        before = await desk.create()
        await desk.is_stored(before, 1)
        await own_postgres.kill()
        conversation = await stand_in(desk.client, conversation_id := a_conversation_id())
        meanwhile = await desk.create(conversation_id=conversation_id)
        for task in (before, meanwhile):
            await desk.change(task, expected=[1], status="in_progress")
            await desk.change(task, expected=[2], status="done")
            assert (await desk.running.get(task.id)).task.status == "done"

        async def told() -> bool:
            return len(await conversation.query(StandIn.told)) == 1

        await eventually(told, what="the conversation to be told")
        await own_postgres.start()
        for task in (before, meanwhile):
            await desk.handle(task).result()
            assert [each.status for each in await desk.versions(task)] == ["open", "in_progress", "done"]
        await conversation.terminate()


async def test_a_killed_worker_loses_and_repeats_nothing(desk: Desk, stack: Stack) -> None:
    tasks = [await desk.create() for _ in range(8)]
    async with worker_process(stack.settings) as first:
        await asyncio.gather(*(desk.change(task, status="in_progress") for task in tasks))
        changing = [asyncio.create_task(desk.change(task, status="done")) for task in tasks]
        await asyncio.wait(changing, return_when=asyncio.FIRST_COMPLETED)
        first.kill()
        assert await first.wait() == -signal.SIGKILL
        await asyncio.wait(changing)
        acknowledged = {id(task) for task, change in zip(tasks, changing, strict=True) if not change.exception()}
    assert acknowledged

    async def repeated(task: Task) -> VersionedTask | None:
        """As a client does whose command had no known outcome."""
        with suppress(OutcomeUnknown, Unavailable):
            return await desk.reopen(task, status="done")
        return None

    async with workers(stack.settings, stack.client):
        for task in tasks:
            if id(task) not in acknowledged:
                await eventually(partial(repeated, task), what="the change to be answered")
            await desk.handle(task).result()
            assert [each.status for each in await desk.versions(task)] == ["open", "in_progress", "done"]


async def test_publishers_at_once_tell_each_version_and_notification_once(
    desk: Desk, database: Database, redis: Redis
) -> None:
    """Worker and api bring the same, in batches that overlap and pass each other."""
    tasks = Tasks(database, LiveStream(redis), desk.stack.settings)
    record = task_policy.begin(TaskStart(task=a_task(str(uuid.uuid4()), property_id=desk.stack.hotel)), NOW)
    batches = [task_policy.publication(record)]
    for number in range(8):
        due_at = NOW + timedelta(hours=number + 1)
        task_policy.change(record, a_change(due_at=due_at), NOW)
        task_policy.time_passes(record, due_at - timedelta(minutes=1))
        batches.append(task_policy.publication(record))
    published = await asyncio.gather(*(tasks.publish(batch) for batch in [*batches, *batches[::-1]]))
    told = await desk.told(record.task)
    assert [entry.task.due_at for entry in told if entry.task] == [
        None,
        *(NOW + timedelta(hours=number + 1) for number in range(8)),
    ]
    assert len({entry.notification.id for entry in told if entry.notification}) == 8
    assert len(told) == 9 + 8
    assert any(each.newer is not None for each in published)
    assert (await tasks.get(record.task.id)) == record.current
    live = [fields or {} for _, fields in await redis.xrange(live_stream(desk.stack.hotel)) or []]
    assert len(live) == len(told)


# --- what operators see --------------------------------------------------------------------------------------------


async def test_operators_find_a_task_and_read_no_word_of_it(desk: Desk, served: None) -> None:
    task = await desk.create(
        title=WORDS[0], description=WORDS[1], due_in=timedelta(days=1), assigned_to="ana", conversation_id="x"
    )
    await desk.change(task, description=f"{WORDS[1]} again", priority="urgent", status="in_progress")

    async def found() -> bool:
        query = (
            f"WorkflowType = 'Task' AND GatewayProperty = '{desk.stack.hotel}' AND GatewayState = 'in_progress'"
            " AND GatewayAssignee = 'ana' AND GatewayPriority = 1"
        )
        return [each.id async for each in desk.client.list_workflows(query)] == [task_workflow_id(task.id)]

    await eventually(found, what="the task to be found by its attributes")
    described = await desk.handle(task).describe()
    metadata = await desk.handle(task).query("__temporal_workflow_metadata", result_type=WorkflowMetadata)
    history = await desk.handle(task).fetch_history()
    raw = b"".join(event.SerializeToString() for event in history.events)
    clear = (history.to_json().encode() + raw).decode("latin-1") + str(described.raw_description)
    clear += metadata.current_details
    assert metadata.current_details.startswith(f"**IN PROGRESS** · {desk.stack.hotel} · housekeeping")
    assert f"{desk.stack.hotel} · housekeeping" == await described.static_summary()
    assert not [word for word in WORDS if word in clear]
    for summary in ("Publish", "Due date"):
        assert summary in clear
    await desk.change(task, status="done")
    await desk.handle(task).result()


async def test_running_tasks_are_listed_by_what_is_asked_for(desk: Desk, served: None) -> None:
    first = await desk.create(conversation_id="c-1", department="security")
    second = await desk.create(assigned_to="ana")
    done = await desk.create()
    await desk.change(done, status="done")
    await desk.handle(done).result()
    hotel = [desk.stack.hotel]

    async def listed(wanted: TaskFilter, *expected: Task) -> None:
        async def look() -> bool:
            found = await desk.running.list_running(wanted, limit=50)
            return [each.id for each in found] == [each.id for each in expected]

        await eventually(look, what=f"{len(expected)} tasks of {wanted}")

    await listed(TaskFilter(hotel), second, first)
    await listed(TaskFilter(hotel, department="security"), first)
    await listed(TaskFilter(hotel, conversation_id="c-1", status="open"), first)
    await listed(TaskFilter(hotel, assigned_to="ana"), second)
    await listed(TaskFilter(hotel, status="done"))
    await listed(TaskFilter([]))
    assert len(await desk.running.list_running(TaskFilter(hotel), limit=1)) == 1
    for task in (first, second):
        await desk.change(task, status="cancelled")
