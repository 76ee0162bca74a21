"""The api process: REST, webhooks, sockets and static pages in front of the workflows."""

import asyncio
import functools
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Final

import fastapi_offline
from fastapi import Depends, FastAPI, Request
from fastapi.middleware import Middleware
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.routing import BaseRoute
from starlette.staticfiles import StaticFiles

from activities.hotel.http import open_hotel
from activities.media.links import MediaLinks
from activities.media.store import MediaStore
from activities.storage.api_keys import ApiKeys
from activities.storage.automations import StoredAutomations
from activities.storage.contacts import Contacts
from activities.storage.conversations import StoredConversations
from activities.storage.database import Database
from activities.storage.delivery_reports import DeliveryReports
from activities.storage.erasure import Erasures
from activities.storage.guest_data import GuestData
from activities.storage.guest_merges import GuestMerges
from activities.storage.guests import Guests
from activities.storage.idempotency import IdempotencyKeys
from activities.storage.knowledge import Knowledge
from activities.storage.log_writer import LiveStream
from activities.storage.migrating import migrate
from activities.storage.notifications import Notifications
from activities.storage.property_events import PropertyEvents
from activities.storage.publications import Publications
from activities.storage.quarantine import Quarantine
from activities.storage.redis_client import open_redis
from activities.storage.reports import Reports
from activities.storage.rewording import Rewording
from activities.storage.sealed_secrets import SealedSecrets
from activities.storage.sessions import Sessions
from activities.storage.spool import Spool
from activities.storage.staff import StaffAccounts
from activities.storage.tasks import Tasks
from activities.storage.webhook_endpoints import WebhookEndpoints
from activities.webhooks.sender import WebhookSender
from api import (
    automations,
    commands,
    conversations,
    guests,
    knowledge,
    media,
    notifications,
    openings,
    operations,
    quarantine,
    reports,
    sending,
    tasks,
    webhook_endpoints,
)
from api.auth import api_keys
from api.auth import routes as auth
from api.auth import staff as staff_routes
from api.auth.permissions import Public
from api.auth.signing_in import Failures, SignIn
from api.auth.signing_keys import SigningKeys
from api.auth.tokens import Tokens
from api.errors import install_error_handlers
from api.gate import Gate
from api.idempotency import Idempotency
from api.limits import Limit
from api.live import chat_media, pages, sockets
from api.live.hub import LiveHub
from api.middleware import BodyLimit, UnexpectedErrors
from api.names import BASE
from api.openapi import TAGS, DescribedAPI
from api.reception import Reception
from api.state import State
from api.webhooks import email, messages, twilio, whatsapp
from settings import Settings, load_settings
from workflows.automation_client import AutomationRuns
from workflows.client import Conversations
from workflows.connection import connect
from workflows.executions import Executions
from workflows.media_client import MediaOrders
from workflows.task_client import RunningTasks
from workflows.webhook_client import WebhookDeliveries

STOP_SECONDS: Final = 5.0
DOCS: Final = "/docs"
DOCS_FILES: Final = Path(fastapi_offline.__file__).parent / "static"

logger = logging.getLogger("gateway.api")

DESCRIPTION: Final = """
Hotel guests write by WhatsApp, SMS, e-mail or web chat; an AI butler answers, and people take over.

Errors are `application/problem+json` with a stable `code`. Lists take `limit` and `cursor` and answer
`{items, nextCursor}`. While storage is away, reads come from Temporal and carry `Gateway-Degraded: storage`.
"""


def create_app(settings: Settings | None = None) -> FastAPI:
    """Creates the application. It starts and serves what it can while PostgreSQL, Redis or Temporal is away.

    Its lifespan raises SettingsError if a required setting is missing.
    """
    settings = settings or load_settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _running(settings) as state:
            app.state.gateway = state
            yield

    app = DescribedAPI(
        title="Gateway",
        version=version("gateway"),
        summary="Conversations between hotel guests, an AI butler and staff.",
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        openapi_tags=TAGS,
        separate_input_output_schemas=False,  # a generated client has one class for what it reads and writes back
        docs_url=None,
        redoc_url=None,
        telemetry={"tracing": False, "metrics": False, "logs": False},  # its spans would quote search terms
        lifespan=lifespan,
        routes=_routes(),
        middleware=[
            Middleware(UnexpectedErrors),
            Middleware(Gate),
            # A second time, inside the gate: its 500s then carry the caller's rate limit.
            Middleware(UnexpectedErrors),
            Middleware(BodyLimit, larger=_larger_bodies(settings)),
            Middleware(Idempotency),
        ],
    )
    install_error_handlers(app)
    _serve_docs(app)
    return app


@functools.cache
def _routes() -> list[BaseRoute]:
    """All routes, the same for every application: FastAPI prepares each at its first request, which takes a while."""
    # Routes are tried in this order, so those that guests wait for come first.
    guests_write = (messages.router, whatsapp.router, twilio.router, email.router, sockets.router)
    desk = (conversations, openings, commands, sending, media, guests, tasks, notifications, auth)
    administration = (quarantine, knowledge, reports, staff_routes, api_keys, webhook_endpoints, automations)
    resources = (resource.router for resource in (*desk, *administration))
    others = (media.linked, chat_media.router, operations.router, pages.router)
    return [route for router in (*guests_write, *resources, *others) for route in router.routes]


