"""The OpenAPI description: problems instead of FastAPI's own errors, names for generated clients, examples."""

from collections import defaultdict
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import JsonValue

from api.errors import PROBLEM_TYPE
from api.examples import EXAMPLES
from contracts.messages import InboundMessage
from contracts.problems import (
    Forbidden,
    GatewayError,
    Invalid,
    Malformed,
    Problem,
    StorageAway,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
)

Responses = dict[int | str, dict[str, Any]]
_FASTAPI_ERRORS: Final = ("HTTPValidationError", "ValidationError")

TAGS: Final = [
    {"name": "auth", "description": "Signing in and out."},
    {"name": "conversations", "description": "Conversations with guests, and what staff tell them to do."},
    {"name": "guests", "description": "The people who write."},
    {"name": "tasks", "description": "Work for the hotel's departments."},
    {"name": "knowledge", "description": "What the AI answers from, and what it could not answer."},
    {"name": "reports", "description": "How conversations went."},
    {"name": "media", "description": "Files of conversations."},
    {"name": "notifications", "description": "What staff must see."},
    {"name": "quarantine", "description": "What channels brought and nobody could read."},
    {"name": "staff", "description": "The people who work here."},
    {"name": "api keys", "description": "What programs call with."},
    {"name": "automations", "description": "What is done by itself when something happens."},
    {"name": "webhook endpoints", "description": "Programs of yours that are told what happens."},
    {"name": "webhooks", "description": "Where channels bring guest messages to."},
    {"name": "operations", "description": "For who runs the gateway."},
]


def _response(kinds: list[type[GatewayError]]) -> dict[str, Any]:
    return {
        "description": "; ".join(kind.title for kind in kinds),
        "content": {
            PROBLEM_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
                "examples": {kind.code: {"value": _example(kind)} for kind in kinds},
            }
        },
    }


def _example(kind: type[GatewayError]) -> JsonValue:
    problem: JsonValue = kind(kind.title).problem().model_dump(mode="json", exclude_none=True)
    return problem


def problems(*errors: type[GatewayError]) -> Responses:
    """How a route may refuse, each status with an example for each of its codes."""
    by_status: defaultdict[int, list[type[GatewayError]]] = defaultdict(list)
    for error in errors:
        by_status[error.status].append(error)
    return {status: _response(kinds) for status, kinds in by_status.items()}


SIGNED_IN: Final = problems(Unauthenticated, Forbidden, TooManyRequests, StorageAway)
"""What every route behind a sign-in may answer."""
WITH_BODY: Final = problems(Malformed, TooLarge, Invalid)
"""What a route that reads a body may answer besides."""


def operation_id(route: APIRoute) -> str:
    """`list_conversations` becomes `listConversations`, the method's name in a generated client."""
    first, *rest = route.name.split("_")
    return first + "".join(part.capitalize() for part in rest)


class DescribedAPI(FastAPI):
    """FastAPI with our own description of errors, and with examples."""

    def openapi(self) -> dict[str, Any]:
        described = super().openapi()
        schemas: dict[str, Any] = described["components"]["schemas"]
        if "Problem" not in schemas:
            for model in (Problem, InboundMessage):
                schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
                schemas.update(schema.pop("$defs", {}))
                schemas[model.__name__] = schema
            for name in _FASTAPI_ERRORS:
                schemas.pop(name, None)
            for path in described["paths"].values():
                for operation in path.values():
                    if _is_fastapi_error(operation["responses"].get("422")):
                        operation["responses"]["422"] = _response([Invalid])
            for name, example in EXAMPLES.items():
                schemas[name]["examples"] = [example.model_dump(mode="json")]
        return described


def _is_fastapi_error(response: dict[str, Any] | None) -> bool:
    return response is not None and "application/json" in response["content"]
