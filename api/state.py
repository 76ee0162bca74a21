"""The shared state of an api process, built once at start and used by every request and socket."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field

import temporalio.client
from redis.asyncio import Redis
from starlette.requests import HTTPConnection

from activities.hotel.port import HotelSystem
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
from activities.storage.notifications import Notifications
from activities.storage.property_events import PropertyEvents
from activities.storage.publications import Publications
from activities.storage.quarantine import Quarantine
from activities.storage.reports import Reports
from activities.storage.sessions import Sessions
from activities.storage.staff import StaffAccounts
from activities.storage.tasks import Tasks
from activities.storage.webhook_endpoints import WebhookEndpoints
from activities.webhooks.sender import WebhookSender
from api.auth.signing_in import SignIn
from api.auth.tokens import Tokens
from api.limits import Limit
from api.live.hub import LiveHub
from api.reception import Reception
from settings import Settings
from workflows.automation_client import AutomationRuns
from workflows.client import Conversations
from workflows.executions import Executions
from workflows.media_client import MediaOrders
from workflows.task_client import RunningTasks
from workflows.webhook_client import WebhookDeliveries


@dataclass(frozen=True, slots=True)
class State:
    settings: Settings
    database: Database
    redis: Redis
    temporal: temporalio.client.Client
    hub: LiveHub
    live_stream: LiveStream
    conversations: Conversations
    """The running conversations, to which commands go."""
    reception: Reception
    """Takes in what channels bring."""
    stored: StoredConversations
    """The projection of conversations, from which lists and history are read."""
    contacts: Contacts
    guests: Guests
    merges: GuestMerges
    guest_data: GuestData
    erasures: Erasures
    executions: Executions
    hotel: HotelSystem | None
    """The hotel's own system, if one is configured."""
    tasks: Tasks
    """The projection of tasks."""
    running_tasks: RunningTasks
    notifications: Notifications
    quarantine: Quarantine
    reports: DeliveryReports
    figures: Reports
    """The figures behind managers' reports."""
    knowledge: Knowledge
    idempotency_keys: IdempotencyKeys
    staff: StaffAccounts
    api_keys: ApiKeys
    sessions: Sessions
    tokens: Tokens
    sign_in: SignIn
    requests: Limit
    mails: Mapping[str, Limit]
    """How many mails of one conversation are answered, by property."""
    publications: Publications
    media: MediaStore
    links: MediaLinks
    media_orders: MediaOrders
    webhook_endpoints: WebhookEndpoints
    webhook_sender: WebhookSender
    webhook_deliveries: WebhookDeliveries
    property_events: PropertyEvents
    automations: StoredAutomations
    automation_runs: AutomationRuns
    migrated: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once the database schema is up to date."""


def state_of(connection: HTTPConnection) -> State:
    """The state behind a request or a WebSocket."""
    state: State = connection.app.state.gateway
    return state
