"""The OpenAPI description: what FastAPI says, made complete and fit for generated clients."""

import re
from collections import defaultdict
from collections.abc import Iterable
from copy import deepcopy
from http import HTTPStatus
from typing import Any, Final

from fastapi import FastAPI
from fastapi.routing import APIRoute
from pydantic import JsonValue
from pydantic.alias_generators import to_camel

from api.client_types import SCHEMAS, fit_for_clients, without_null
from api.errors import PROBLEM_TYPE
from api.examples import EXAMPLES
from api.names import BASE, REPLAYED
from api.parameters import HEADERS, KEY_PARAMETER, OTHERS, PATH, QUOTA, headers
from api.queries import QueryOf, parameters_of
from api.webhook_descriptions import add_webhooks
from contracts.messages import InboundMessage
from contracts.problems import (
    Forbidden,
    GatewayError,
    Invalid,
    KeyInFlight,
    KeyReused,
    Malformed,
    Problem,
    StorageAway,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
)

Responses = dict[int | str, dict[str, Any]]
_FASTAPI_ERRORS: Final = ("HTTPValidationError", "ValidationError")
_FASTAPI_DESCRIPTION: Final = "Successful Response"
_PAGE: Final = {"items", "nextCursor"}

VERSION: Final = headers("ETag")
"""The header of a response that has a version."""
MADE: Final = headers("Location")
"""The header of a response that says where something new is."""
DEGRADED_READS: Final = frozenset(
    {"listConversations", "getConversation", "listMessages", "listOutcomes", "listTasks", "getTask"}
)
"""The operations that are answered from Temporal while storage is away."""

TAGS: Final = [
    {"name": "auth", "description": "Signing in and out."},
    {"name": "conversations", "description": "Conversations with guests, and commands of staff to them."},
    {"name": "guests", "description": "Guests, and their profiles."},
    {"name": "tasks", "description": "Work for the hotel's departments."},
    {
        "name": "knowledge",
        "description": "The articles from which the AI answers, and the questions it could not answer.",
    },
    {"name": "reports", "description": "Figures about conversations."},
    {"name": "media", "description": "Files of conversations."},
    {"name": "notifications", "description": "Notifications for staff."},
    {"name": "quarantine", "description": "Incoming messages that could not be parsed."},
    {"name": "staff", "description": "Members of staff."},
    {"name": "api keys", "description": "Keys with which programs call the API."},
    {"name": "automations", "description": "Rules that carry out actions when something happens."},
    {"name": "webhook endpoints", "description": "Endpoints of your programs that receive events."},
    {"name": "webhooks", "description": "Where channels deliver guests' messages."},
    {"name": "operations", "description": "Health, readiness and metrics for operators."},
]


def _response(kinds: Iterable[type[GatewayError]]) -> dict[str, Any]:
    kinds = list(kinds)
    response: dict[str, Any] = {
        "description": "; ".join(kind.title for kind in kinds),
        "content": {
            PROBLEM_TYPE: {
                "schema": {"$ref": f"{SCHEMAS}Problem"},
                "examples": {kind.code: {"summary": kind.title, "value": _example(kind)} for kind in kinds},
            }
        },
    }
    names = dict.fromkeys(name for kind in kinds for name in _headers_of(kind))
    return response | ({"headers": headers(*names)} if names else {})


def _headers_of(kind: type[GatewayError]) -> tuple[str, ...]:
    match kind.status:
        case HTTPStatus.UNAUTHORIZED:
            return ("WWW-Authenticate",)
        case HTTPStatus.TOO_MANY_REQUESTS:
            return ("Retry-After", *QUOTA)
        case HTTPStatus.SERVICE_UNAVAILABLE:
            return ("Retry-After",)
    return ("Retry-After",) if kind is KeyInFlight else ()


def _example(kind: type[GatewayError]) -> JsonValue:
    problem: JsonValue = kind(kind.title).problem().model_dump(mode="json", exclude_none=True)
    return problem


def problems(*errors: type[GatewayError]) -> Responses:
    """The error responses of a route: each status with an example for each of its codes."""
    by_status: defaultdict[int, list[type[GatewayError]]] = defaultdict(list)
    for error in errors:
        by_status[error.status].append(error)
    return {status: _response(kinds) for status, kinds in by_status.items()}


KEYED: Final = problems(KeyInFlight, KeyReused, Invalid)
"""Errors of every POST that come from its `Idempotency-Key`."""
SIGNED_IN: Final = problems(Unauthenticated, Forbidden, TooManyRequests, StorageAway)
"""Errors of every route that needs a session."""
WITH_BODY: Final = problems(Malformed, TooLarge, Invalid)
"""Further errors of a route that reads a body."""


def operation_id(route: APIRoute) -> str:
    """`list_conversations` becomes `listConversations`, the method's name in a generated client."""
    first, *rest = route.name.split("_")
    return first + "".join(part.capitalize() for part in rest)


class DescribedAPI(FastAPI):
    """FastAPI with our own description of errors, and with examples."""

    def openapi(self) -> dict[str, Any]:
        if self.openapi_schema is None:
            document = super().openapi()
            for route in self.routes:
                if isinstance(route, APIRoute) and route.include_in_schema:
                    _add_query(document, route)
            complete(document)
        assert self.openapi_schema is not None
        return self.openapi_schema


