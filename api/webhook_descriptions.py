"""The description of outgoing webhooks: what endpoints are sent, and what they should answer."""

from typing import Any, Final

from api.client_types import SCHEMAS
from api.examples import CONVERSATION_ID, ENDPOINT, EXAMPLES, NOW, RULE, STAFF
from contracts.property_events import PropertyEvent
from contracts.webhook_events import (
    ConversationEvent,
    FiredData,
    FiredEvent,
    MessageEvent,
    TaskEvent,
    WebhookEvent,
    WebhookTestData,
    WebhookTestEvent,
    webhook_event,
)

Json = dict[str, Any]
TAG: Final = "webhook endpoints"


def _example(name: str, model: str, by: str | None = None) -> WebhookEvent:
    about = {name.partition(".")[0]: EXAMPLES[model]}
    event = {"type": name, "property_id": "seaview", "position": 412, "at": NOW, "by": by}
    return webhook_event(PropertyEvent.model_validate(event | about))


_FIRED: Final = FiredData(
    property_id="seaview",
    rule_id=RULE.id,
    event="conversation.escalated",
    sequence=411,
    conversation_id=CONVERSATION_ID,
)
EVENTS: Final[dict[str, tuple[type[WebhookEvent], WebhookEvent]]] = {
    "message": (MessageEvent, _example("message.sent", "Message")),
    "conversation": (ConversationEvent, _example("conversation.claimed", "Conversation", STAFF.id)),
    "task": (TaskEvent, _example("task.created", "Task")),
    "automationFired": (FiredEvent, FiredEvent(timestamp=NOW, data=_FIRED)),
    "webhookTest": (
        WebhookTestEvent,
        WebhookTestEvent(timestamp=NOW, data=WebhookTestData(property_id="seaview", endpoint_id=ENDPOINT.id)),
    ),
}
"""The kinds of events, each with an example."""
HEADERS: Final = {
    "webhook-id": "The same on every attempt: drop events whose id you have already.",
    "webhook-timestamp": "When it was sent, in seconds since 1970. Refuse what is older than a few minutes.",
    "webhook-signature": "Signatures by the endpoint's secrets. A library of Standard Webhooks verifies them.",
}
RESPONSES: Final = {
    "2XX": {"description": "Accepted. With any other status, and after 15 seconds, it is sent again."},
    "410": {"description": "Accepted no more: the endpoint is disabled."},
}


def add_webhooks(described: Json) -> None:
    """Adds the webhooks, and the schemas of their bodies, to a description."""
    schemas: Json = described["components"]["schemas"]
    for model, example in EVENTS.values():
        schema = model.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
        schemas.update(schema.pop("$defs", {}) | schemas)
        schemas[model.__name__] = {**schema, "examples": [example.model_dump(mode="json", exclude_none=True)]}
    described["webhooks"] = {name: {"post": _operation(name, model)} for name, (model, _) in EVENTS.items()}


def _operation(name: str, model: type[WebhookEvent]) -> Json:
    headers = [
        {"name": header, "in": "header", "required": True, "description": meaning, "schema": {"type": "string"}}
        for header, meaning in HEADERS.items()
    ]
    return {
        "tags": [TAG],
        "operationId": f"{name}Webhook",
        "summary": model.__doc__,
        "parameters": headers,
        "requestBody": {
            "required": True,
            "content": {"application/json": {"schema": {"$ref": f"{SCHEMAS}{model.__name__}"}}},
        },
        "responses": RESPONSES,
    }
