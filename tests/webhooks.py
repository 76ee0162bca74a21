"""What tests of webhooks do again and again: an endpoint, things that happen, and somebody who follows the log."""

import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import worker
from activities.storage.log_writer import LiveStream
from activities.storage.redis_client import open_redis
from activities.storage.sealed_secrets import SealedSecrets
from activities.storage.tasks import Tasks
from activities.storage.webhook_endpoints import WebhookEndpoints
from contracts.property_events import EventPattern
from contracts.task_events import TaskPublication
from contracts.tasks import VersionedTask
from contracts.webhooks import WebhookDelivery, WebhookEndpoint
from tests.fakes.receiver import FakeReceiver
from tests.support import Stack, eventually, workers
from tests.task_records import a_task
from workflows.webhook_client import WebhookDeliveries


@dataclass
class Hooked:
    """An endpoint of the hotel's, and the program behind it."""

    stack: Stack
    receiver: FakeReceiver
    endpoint: WebhookEndpoint

    @property
    def endpoints(self) -> WebhookEndpoints:
        return WebhookEndpoints(self.stack.database, SealedSecrets(self.stack.settings.temporal))

    @property
    def deliveries(self) -> WebhookDeliveries:
        return WebhookDeliveries(self.stack.client, self.stack.settings.webhooks)

    async def happens(self, count: int, *, department: str = "housekeeping") -> None:
        """Tasks that are created, one after the other."""
        redis = open_redis(self.stack.settings.redis)
        tasks = Tasks(self.stack.database, LiveStream(redis), self.stack.settings)
        for _ in range(count):
            task = a_task(str(uuid.uuid4()), now=datetime.now(UTC), property_id=self.stack.hotel, department=department)
            versions = [VersionedTask(task=task, version=1)]
            await tasks.publish(TaskPublication(task_id=task.id, property_id=task.property_id, versions=versions))
        await redis.aclose()

    async def has_received(self, count: int) -> None:
        async def look() -> bool:
            return len(self.receiver.received) >= count

        await eventually(look, what=f"{count} events to be received", seconds=120)

    async def was_tried(self, count: int) -> None:
        async def look() -> bool:
            return len(self.receiver.attempts) >= count

        await eventually(look, what=f"{count} attempts")

    async def now(self) -> WebhookEndpoint:
        found = await self.endpoints.get(self.endpoint.id)
        assert found is not None
        return found

    async def becomes_disabled(self) -> WebhookEndpoint:
        async def look() -> bool:
            return not (await self.now()).enabled

        await eventually(look, what="the endpoint to be disabled")
        return await self.now()

    async def told(self) -> list[WebhookDelivery]:
        """What came of every event, the oldest first."""
        page = await self.endpoints.deliveries(self.endpoint.id, state=None, limit=200, after=None)
        return page.items[::-1]

    async def notices(self) -> list[str]:
        rows = await self.stack.rows(
            "SELECT text FROM notifications WHERE property_id = :id AND audience = 'managers'", id=self.stack.hotel
        )
        return [str(row["text"]) for row in rows]


async def hook(stack: Stack, receiver: FakeReceiver, event_types: list[EventPattern]) -> Hooked:
    """An endpoint that is told what happens from now on."""
    now = datetime.now(UTC)
    endpoint = WebhookEndpoint(
        id=str(uuid.uuid4()),
        property_id=stack.hotel,
        url=receiver.url,
        event_types=event_types,
        created_at=now,
        updated_at=now,
    )
    endpoints = WebhookEndpoints(stack.database, SealedSecrets(stack.settings.temporal))
    added, receiver.secret = await endpoints.add(endpoint)
    return Hooked(stack, receiver, added)


@asynccontextmanager
async def delivering(stack: Stack) -> AsyncIterator[None]:
    """Workers, and somebody who follows the log."""
    async with workers(stack.settings, stack.client), worker.following(stack.settings, stack.client):
        yield
