"""The description of the interface, and what is of its schemas."""

import functools
from typing import Any

from jsonschema import Draft202012Validator

from api.main import create_app
from contracts.webhook_events import FIRED, TEST
from settings import load_settings

Json = dict[str, Any]
BODIES = {
    "message": "MessageEvent",
    "conversation": "ConversationEvent",
    "task": "TaskEvent",
    FIRED: "FiredEvent",
    TEST: "WebhookTestEvent",
}


@functools.cache
def description() -> Json:
    """The description, which takes most of a second to make. Not to be changed."""
    settings = load_settings(
        database={"url": "postgresql://nobody@127.0.0.1:1/nothing"}, redis={"url": "redis://127.0.0.1:1"}
    )
    return create_app(settings).openapi()


def validator(described: Json, schema: Json) -> Draft202012Validator:
    return Draft202012Validator({"components": described["components"], "allOf": [schema]})


def check_webhook(event: Json) -> None:
    """Raises ValidationError for a webhook's body that is not as described."""
    name = BODIES.get(event["type"]) or BODIES[event["type"].partition(".")[0]]
    validator(description(), {"$ref": f"#/components/schemas/{name}"}).validate(event)