def _add_query(document: dict[str, Any], route: APIRoute) -> None:
    """Adds the query parameters of a list, which FastAPI does not read itself."""
    calls = [dependency.call for dependency in route.dependant.dependencies]
    for model in (call.model for call in calls if isinstance(call, QueryOf)):
        parameters, schemas = parameters_of(model)
        document["components"]["schemas"].update(schemas)
        for method in route.methods or ():
            operation = document["paths"][route.path_format][method.lower()]
            operation["parameters"] = [*operation.get("parameters", ()), *deepcopy(parameters)]
            _merge(operation["responses"], problems(Invalid))


def complete(described: dict[str, Any]) -> None:
    """Completes FastAPI's description with what holds for every route: errors, parameters, headers and examples."""
    schemas: dict[str, Any] = described["components"]["schemas"]
    for model in (Problem, InboundMessage):
        schema = model.model_json_schema(ref_template=f"{SCHEMAS}{{model}}")
        schemas.update(schema.pop("$defs", {}))
        schemas[model.__name__] = schema
    for name in _FASTAPI_ERRORS:
        schemas.pop(name, None)
    for name, example in EXAMPLES.items():
        if name in schemas:
            schemas[name]["examples"] = [example.model_dump(mode="json")]
    described["components"]["headers"] = HEADERS
    described["paths"] = {_camel_path(path): operations for path, operations in described["paths"].items()}
    for path, operations in described["paths"].items():
        for method, operation in operations.items():
            _complete_operation(operation, schemas, rest=path.startswith(BASE), post=method == "post")
    add_webhooks(described)
    fit_for_clients(described)


def _complete_operation(operation: dict[str, Any], schemas: dict[str, Any], *, rest: bool, post: bool) -> None:
    responses: dict[str, Any] = operation["responses"]
    if _is_fastapi_error(responses.get("422")):
        responses["422"] = _response([Invalid])
    _merge(responses, SIGNED_IN if operation.get("security") else {})
    _merge(responses, WITH_BODY if rest and "requestBody" in operation else {})
    if rest and post:
        _merge(responses, KEYED)
        operation.setdefault("parameters", []).append(KEY_PARAMETER)
    for parameter in operation.get("parameters", ()):
        _complete_parameter(parameter)
    for content in operation.get("requestBody", {}).get("content", {}).values():
        content["schema"] = without_null(content["schema"])
    always = headers(
        *(QUOTA if "429" in responses else ()),
        *(("Session-Expires-At",) if operation.get("security") else ()),
        *((REPLAYED,) if rest and post else ()),
        *(("Gateway-Degraded",) if operation["operationId"] in DEGRADED_READS else ()),
    )
    for status, response in responses.items():
        if not status.startswith("2"):
            continue
        if response["description"] == _FASTAPI_DESCRIPTION:
            response["description"] = HTTPStatus(int(status)).phrase
        if always:
            response["headers"] = response.get("headers", {}) | always
        for content in response.get("content", {}).values():
            if "examples" not in content and (value := _value(content.get("schema", {}), schemas)) is not None:
                content["examples"] = {"answer": {"value": value}}
    operation["responses"] = dict(sorted(responses.items()))


def _camel_path(path: str) -> str:
    """`/tasks/{task_id}` as `/tasks/{taskId}`: one spelling on every wire."""
    return re.sub(r"\{(\w+)\}", lambda found: f"{{{to_camel(found[1])}}}", path)


def _complete_parameter(parameter: dict[str, Any]) -> None:
    schema: dict[str, Any] = parameter["schema"]
    if parameter["in"] == "path":
        parameter["name"] = to_camel(parameter["name"])
        description, example = PATH[parameter["name"]]
        parameter.setdefault("description", description)
        schema.setdefault("examples", [example])
    elif parameter["name"] in OTHERS:
        parameter.setdefault("description", OTHERS[parameter["name"]])
    parameter["schema"] = without_null(schema)
    parameter["schema"].pop("description", None)


def _merge(responses: dict[str, Any], more: Responses) -> None:
    """Adds the examples of further codes to the responses already described."""
    for status, response in more.items():
        known = responses.setdefault(str(status), deepcopy(response))
        examples = known["content"].get(PROBLEM_TYPE, {}).get("examples", {})
        examples.update(response["content"][PROBLEM_TYPE]["examples"])
        known["description"] = "; ".join(each["value"]["title"] for each in examples.values())
        if "headers" in response:
            known["headers"] = {**response["headers"], **known.get("headers", {})}


def _value(schema: dict[str, Any], schemas: dict[str, Any]) -> JsonValue:
    """An example of a schema, built from the examples of its models; None if there are none."""
    if "$ref" in schema:
        named = schemas[schema["$ref"].rpartition("/")[2]]
        if "examples" in named:
            example: JsonValue = named["examples"][0]
            return example
        if named.get("properties", {}).keys() >= _PAGE:
            items = _value(named["properties"]["items"], schemas)
            return None if items is None else {"items": items, "nextCursor": None}
        return None
    if schema.get("type") == "array":
        item = _value(schema["items"], schemas)
        return None if item is None else [item]
    return None


def _is_fastapi_error(response: dict[str, Any] | None) -> bool:
    return response is not None and "application/json" in response["content"]
