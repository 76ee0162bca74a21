"""The worker process: builds its dependencies and serves task queues. No logic."""

import asyncio
import contextlib
import gc
import hashlib
import signal
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from prometheus_client import start_http_server
from temporalio.client import Client
from temporalio.common import VersioningBehavior, WorkerDeploymentVersion
from temporalio.worker import Worker, WorkerDeploymentConfig

from activities.ai.engines import build_engine
from activities.ai.library import Library
from activities.ai.port import Engine
from activities.automations.acting import AutomationActing
from activities.automations.actions import Actions
from activities.automations.following import AutomationFollower
from activities.channels.email_sender import EmailSender
from activities.channels.messages_sender import MessagesCallback
from activities.channels.notification_mails import NotificationMails
from activities.channels.port import Channel
from activities.channels.twilio_sender import Twilio
from activities.channels.webchat import Webchat
from activities.channels.whatsapp_sender import WhatsApp
from activities.hotel.guest_stays import GuestStays
from activities.hotel.http import open_hotel
from activities.media.fetching import MediaFetching
from activities.media.store import MediaStore
from activities.polling import poll_until
from activities.storage.automations import StoredAutomations
from activities.storage.contacts import Contacts
from activities.storage.database import Database
from activities.storage.delivery_reports import DeliveryReports
from activities.storage.guests import Guests
from activities.storage.knowledge import Knowledge
from activities.storage.log_writer import LiveStream
from activities.storage.mail_outbox import MailOutbox
from activities.storage.migrating import migrating
from activities.storage.notices import Notices
from activities.storage.property_events import PropertyEvents
from activities.storage.publications import Publications
from activities.storage.redis_client import open_redis
from activities.storage.sealed_secrets import SealedSecrets
from activities.storage.staff import StaffAccounts
from activities.storage.tasks import Tasks
from activities.storage.webhook_endpoints import WebhookEndpoints
from activities.storage.webhook_notices import WebhookNotices
from activities.tasks import TaskPublishing
from activities.turns import HEARTBEAT_SECONDS, Turns
from activities.webhooks.following import WebhookFollower
from activities.webhooks.sender import WebhookSender
from activities.webhooks.sending import WebhookSending
from contracts.names import DEPLOYMENT, TaskQueue
from settings import Channels, Settings, SettingsError
from workflows.automation import AutomationWorkflow
from workflows.automation_client import AutomationRuns
from workflows.client import Conversations
from workflows.connection import connect
from workflows.conversation import ConversationWorkflow
from workflows.deployment import Release
from workflows.media import MediaWorkflow
from workflows.sandbox import Sandbox
from workflows.search import register_search_attributes
from workflows.task import TaskWorkflow
from workflows.task_client import RunningTasks
from workflows.webhook_client import WebhookDeliveries
from workflows.webhook_delivery import WebhookDeliveryWorkflow

GRACE = timedelta(seconds=30)
"""How long running activities may continue after the process was asked to stop."""
READY = "worker ready"
LEAD_SECONDS = 10.0
"""How often to check whether the current release has workers."""
STICKY = timedelta(seconds=5)
"""How long a workflow task waits for the worker that has the conversation cached, before any worker may take it. With
the default, guests would wait twice as long after a worker has ended. With much less, conversations would be replayed
needlessly under load."""
WORKFLOW_TASKS, WORKFLOW_POLLS = 8, 2
"""How many workflow tasks one process runs, and polls for, at once. One core runs them all, so more would not be faster
but would load Temporal: with the SDK's 100 and 5, acknowledging guests' messages took twice as long at 50 a second."""


@dataclass(frozen=True, slots=True)
class Activities:
    """The activities that workflows may call."""

    turns: Turns
    tasks: TaskPublishing
    media: MediaFetching
    webhooks: WebhookSending
    automations: AutomationActing


