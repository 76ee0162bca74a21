"""Programs of a hotel's that are told what happens there, by the Standard Webhooks specification."""

from datetime import timedelta
from typing import Literal

from pydantic import Field

from contracts.base import Model, Timestamp
from contracts.property_events import EventPattern

DeliveryState = Literal["delivered", "failing"]
DisabledReason = Literal["failing", "gone", "staff"]
SendingResult = Literal["caught_up", "more", "failed", "gone"]


class WebhookEndpoint(Model):
    """A URL that is told what happens at a property.

    `failures` counts its newest attempts in a row that failed; while there are any, `nextAttemptAt` says when it is
    tried again.
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
    """One event for one endpoint. `webhookId` is the same on every attempt; what was sent is not kept."""

    webhook_id: str
    type: str
    state: DeliveryState
    attempts: int
    first_attempt_at: Timestamp
    last_attempt_at: Timestamp
    response_status: int | None = None
    reason: str | None = None
    """Why the newest attempt failed."""


class DeliveryStart(Model):
    """What an endpoint's workflow begins with; what it carries on into a new run stands in the last two."""

    endpoint_id: str
    property_id: str
    disable_after: timedelta
    """How long all attempts must have failed for the endpoint to be disabled."""
    history_limit: int = Field(default=500, ge=20)
    failures: int = 0
    failing_since: Timestamp | None = None


class SendEvents(Model):
    """Asks for what an endpoint has not been told; `failures` is how many attempts in a row have failed so far."""

    endpoint_id: str
    failures: int = 0


class EventsSent(Model):
    """What came of it. `caught_up`: there is nothing more to tell, or nobody to tell it."""

    result: SendingResult
    delivered: int = 0
    wait: timedelta = timedelta(0)
    """After a failure: when to try again."""


class DisableEndpoint(Model):
    endpoint_id: str
    reason: DisabledReason
    at: Timestamp
