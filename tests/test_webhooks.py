"""Outgoing webhooks: everything that happens is told, signed and in order, whatever fails; and nothing goes astray."""

import asyncio
import signal
from datetime import timedelta

import pytest
from pydantic import SecretStr
from sqlalchemy import text
from temporalio.testing import WorkflowEnvironment

from activities.storage.database import Database
from activities.storage.property_events import PropertyEvents
from activities.storage.sealed_secrets import SealedSecrets, SecretLostError
from activities.webhooks.following import WebhookFollower
from activities.webhooks.sender import SCHEDULE
from contracts.names import webhook_workflow_id
from contracts.problems import Unavailable
from contracts.webhooks import WebhookEndpoint
from embedded import PostgresServer
from settings import Temporal
from tests.desk import Desk
from tests.fakes.ai import FakeAI
from tests.fakes.receiver import FakeReceiver
from tests.processes import worker_process
from tests.support import Stack, command, eventually
from tests.webhooks import Hooked, delivering, hook

# --- what is told --------------------------------------------------------------------------------------------------


async def test_a_conversation_is_told_signed_and_in_order(stack: Stack, receiver: FakeReceiver, ai: FakeAI) -> None:
    hooked = await hook(stack, receiver, ["conversation.*", "message.*"])
    guest = stack.guest()
    async with delivering(stack):
        await guest.ask("When is breakfast?")
        conversation = await guest.conversation()
        await stack.conversations.resolve(command(conversation))
        await guest.handle.result()

        async def resolved() -> bool:
            return "conversation.resolved" in [each["type"] for each in receiver.received.values()]

        await eventually(resolved, what="the end to be told")
    events = list(receiver.received.values())
    types = [event["type"] for event in events]
    assert types.index("conversation.started") < types.index("message.sent") < types.index("conversation.resolved")
    asked = next(event for event in events if event["type"] == "message.received")
    assert asked["data"]["message"]["content"] == "When is breakfast?"
    assert asked["data"]["conversationId"] == conversation.conversation_id
    assert receiver.sequences == sorted(receiver.sequences)
    assert len(receiver.attempts) == len(receiver.received)
    assert [each.state for each in await hooked.told()] == ["delivered"] * len(events)


async def test_what_an_endpoint_does_not_want_starts_no_workflow(hooked: Hooked, stack: Stack) -> None:
    await hooked.endpoints.change(
        hooked.endpoint.id, {"event_types": ["message.*"]}, skip_missed=False, allow=lambda _: None
    )
    await hooked.happens(3)
    async with delivering(stack):

        async def passed_over() -> bool:
            target = await hooked.endpoints.target(hooked.endpoint.id)
            return target is not None and target.position == 3

        await eventually(passed_over, what="the endpoint to be past it")
    query = f"WorkflowId = '{webhook_workflow_id(hooked.endpoint.id)}'"
    assert [each async for each in stack.client.list_workflows(query)] == []
    assert hooked.receiver.attempts == []


async def test_an_endpoint_that_fails_holds_up_no_other(
    hooked: Hooked, stack: Stack, receiver: FakeReceiver, caplog: pytest.LogCaptureFixture
) -> None:
    another = await hook(stack, receiver, ["task.*"])
    await hooked.happens(1)
    started = []

    async def start(endpoint: WebhookEndpoint) -> None:
        started.append(endpoint.id)
        raise Unavailable("Temporal does not take it")

    await WebhookFollower(hooked.endpoints, PropertyEvents(stack.database), start).look()
    assert {hooked.endpoint.id, another.endpoint.id} <= set(started)
    assert f"webhooks of endpoint {another.endpoint.id}: postponed, unavailable" in caplog.text


async def test_a_burst_costs_one_short_history(hooked: Hooked, stack: Stack) -> None:
    await hooked.happens(50)
    async with delivering(stack):
        await hooked.has_received(50)
        handle = stack.client.get_workflow_handle(webhook_workflow_id(hooked.endpoint.id))
        await handle.result()
    assert hooked.receiver.sequences == list(range(1, 51))
    assert len((await handle.fetch_history()).events) <= 11


async def test_an_overdue_task_is_told_as_such(stack: Stack, receiver: FakeReceiver, desk: Desk) -> None:
    hooked = await hook(stack, receiver, ["task.overdue"])
    async with delivering(stack):
        task = await desk.create(due_in=timedelta(seconds=1))
        await hooked.has_received(1)
        await desk.change(task, status="done")
        await desk.handle(task).result()
    (event,) = receiver.received.values()
    assert (event["type"], event["data"]["task"]["id"]) == ("task.overdue", task.id)