async def run(settings: Settings, queues: Sequence[TaskQueue] = tuple(TaskQueue), engine: Engine | None = None) -> None:
    """Serves the queues until SIGTERM or SIGINT, then drains. Prints `worker ready` once first tasks would start."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    if port := settings.temporal.metrics_port:
        try:
            start_http_server(port)
        except OSError as error:
            raise SettingsError(f"temporal.metricsPort: nothing can listen at {port}: {error.strerror}") from None
    client = await connect(settings, lazy=False)
    async with dependencies(settings, client, engine) as activities, contextlib.AsyncExitStack() as workers:
        await register_search_attributes(client)
        await workers.enter_async_context(bringing_up_to_date(settings))
        serving = [build_worker(client, queue, activities, settings.channels) for queue in queues]
        for each in serving:
            await workers.enter_async_context(each)
        if TaskQueue.CHANNELS in queues:
            await workers.enter_async_context(mailing(settings))
        if TaskQueue.GATEWAY in queues:
            await workers.enter_async_context(following(settings, client))
            await workers.enter_async_context(leading(client))
        gc.freeze()  # all that is loaded by now stays; collecting it would pause everything for 0.1 s
        print(READY, flush=True)  # noqa: T201 - the supervisor waits for this line
        await stop.wait()
        await asyncio.gather(*(each.shutdown() for each in serving))  # concurrently, so that the grace periods overlap


@contextlib.asynccontextmanager
async def dependencies(settings: Settings, client: Client, engine: Engine | None = None) -> AsyncIterator[Activities]:
    """Builds the activities with everything they need, closed at the end. Without `engine`, the settings choose it."""
    database, redis = Database(settings.database), open_redis(settings.redis)
    library = Library(settings)
    engine = engine or build_engine(settings, library)
    learning = asyncio.create_task(library.follow(Knowledge(database)))
    live, files = LiveStream(redis), MediaStore(settings)
    secrets = SealedSecrets(settings.temporal)
    webhooks, endpoints = WebhookSender(settings.webhooks, secrets), WebhookEndpoints(database, secrets)
    tasks, notices = Tasks(database, live, settings), Notices(database, live, settings)
    channels = build_channels(settings, DeliveryReports(database, live), files)
    hotel = open_hotel(settings.integration.http)
    stays = GuestStays(hotel, Guests(database)) if hotel is not None else None
    try:
        yield Activities(
            turns=Turns(engine, channels, Publications(database, live, settings), Contacts(database), stays),
            tasks=TaskPublishing(tasks),
            media=MediaFetching(channels, files),
            webhooks=WebhookSending(
                endpoints, PropertyEvents(database), webhooks, WebhookNotices(database, live, settings)
            ),
            automations=AutomationActing(
                Actions(
                    Conversations(client, settings),
                    RunningTasks(client, settings),
                    tasks,
                    StaffAccounts(database),
                    notices,
                    endpoints,
                    webhooks,
                ),
                notices,
            ),
        )
    finally:
        learning.cancel()
        await webhooks.close()
        for channel in channels.values():
            await channel.close()
        await engine.close()
        if hotel is not None:
            await hotel.close()
        await redis.aclose()
        await database.close()


@contextlib.asynccontextmanager
async def bringing_up_to_date(settings: Settings) -> AsyncIterator[None]:
    """Migrates the schema, if possible before anything is served. Workers may be the first processes of a release."""
    database = Database(settings.database)
    async with migrating(database):
        yield


@contextlib.asynccontextmanager
async def mailing(settings: Settings) -> AsyncIterator[None]:
    """Mails notifications to staff until the block ends."""
    database = Database(settings.database.model_copy(update={"pool_size": 1}))
    stop = asyncio.Event()
    mails = asyncio.create_task(NotificationMails(settings, MailOutbox(database)).run(stop))
    try:
        yield
    finally:
        stop.set()
        await mails
        await database.close()


@contextlib.asynccontextmanager
async def following(settings: Settings, client: Client) -> AsyncIterator[None]:
    """Starts the workflows of webhook endpoints and automations for new events, until the block ends."""
    database = Database(settings.database.model_copy(update={"pool_size": 2}))
    stop, events = asyncio.Event(), PropertyEvents(database)
    endpoints = WebhookEndpoints(database, SealedSecrets(settings.temporal))
    webhooks = WebhookFollower(endpoints, events, WebhookDeliveries(client, settings.webhooks).start)
    automations = AutomationFollower(StoredAutomations(database), events, AutomationRuns(client, settings).start)
    running = [asyncio.create_task(each.run(stop)) for each in (webhooks, automations)]
    try:
        yield
    finally:
        stop.set()
        await asyncio.gather(*running)
        await database.close()


@contextlib.asynccontextmanager
async def leading(client: Client) -> AsyncIterator[None]:
    """Makes this release the current one and, until the block ends, takes over from one whose workers are gone."""
    await make_current(client)
    stop, take_over = asyncio.Event(), Release(client, build_id()).take_over
    looking = asyncio.create_task(poll_until(stop, take_over, seconds=LEAD_SECONDS, what="a release without workers"))
    try:
        yield
    finally:
        stop.set()
        await looking


def build_channels(settings: Settings, reports: DeliveryReports, files: MediaStore) -> dict[str, Channel]:
    """The adapters that send to guests, by the adapter name in a message's route."""
    return {
        "webchat": Webchat(),
        "messages": MessagesCallback(settings),
        "email": EmailSender(settings, files),
        "whatsapp": WhatsApp(settings, reports),
        "twilio": Twilio(settings, reports),
    }