def _larger_bodies(settings: Settings) -> dict[str, int]:
    """The larger body limits of paths that accept files."""
    files = settings.media.max_bytes + media.FORM_BYTES
    return {
        whatsapp.PREFIX: whatsapp.BODY_LIMIT,
        email.PREFIX: email.BODY_LIMIT,
        f"{BASE}/media": files,
        chat_media.PREFIX: files,
    }


def _serve_docs(app: FastAPI) -> None:
    """Serves Swagger UI from an installed package, so that it works offline."""
    app.mount(f"{DOCS}/files", StaticFiles(directory=DOCS_FILES))
    public = Depends(Public("the description of the API"))
    app.add_api_route(DOCS, _docs, include_in_schema=False, dependencies=[public])


async def _docs(request: Request) -> HTMLResponse:
    """Not nested in `_serve_docs`: FastAPI caches what it calls, and a closure would keep the application alive."""
    app: FastAPI = request.app
    return get_swagger_ui_html(
        openapi_url=str(app.openapi_url),
        title=app.title,
        swagger_js_url=f"{DOCS}/files/swagger-ui-bundle.js",
        swagger_css_url=f"{DOCS}/files/swagger-ui.css",
        swagger_favicon_url=f"{DOCS}/files/favicon.png",
    )


@asynccontextmanager
async def _running(settings: Settings) -> AsyncIterator[State]:
    """Builds the state of an api process. Connections are opened on first use."""
    async with AsyncExitStack() as stack:
        tokens = Tokens(SigningKeys.from_settings(settings.security))
        redis = open_redis(settings.redis)
        stack.push_async_callback(redis.aclose)
        database = Database(settings.database)
        stack.push_async_callback(database.close)
        hub = LiveHub(settings, database)
        stack.push_async_callback(hub.stop)
        hotel = open_hotel(settings.integration.http)
        if hotel is not None:
            stack.push_async_callback(hotel.close)
        temporal = await connect(settings)
        secrets = SealedSecrets(settings.temporal)
        webhook_sender = WebhookSender(settings.webhooks, secrets)
        stack.push_async_callback(webhook_sender.close)
        live_stream = LiveStream(redis)
        sessions = Sessions(database, redis, settings.session)
        conversations, media_orders = Conversations(temporal, settings), MediaOrders(temporal)
        quarantine = Quarantine(database, live_stream, settings)
        listening = Database(settings.database.model_copy(update={"pool_size": 1}))
        stack.push_async_callback(listening.close)
        reception = Reception(conversations, media_orders, Spool(database, listening), quarantine)
        staff = StaffAccounts(database)
        state = State(
            settings=settings,
            database=database,
            redis=redis,
            temporal=temporal,
            hub=hub,
            live_stream=live_stream,
            conversations=conversations,
            reception=reception,
            stored=StoredConversations(database, live_stream, settings),
            contacts=Contacts(database),
            guests=Guests(database),
            merges=GuestMerges(database),
            guest_data=GuestData(database),
            erasures=Erasures(database, redis),
            executions=Executions(temporal),
            hotel=hotel,
            tasks=Tasks(database, live_stream, settings),
            running_tasks=RunningTasks(temporal, settings),
            notifications=Notifications(database),
            quarantine=quarantine,
            reports=DeliveryReports(database, live_stream),
            figures=Reports(database),
            knowledge=Knowledge(database),
            idempotency_keys=IdempotencyKeys(database),
            staff=staff,
            api_keys=ApiKeys(database),
            sessions=sessions,
            tokens=tokens,
            sign_in=SignIn(staff, sessions, tokens, Failures(redis)),
            requests=Limit.of_requests(redis, settings.rate_limit),
            mails={
                each: Limit(redis, "mails", amount=settings.channels_of(each).email.hourly_answers, seconds=3600)
                for each in settings.properties
            },
            publications=Publications(database, live_stream, settings),
            media=MediaStore(settings),
            links=MediaLinks(settings),
            media_orders=media_orders,
            webhook_endpoints=WebhookEndpoints(database, secrets),
            webhook_sender=webhook_sender,
            webhook_deliveries=WebhookDeliveries(temporal, settings.webhooks),
            property_events=PropertyEvents(database),
            automations=StoredAutomations(database),
            automation_runs=AutomationRuns(temporal, settings),
        )
        background = [
            asyncio.create_task(work)
            for work in (
                migrate(database, state.migrated),
                Rewording(database).once(state.migrated),
                sessions.listen(),
                reception.run(),
            )
        ]
        await reception.first_look()
        try:
            yield state
        finally:
            for task in background:
                task.cancel()
            await asyncio.wait(background, timeout=STOP_SECONDS)