async def test_both_secrets_sign_after_a_rotation(hooked: Hooked, stack: Stack) -> None:
    await hooked.endpoints.rotate(hooked.endpoint.id, overlap=timedelta(hours=1))
    await hooked.happens(1)
    async with delivering(stack):
        await hooked.has_received(1)  # the receiver still checks with the old one
    assert len(hooked.receiver.signatures[0].split()) == 2
    _, hooked.receiver.secret = await hooked.endpoints.rotate(hooked.endpoint.id, overlap=timedelta(0))
    await hooked.happens(1)
    async with delivering(stack):
        await hooked.has_received(2)
    assert len(hooked.receiver.signatures[1].split()) == 1


async def test_secrets_stand_sealed_in_storage(hooked: Hooked, stack: Stack) -> None:
    await hooked.endpoints.rotate(hooked.endpoint.id, overlap=timedelta(hours=1))
    (row,) = await stack.rows("SELECT * FROM webhook_endpoints WHERE id = :id", id=hooked.endpoint.id)
    assert hooked.receiver.secret.removeprefix("whsec_") not in str(row)
    assert SealedSecrets(stack.settings.temporal).open(str(row["previous_secret"])) == hooked.receiver.secret


def test_a_newer_key_seals_and_the_older_still_opens() -> None:
    older, newer = {"a": SecretStr("one")}, {"b": SecretStr("two")}
    before = SealedSecrets(Temporal(codec_keys=older, codec_key_id="a")).seal("whsec_x")
    both = SealedSecrets(Temporal(codec_keys=older | newer, codec_key_id="b"))
    assert both.open(before) == "whsec_x"
    only_newer = SealedSecrets(Temporal(codec_keys=newer, codec_key_id="b"))
    assert only_newer.open(both.seal("whsec_y")) == "whsec_y"
    with pytest.raises(SecretLostError):
        only_newer.open(before)


async def test_an_endpoint_whose_secret_no_key_opens_is_told_nothing_and_says_why(hooked: Hooked, stack: Stack) -> None:
    others = SealedSecrets(Temporal(codec_keys={"x": SecretStr("another")}, codec_key_id="x"))
    async with stack.database.begin() as connection:
        await connection.execute(
            text("UPDATE webhook_endpoints SET secret = :secret WHERE id = :id"),
            {"secret": others.seal("whsec_x"), "id": hooked.endpoint.id},
        )
    await hooked.happens(1)
    async with delivering(stack):

        async def tried() -> bool:
            return bool(await hooked.told())

        await eventually(tried, what="the attempt to be noted")
        assert "temporal.codecKeys" in ((await hooked.told())[0].reason or "")
        assert hooked.receiver.attempts == []
        _, hooked.receiver.secret = await hooked.endpoints.rotate(hooked.endpoint.id, overlap=timedelta(0))
        await hooked.deliveries.wake(hooked.endpoint.id)
        await hooked.has_received(1)


async def test_what_is_skipped_while_a_batch_is_under_way_is_not_told(hooked: Hooked) -> None:
    hooked.receiver.hold()
    await hooked.happens(5)
    async with delivering(hooked.stack):
        await hooked.was_tried(1)
        await hooked.endpoints.change(hooked.endpoint.id, {}, skip_missed=True, allow=lambda _: None)
        hooked.receiver.let_go()
        await hooked.has_received(1)
        await hooked.happens(1)
        await hooked.has_received(2)
    assert hooked.receiver.sequences == [1, 6]


# --- what fails ----------------------------------------------------------------------------------------------------


async def test_a_receiver_that_was_down_gets_all_in_order(hooked: Hooked, stack: Stack) -> None:
    hooked.receiver.status = lambda event: 503 if not up.is_set() else 200
    up = asyncio.Event()
    async with delivering(stack):
        await hooked.happens(5)
        await hooked.was_tried(1)
        await hooked.happens(5)

        async def waits() -> bool:
            return (await hooked.now()).next_attempt_at is not None

        await eventually(waits, what="the next attempt to be planned")
        assert hooked.receiver.received == {}
        up.set()
        await hooked.deliveries.wake(hooked.endpoint.id)
        await hooked.has_received(10)
    assert hooked.receiver.sequences == list(range(1, 11))
    assert (await hooked.now()).failures == 0
    first, *others = await hooked.told()
    assert (first.state, first.attempts >= 2, {each.attempts for each in others}) == ("delivered", True, {1})
    assert len(set(hooked.receiver.attempts)) == 10  # the same id on every attempt


async def test_a_worker_that_is_restarted_goes_on_from_there(hooked: Hooked, stack: Stack) -> None:
    hooked.receiver.hold()
    await hooked.happens(30)
    async with delivering(stack):
        await hooked.was_tried(1)
        hooked.receiver.let_go()
    async with delivering(stack):
        await hooked.has_received(30)
    assert hooked.receiver.sequences == list(range(1, 31))
    assert len(hooked.receiver.attempts) == 30


