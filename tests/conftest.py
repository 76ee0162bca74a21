"""Real servers for the whole suite: Temporal, PostgreSQL and Redis are started once, on free ports and sockets."""

import asyncio
import base64
import os
import shutil
import sys
import tempfile
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from redis.asyncio import Redis
from sqlalchemy import text
from temporalio.client import Client, WorkflowHandle
from temporalio.service import RPCError
from temporalio.testing import WorkflowEnvironment
from temporalio.worker import Worker

import settings as configuration
import tests.fakes.graph
import tests.fakes.twilio
from activities.storage.database import Database
from activities.storage.log_writer import LiveStream
from activities.storage.publications import Publications
from activities.storage.redis_client import open_redis
from api.live.pages import router as pages
from embedded import PostgresServer, RedisServer, TemporalServer
from settings import Property, Settings, TwilioChannel, WhatsAppChannel, load_settings
from tests.api import Api, Person, running_api
from tests.browser import Browser, browsing
from tests.described import check_webhook
from tests.desk import STAND_INS, Desk, StandIn
from tests.fakes.ai import FakeAI
from tests.fakes.callback import SECRET, FakeCallback
from tests.fakes.graph import FakeGraph
from tests.fakes.receiver import FakeReceiver
from tests.fakes.server import serving
from tests.fakes.smtp import FakeSmtp, mail_server
from tests.fakes.twilio import FakeTwilio
from tests.histories import all_told, check_all
from tests.mails import HOTEL_ADDRESS, MAILGUN_KEY, POSTMARK_SECRET, RAW_SECRET, SENDGRID_SECRET
from tests.support import Guest, Stack, eventually, workers, workers_without_deployment
from tests.webhooks import Hooked, hook
from workflows.client import Conversations
from workflows.codec import data_converter
from workflows.connection import connect
from workflows.search import register_search_attributes, search_attributes

OWN_FOLDER = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Gives each run a temporary folder of its own.

    Under pytest's common one, the start of any other run takes the right to enter it away from PostgreSQL's user.
    """
    if config.option.basetemp is None:
        config.option.basetemp = tempfile.mkdtemp(prefix="gateway-tests-")
        config.stash[OWN_FOLDER] = Path(config.option.basetemp)


@pytest.hookimpl(trylast=True)  # the servers have ended by then
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Keeps the folder, and with it the servers' logs, only of a run that failed."""
    if exitstatus == pytest.ExitCode.OK and OWN_FOLDER in session.config.stash:
        shutil.rmtree(session.config.stash[OWN_FOLDER], ignore_errors=True)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("stack")


@pytest.fixture(scope="session")
async def temporal(data_dir: Path) -> AsyncIterator[TemporalServer]:
    async with TemporalServer(data_dir / "temporal") as server:
        yield server


@pytest.fixture(scope="session")
async def postgres(data_dir: Path) -> AsyncIterator[PostgresServer]:
    async with PostgresServer(data_dir / "postgres") as server:
        yield server


@pytest.fixture(scope="session")
async def redis_server(data_dir: Path) -> AsyncIterator[RedisServer]:
    async with RedisServer(data_dir / "redis") as server:
        yield server


@pytest.fixture(scope="session")
def clean_environment() -> Iterator[None]:
    """The developer's own GATEWAY_ settings do not reach the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.startswith(configuration.ENV_PREFIX):
                patch.delenv(name)
        yield


@pytest.fixture(scope="session")
async def base_settings(
    clean_environment: None,
    data_dir: Path,
    temporal: TemporalServer,
    postgres: PostgresServer,
    redis_server: RedisServer,
) -> Settings:
    settings = load_settings(
        temporal={
            "address": temporal.address,
            "codec_keys": {"test": base64.b64encode(b"a test key of thirty-two bytes!!").decode()},
            "codec_key_id": "test",
        },
        database={"url": postgres.url},
        redis={"url": redis_server.url},
        conversation={"debounce": 0},
        channels={"messages": {"secret": SECRET}},
        security={"identity_secret": "identity", "jwt_secret": "a signing secret of at least 32 bytes"},
        data_dir=data_dir,
    )
    database = Database(settings.database)
    await database.migrate()
    await database.close()
    return settings


@pytest.fixture
def settings(base_settings: Settings) -> Settings:
    """Settings of one test, which may change them."""
    return base_settings.model_copy(deep=True)


@pytest.fixture
def hotel(settings: Settings) -> str:
    """A property of this test alone, so that no test sees another's conversations."""
    property_id = f"hotel-{uuid.uuid4().hex[:12]}"
    settings.properties[property_id] = Property(name="Test Hotel", time_zone="Europe/Lisbon")
    return property_id


