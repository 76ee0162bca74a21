"""Disables endpoints and notifies staff of it."""

from sqlalchemy import update
from sqlmodel import col

from activities.storage.database import Database
from activities.storage.log_writer import LiveStream
from activities.storage.notices import add_notice
from activities.storage.webhook_tables import WebhookEndpointRow
from contracts.events import Notification
from contracts.webhooks import DisableEndpoint
from settings import Settings

_WHY = {
    "gone": "it answered 410 (gone)",
    "failing": "all attempts have failed for too long",
    "staff": "staff disabled it",
}


class WebhookNotices:
    def __init__(self, database: Database, live: LiveStream, settings: Settings) -> None:
        self._database = database
        self._live = live
        self._settings = settings

    async def disable(self, order: DisableEndpoint) -> None:
        """Disables an enabled endpoint and notifies managers. Raises StorageAway."""
        enabled = (col(WebhookEndpointRow.id) == order.endpoint_id) & col(WebhookEndpointRow.enabled)
        values = {
            "enabled": False,
            "disabled_reason": order.reason,
            "next_attempt_at": None,
            "updated_at": order.at,
            "version": col(WebhookEndpointRow.version) + 1,
        }
        disabled = update(WebhookEndpointRow).where(enabled).values(**values)
        notification = Notification(
            id=f"webhook-{order.endpoint_id}-{order.reason}-{order.at:%Y%m%dT%H%M%S.%fZ}",
            kind="system",
            text=f"Webhook endpoint {order.endpoint_id} is disabled: {_WHY[order.reason]}",
            audience="managers",
            at=order.at,
        )
        async with self._database.begin() as connection:
            row = (await connection.execute(disabled.returning(col(WebhookEndpointRow.property_id)))).one_or_none()
            if row is None:
                return
            entries = await add_notice(connection, self._settings, row.property_id, notification)
        await self._live.add(entries)
