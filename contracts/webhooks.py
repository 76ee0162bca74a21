"""Outgoing webhooks by the Standard Webhooks specification: endpoints that are sent a property's events."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from contracts.base import Model, Timestamp
from contracts.property_events import EventPattern

DeliveryState = Literal["delivered", "failing"]
DisabledReason = Literal["failing", "gone", "staff"]
SendingResult = Literal["caught_up", "more", "failed", "gone"]


class WebhookEndpoint(Model):
    """A URL that is sent the events of a property.

    `failures` counts the latest consecutive failures. While it is not 0, `nextAttemptAt` says when the next attempt
    follows.
    """

    id: str
    property_id: str
    url: str
    description: str = ""
    event_types: list[EventPattern]
    enabled: bool = True
    disabled_reason: DisabledReason | None = None
    failures: int = 0
    next_attempt_at: Timestamp | None = None
    version: int = 1
    created_at: Timestamp
    updated_at: Timestamp


class WebhookDelivery(Model):
    """One event sent to one endpoint. `webhookId` is the same on every attempt. The content is not kept."""

    webhook_id: str
    type: str
    state: DeliveryState
    attempts: int
    first_attempt_at: Timestamp
    last_attempt_at: Timestamp
    response_status: int | None = None
    reason: str | None = None
    """Why the latest attempt failed."""


class DeliveryStart(Model):
    """The input of an endpoint's workflow. The last two fields carry its state into the next run."""

    endpoint_id: str
    property_id: str
    disable_after: timedelta
    """An endpoint is disabled after all attempts have failed for this long."""
    history_limit: int = Field(default=500, ge=20)
    failures: int = 0
    failing_since: Timestamp | None = None


class SendEvents(Model):
    """Asks to send an endpoint its pending events. `failures` counts the consecutive failures so far."""

    endpoint_id: str
    failures: int = 0


class EventsSent(Model):
    """The result. `caught_up`: no events are pending, or the endpoint is gone or disabled."""

    result: SendingResult
    delivered: int = 0
    wait: timedelta = timedelta(0)
    """After a failure: how long to wait before the next attempt."""


class DisableEndpoint(Model):
    endpoint_id: str
    reason: DisabledReason
    at: Timestamp