def served_activities(queue: TaskQueue, activities: Activities) -> list[Callable[..., object]]:
    turns = activities.turns
    serves: dict[TaskQueue, list[Callable[..., object]]] = {
        TaskQueue.GATEWAY: [
            turns.look_up,
            turns.answer,
            turns.deliver_and_publish,
            activities.tasks.publish_task,
            activities.automations.act,
            activities.automations.tell_staff,
        ],
        TaskQueue.AI: [turns.answer, turns.summarise],
        TaskQueue.CHANNELS: [
            turns.deliver_and_publish,
            activities.media.fetch_media,
            activities.media.give_media_up,
            activities.webhooks.send_events,
            activities.webhooks.disable_endpoint,
        ],
    }
    return serves[queue]


def served_workflows(queue: TaskQueue) -> list[type]:
    if queue is not TaskQueue.GATEWAY:
        return []
    return [ConversationWorkflow, TaskWorkflow, MediaWorkflow, WebhookDeliveryWorkflow, AutomationWorkflow]


def build_worker(client: Client, queue: TaskQueue, activities: Activities, channels: Channels | None = None) -> Worker:
    """A worker for one queue: workflows and local activities run on `gateway`, sends at the pace of `channels`."""
    paced = channels if queue is TaskQueue.CHANNELS else None
    return Worker(
        client,
        task_queue=queue,
        workflows=served_workflows(queue),
        activities=served_activities(queue, activities),
        workflow_runner=Sandbox(),
        graceful_shutdown_timeout=GRACE,
        max_concurrent_workflow_tasks=WORKFLOW_TASKS,
        max_concurrent_workflow_task_polls=WORKFLOW_POLLS,
        sticky_queue_schedule_to_start_timeout=STICKY,
        max_task_queue_activities_per_second=paced.max_per_second if paced else None,
        max_concurrent_activities=paced.max_concurrent if paced else None,
        max_heartbeat_throttle_interval=timedelta(seconds=HEARTBEAT_SECONDS),
        deployment_config=WorkerDeploymentConfig(
            version=WorkerDeploymentVersion(DEPLOYMENT, build_id()),
            use_worker_versioning=True,
            default_versioning_behavior=VersioningBehavior.AUTO_UPGRADE,
        ),
    )


def build_id() -> str:
    """Identifies this version of the workflow code: a hash of the files that workflows run."""
    digest = hashlib.sha256()
    for folder in ("contracts", "workflows"):
        for file in sorted((Path(__file__).parent / folder).rglob("*.py")):
            digest.update(file.read_bytes())
    return digest.hexdigest()[:8]


async def make_current(client: Client) -> None:
    """Makes this the version that new workflows run on."""
    await Release(client, build_id()).make_current()


def main() -> None:
    """Runs `gateway worker` for `python worker.py`."""
    import cli

    sys.argv.insert(1, "worker")
    cli.main()


if __name__ == "__main__":
    main()
