"""Outgoing webhooks: managing the endpoints that get events, and reading their deliveries."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, ClassVar, Final
from uuid import uuid4

from fastapi import Body, Depends, Response, status
from pydantic import ConfigDict, Field, StrictBool, StringConstraints

import contracts.base
from activities.storage.paging import TimePosition
from activities.storage.webhook_endpoints import no_such
from activities.webhooks.addresses import check_url
from activities.webhooks.sender import webhook_id
from api.auth.permissions import require_property
from api.auth.sessions import Session
from api.changes import Changes, check_version, unchanged
from api.deps import GatewayState, IdempotencyKey, IfMatch, ReadsWebhooks, WritesWebhooks, keyed, known_id
from api.examples import ENDPOINT_WITH_SECRET
from api.lists import Page, PageQuery, cursor_of
from api.openapi import MADE, VERSION, WITH_BODY, problems
from api.queries import QueryOf
from api.routers import rest_router
from api.state import State
from contracts.base import NotBlank
from contracts.problems import NotFound, StaleVersion, Unavailable
from contracts.property_events import EventPattern
from contracts.webhook_events import WebhookTestData, WebhookTestEvent
from contracts.webhooks import DeliveryState, WebhookDelivery, WebhookEndpoint

router = rest_router("/webhook-endpoints", "webhook endpoints")
ONE: Final = problems(NotFound)

Url = Annotated[NotBlank, StringConstraints(max_length=2048)]
Description = Annotated[str, Field(max_length=500)]
EventTypes = Annotated[
    list[EventPattern],
    Field(min_length=1, max_length=50, description="Event types, or all of one kind: `conversation.*`."),
]


class NewWebhookEndpoint(contracts.base.Body):
    property_id: Annotated[str, Field(min_length=1, max_length=256)]
    url: Url
    event_types: EventTypes
    description: Description = ""
    enabled: StrictBool = True


class WebhookEndpointChanges(Changes):
    CAN_BE_EMPTY: ClassVar[frozenset[str]] = frozenset()
    model_config = ConfigDict(json_schema_extra=Changes.model_config.get("json_schema_extra"))

    url: Url = unchanged()
    event_types: EventTypes = unchanged()
    description: Description = unchanged()
    enabled: StrictBool = unchanged()
    skip_missed: Annotated[StrictBool, Field(description="Do not send the events until now.")] = unchanged()


class WebhookEndpointWithSecret(WebhookEndpoint):
    """An endpoint with its signing `secret`, which is shown only this once."""

    model_config = ConfigDict(json_schema_extra={"examples": [ENDPOINT_WITH_SECRET]})

    secret: str


class WebhookEndpointPage(Page[WebhookEndpoint]):
    pass


class WebhookDeliveryPage(Page[WebhookDelivery]):
    pass


class EndpointQuery(PageQuery):
    property: Annotated[str | None, Field(max_length=256, description="Only this property.")] = None


class DeliveryQuery(PageQuery):
    state: DeliveryState | None = None


NewEndpoint = Annotated[
    NewWebhookEndpoint,
    Body(
        openapi_examples={
            "all tasks": {
                "value": {
                    "propertyId": "seaview",
                    "url": "https://hotel.example/hooks",
                    "eventTypes": ["task.*", "conversation.escalated"],
                }
            }
        }
    ),
]


@router.get("", summary="List webhook endpoints")
async def list_webhook_endpoints(
    session: ReadsWebhooks, state: GatewayState, query: Annotated[EndpointQuery, Depends(QueryOf(EndpointQuery))]
) -> WebhookEndpointPage:
    """Endpoints of your properties, newest first."""
    properties = session.staff.properties
    if query.property is not None:
        require_property(session.staff, query.property)
        properties = [query.property]
    page = await state.webhook_endpoints.list(properties, limit=query.limit, after=query.position(TimePosition))
    return WebhookEndpointPage(items=page.items, next_cursor=cursor_of(page.end))


@router.post(
    "",
    summary="Add a webhook endpoint",
    status_code=status.HTTP_201_CREATED,
    responses=WITH_BODY | {201: {"headers": VERSION | MADE, "description": "The endpoint, and its secret"}},
)
async def create_webhook_endpoint(
    session: WritesWebhooks,
    state: GatewayState,
    body: NewEndpoint,
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> WebhookEndpointWithSecret:
    """Adds an endpoint. It gets all events from now on, in order, signed by the Standard Webhooks specification."""
    require_property(session.staff, body.property_id)
    check_url(body.url, allow_private=state.settings.webhooks.allow_private)
    now = datetime.now(UTC)
    endpoint = WebhookEndpoint(
        id=keyed(session, f"{body.property_id} webhook endpoint", idempotency_key) or str(uuid4()),
        **body.model_dump(by_alias=False),
        created_at=now,
        updated_at=now,
    )
    added, secret = await state.webhook_endpoints.add(endpoint)
    response.headers["Location"] = f"/api/v1/webhook-endpoints/{added.id}"
    response.headers["ETag"] = _etag(added)
    return _with_secret(added, secret)


@router.get("/{endpoint_id}", summary="Get a webhook endpoint", responses=ONE | {200: {"headers": VERSION}})
async def get_webhook_endpoint(
    session: ReadsWebhooks, state: GatewayState, endpoint_id: str, response: Response
) -> WebhookEndpoint:
    found = await _find(state, session, endpoint_id)
    response.headers["ETag"] = _etag(found)
    return found


@router.patch(
    "/{endpoint_id}",
    summary="Change a webhook endpoint",
    responses=ONE | WITH_BODY | problems(StaleVersion, Unavailable) | {200: {"headers": VERSION}},
)
async def update_webhook_endpoint(
    session: WritesWebhooks,
    state: GatewayState,
    endpoint_id: str,
    body: Annotated[WebhookEndpointChanges, Body(openapi_examples={"again": {"value": {"enabled": True}}})],
    response: Response,
    if_match: IfMatch = None,
) -> WebhookEndpoint:
    """Changes only the fields that are sent. A re-enabled endpoint continues where it stopped."""
    await _find(state, session, endpoint_id)
    changes = body.sent()
    skip_missed = changes.pop("skip_missed", False)
    if "url" in changes:
        check_url(changes["url"], allow_private=state.settings.webhooks.allow_private)

    def allow(current: WebhookEndpoint) -> None:
        check_version(if_match, _etag(current))

    changed = await state.webhook_endpoints.change(endpoint_id, changes, skip_missed=skip_missed, allow=allow)
    await state.webhook_deliveries.wake(endpoint_id)
    response.headers["ETag"] = _etag(changed)
    return changed


@router.delete(
    "/{endpoint_id}", summary="Delete a webhook endpoint", status_code=204, responses=ONE | problems(Unavailable)
)
async def delete_webhook_endpoint(session: WritesWebhooks, state: GatewayState, endpoint_id: str) -> None:
    """Deletes the endpoint: it gets no more events."""
    await _find(state, session, endpoint_id)
    await state.webhook_endpoints.delete(endpoint_id)
    await state.webhook_deliveries.wake(endpoint_id)


@router.post("/{endpoint_id}/rotate-secret", summary="Rotate the secret", responses=ONE)
async def rotate_webhook_secret(
    session: WritesWebhooks, state: GatewayState, endpoint_id: str
) -> WebhookEndpointWithSecret:
    """Creates a new secret. Both sign until the old one expires, a day later by default (`webhooks.secretOverlap`)."""
    await _find(state, session, endpoint_id)
    overlap = timedelta(milliseconds=state.settings.webhooks.secret_overlap)
    endpoint, secret = await state.webhook_endpoints.rotate(endpoint_id, overlap=overlap)
    return _with_secret(endpoint, secret)


@router.post("/{endpoint_id}/test", summary="Test a webhook endpoint", responses=ONE | problems(Unavailable))
async def test_webhook_endpoint(session: WritesWebhooks, state: GatewayState, endpoint_id: str) -> WebhookDelivery:
    """Sends a `webhook.test` event now and returns the result. If it works, waiting events are sent at once, too."""
    await _find(state, session, endpoint_id)
    target = await state.webhook_endpoints.target(endpoint_id)
    if target is None:
        raise no_such(endpoint_id)
    endpoint = target.endpoint
    data = WebhookTestData(property_id=endpoint.property_id, endpoint_id=endpoint.id)
    event = WebhookTestEvent(timestamp=datetime.now(UTC), data=data)
    sent = await state.webhook_sender.send(target, webhook_id(endpoint.id, str(uuid4())), event)
    noted = await state.webhook_endpoints.noted(endpoint_id, sent.attempt)
    if sent.attempt.reason is None:
        await state.webhook_deliveries.wake(endpoint_id)
    return noted


@router.get("/{endpoint_id}/deliveries", summary="List an endpoint's deliveries", responses=ONE)
async def list_webhook_deliveries(
    session: ReadsWebhooks,
    state: GatewayState,
    endpoint_id: str,
    query: Annotated[DeliveryQuery, Depends(QueryOf(DeliveryQuery))],
) -> WebhookDeliveryPage:
    """Deliveries of the last 30 days, sent or still being tried, newest first."""
    await _find(state, session, endpoint_id)
    after = query.position(TimePosition)
    page = await state.webhook_endpoints.deliveries(endpoint_id, state=query.state, limit=query.limit, after=after)
    return WebhookDeliveryPage(items=page.items, next_cursor=cursor_of(page.end))


async def _find(state: State, session: Session, endpoint_id: str) -> WebhookEndpoint:
    found = await state.webhook_endpoints.get(known_id("webhook endpoint", endpoint_id))
    if found is None:
        raise no_such(endpoint_id)
    require_property(session.staff, found.property_id)
    return found


def _with_secret(endpoint: WebhookEndpoint, secret: str) -> WebhookEndpointWithSecret:
    return WebhookEndpointWithSecret(**endpoint.model_dump(by_alias=False), secret=secret)


def _etag(endpoint: WebhookEndpoint) -> str:
    return f'"{endpoint.version}"'