@pytest.fixture
async def database(settings: Settings) -> AsyncIterator[Database]:
    database = Database(settings.database)
    yield database
    await database.close()


@pytest.fixture
async def spool_of_its_own(database: Database) -> AsyncIterator[None]:
    """Nothing is left in the spool to tests that come after: their processes would hand it over."""
    yield
    async with database.begin() as connection:
        await connection.execute(text("DELETE FROM spool"))


@pytest.fixture
async def redis(settings: Settings) -> AsyncIterator[Redis]:
    client = open_redis(settings.redis)
    yield client
    await client.aclose()


@pytest.fixture
async def client(settings: Settings) -> Client:
    """A client of Temporal's server, where nothing of earlier tests runs on: it would reach this test's fakes."""
    client = await connect(settings, lazy=False)
    await register_search_attributes(client)
    async with asyncio.TaskGroup() as ending:
        async for each in client.list_workflows("ExecutionStatus = 'Running'"):
            ending.create_task(_end(client.get_workflow_handle(each.id, run_id=each.run_id)))
    return client


async def _end(workflow: WorkflowHandle[object, object]) -> None:
    with suppress(RPCError):  # it has ended by itself
        await workflow.terminate("its test is over")


@pytest.fixture
def conversations(client: Client, settings: Settings) -> Conversations:
    return Conversations(client, settings)


@pytest.fixture
def publications(database: Database, redis: Redis) -> Publications:
    return Publications(database, LiveStream(redis))


@pytest.fixture
async def marta(api: Api, hotel: str) -> Person:
    """Somebody at the hotel's desk."""
    return await api.person(hotel)


@pytest.fixture
async def ai(settings: Settings) -> AsyncIterator[FakeAI]:
    """A remote AI engine that this test commands; the settings point to it."""
    fake = FakeAI()
    async with serving(fake.app) as url:
        settings.ai.engine = "http"
        settings.ai.http.url = f"{url}/answer"
        yield fake
        fake.let_go()  # a request that is still held would hold the server open


@pytest.fixture
async def callback(settings: Settings) -> AsyncIterator[FakeCallback]:
    """The hotel's program behind the generic channel."""
    fake = FakeCallback()
    async with serving(fake.app) as url:
        settings.channels.messages.callback_url = f"{url}/callback"
        yield fake
        fake.let_go()


@pytest.fixture
async def receiver(settings: Settings) -> AsyncIterator[FakeReceiver]:
    """A program of the hotel's that takes webhooks, on this machine. All that it got must be as described."""
    fake = FakeReceiver()
    settings.webhooks.allow_private = True
    async with serving(fake.app) as url:
        fake.url = f"{url}/hook"
        yield fake
        fake.let_go()
    for event in fake.received.values():
        check_webhook(event)


@pytest.fixture
async def smtp(settings: Settings) -> AsyncIterator[FakeSmtp]:
    """The hotel's mail server, and a mailbox that every provider may bring mail to."""
    fake = FakeSmtp()
    async with mail_server(fake) as port:
        email = settings.channels.email
        email.smtp_host, email.smtp_port, email.from_address = "127.0.0.1", port, HOTEL_ADDRESS
        email.secret, email.mailgun_signing_key = SecretStr(RAW_SECRET), SecretStr(MAILGUN_KEY)
        email.postmark_secret, email.sendgrid_secret = SecretStr(POSTMARK_SECRET), SecretStr(SENDGRID_SECRET)
        yield fake


@pytest.fixture
async def graph(settings: Settings, hotel: str) -> AsyncIterator[FakeGraph]:
    """Meta's API; the hotel has a number there."""
    fake = FakeGraph()
    async with serving(fake.app) as url:
        fake.base = url
        settings.properties[hotel].channels.whatsapp = WhatsAppChannel(
            api_base=f"{url}/v23.0",
            app_secret=SecretStr(tests.fakes.graph.APP_SECRET),
            verify_token=SecretStr(tests.fakes.graph.VERIFY_TOKEN),
            access_token=SecretStr(tests.fakes.graph.ACCESS_TOKEN),
            phone_number_id=tests.fakes.graph.PHONE_NUMBER_ID,
        )
        yield fake
        fake.faults.let_go()