async def test_a_killed_worker_loses_nothing(hooked: Hooked, stack: Stack) -> None:
    await hooked.happens(3)
    hooked.receiver.status = lambda event: 200
    async with worker_process(stack.settings) as first:
        await hooked.has_received(3)
        hooked.receiver.hold()
        await hooked.happens(20)
        await hooked.was_tried(4)
        first.kill()
        assert await first.wait() == -signal.SIGKILL
    hooked.receiver.let_go()
    async with delivering(stack):
        await hooked.has_received(23)
    assert hooked.receiver.sequences == list(range(1, 24))
    assert len(hooked.receiver.attempts) <= 24  # what was under way is sent again, under its own id


async def test_storage_that_goes_away_delays_and_loses_nothing(
    stack: Stack, receiver: FakeReceiver, tmp_path_factory: pytest.TempPathFactory
) -> None:
    async with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        stack.settings.database.url = server.url
        stack.database = Database(stack.settings.database)
        await stack.database.migrate()
        hooked = await hook(stack, receiver, ["task.*"])
        await hooked.happens(10)
        receiver.hold()
        async with delivering(stack):
            await hooked.was_tried(1)
            await server.kill()
            receiver.let_go()  # it has the first, which nobody can note
            await server.start()
            await hooked.has_received(10)
            await stack.client.get_workflow_handle(webhook_workflow_id(hooked.endpoint.id)).result()
        assert (await hooked.now()).failures == 0
        await stack.database.close()
    assert receiver.sequences == list(range(1, 11))
    assert len(receiver.attempts) <= 11


async def test_gone_disables_at_once_and_staff_are_told_once(hooked: Hooked, stack: Stack) -> None:
    hooked.receiver.status = lambda event: 410
    await hooked.happens(3)
    async with delivering(stack):
        disabled = await hooked.becomes_disabled()
    assert disabled.disabled_reason == "gone"
    assert len(hooked.receiver.attempts) == 1
    (notice,) = await hooked.notices()
    assert hooked.endpoint.id in notice
    assert "410" in notice


async def test_a_redirect_is_not_followed(hooked: Hooked, stack: Stack) -> None:
    hooked.receiver.status = lambda event: 307
    hooked.receiver.headers = {"location": "/elsewhere"}
    await hooked.happens(1)
    async with delivering(stack):

        async def noted() -> bool:
            return len(await hooked.told()) == 1

        await eventually(noted, what="the attempt to be noted")
    (told,) = await hooked.told()
    assert (told.state, told.response_status) == ("failing", 307)
    assert "redirects are not followed" in (told.reason or "")
    assert hooked.receiver.elsewhere == 0


async def test_lasting_failure_disables_after_the_planned_attempts(
    receiver: FakeReceiver, skipping: tuple[Stack, WorkflowEnvironment]
) -> None:
    stack, environment = skipping
    hooked = await hook(stack, receiver, ["task.*"])
    receiver.status = lambda event: 500
    await hooked.happens(2)
    await hooked.deliveries.start(hooked.endpoint)
    await environment.sleep(timedelta(days=4, hours=23))
    assert ((await hooked.now()).enabled, await hooked.notices()) == (True, [])
    await environment.sleep(timedelta(hours=2))
    disabled = await hooked.becomes_disabled()
    assert disabled.disabled_reason == "failing"
    # The schedule takes a little over three days, then every day, and once more when the five days are over.
    assert len(SCHEDULE) + 2 <= len(receiver.attempts) <= len(SCHEDULE) + 4
    assert len(set(receiver.attempts)) == 1
    assert len(await hooked.notices()) == 1
    # Enabled again, it goes on from where it stopped.
    receiver.status = lambda event: 200
    again = await hooked.endpoints.change(
        hooked.endpoint.id, {"enabled": True}, skip_missed=False, allow=lambda _: None
    )
    await hooked.deliveries.start(again)
    await hooked.has_received(2)
    assert receiver.sequences == [1, 2]


async def test_a_long_outage_goes_on_in_new_runs(
    receiver: FakeReceiver, skipping: tuple[Stack, WorkflowEnvironment]
) -> None:
    stack, environment = skipping
    hooked = await hook(stack, receiver, ["task.*"])
    receiver.status = lambda event: 200 if len(receiver.attempts) > 8 else 500
    await hooked.happens(2)
    await hooked.deliveries.start(hooked.endpoint, history_limit=20)
    await environment.sleep(timedelta(days=3))
    await hooked.has_received(2)
    handle = stack.client.get_workflow_handle(webhook_workflow_id(hooked.endpoint.id))
    description = await handle.describe()
    assert description.raw_description.workflow_execution_info.first_run_id != description.run_id
    assert receiver.sequences == [1, 2]
    assert len(receiver.attempts) == 10