@pytest.fixture
async def twilio(settings: Settings, hotel: str) -> AsyncIterator[FakeTwilio]:
    """Twilio's API; the hotel has a number there."""
    fake = FakeTwilio()
    async with serving(fake.app) as url:
        settings.properties[hotel].channels.twilio = TwilioChannel(
            api_base=url,
            account_sid=tests.fakes.twilio.ACCOUNT_SID,
            auth_token=SecretStr(tests.fakes.twilio.AUTH_TOKEN),
            from_number=tests.fakes.twilio.NUMBER,
            public_url=tests.fakes.twilio.PUBLIC_URL,
        )
        yield fake
        fake.faults.let_go()


@pytest.fixture
async def working(stack: Stack, ai: FakeAI) -> AsyncIterator[None]:
    """Workers that ask the commanded AI."""
    async with workers(stack.settings, stack.client):
        yield


@pytest.fixture
async def skipping_server(settings: Settings) -> AsyncIterator[WorkflowEnvironment]:
    """A server whose time is skipped. It knows no deployments, and starts no worker."""
    environment = await WorkflowEnvironment.start_time_skipping(
        data_converter=data_converter(settings.temporal),
        test_server_existing_path=str(Path(sys.executable).with_name("temporal-test-server")),
    )
    async with environment:
        client = environment.client
        await client.operator_service.add_search_attributes(search_attributes(client.namespace))
        yield environment


@pytest.fixture
async def skipping(
    skipping_server: WorkflowEnvironment, settings: Settings, hotel: str, database: Database, ai: FakeAI
) -> AsyncIterator[tuple[Stack, WorkflowEnvironment]]:
    """The stack on a server whose time is skipped, with workers."""
    client = skipping_server.client
    async with workers_without_deployment(settings, client):
        yield Stack(settings, client, Conversations(client, settings), hotel, database), skipping_server


@pytest.fixture
async def held_to_the_rules(settings: Settings, client: Client, hotel: str) -> AsyncIterator[None]:
    """When the test is over, the histories of all its conversations must keep the rules of `tests.story`."""
    yield
    if not await all_told(client, hotel):  # an outcome is known a moment before it is told, and the workers are gone
        async with workers(settings, client):
            await eventually(partial(all_told, client, hotel), what="every message to be told")
    assert await check_all(client, hotel, complete=False), "the test had no conversation"


@pytest.fixture
def guest(stack: Stack) -> Guest:
    return stack.guest()


@pytest.fixture
def stack(settings: Settings, client: Client, conversations: Conversations, hotel: str, database: Database) -> Stack:
    return Stack(settings, client, conversations, hotel, database)


@pytest.fixture
async def api(settings: Settings, hotel: str) -> AsyncIterator[Api]:
    """The api for `hotel`, without a limit that tests from one address would reach together."""
    settings.rate_limit.max_requests = 1_000_000
    async with running_api(settings) as api:
        yield api


@pytest.fixture
def desk(stack: Stack) -> Desk:
    return Desk(stack, stack.client)


@pytest.fixture
async def served(stack: Stack) -> AsyncIterator[None]:
    """Workers that ask the embedded AI, if anything."""
    async with workers(stack.settings, stack.client):
        yield


@pytest.fixture
async def stand_ins(client: Client) -> AsyncIterator[None]:
    """A worker of what stands in for conversations."""
    async with Worker(client, task_queue=STAND_INS, workflows=[StandIn]):
        yield


@pytest.fixture
async def hooked(stack: Stack, receiver: FakeReceiver) -> Hooked:
    """An endpoint that is told of tasks."""
    return await hook(stack, receiver, ["task.*"])


@pytest.fixture(scope="module")
async def browser(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Browser]:
    async with browsing(Path(tmp_path_factory.mktemp("browser"))) as browser:
        yield browser


@pytest.fixture(scope="module")
async def site() -> AsyncIterator[str]:
    app = FastAPI()
    app.state.gateway = None  # nothing is asked of it by a page that names its property
    app.include_router(pages)
    async with serving(app) as url:
        yield url
