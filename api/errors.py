"""Every error has the same form: `application/problem+json` with a stable code (RFC 9457)."""

import math
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import compile_path

from contracts.problems import GatewayError, Invalid, Malformed, NotFound, Problem, TooLarge

PROBLEM_TYPE = "application/problem+json"
RETRY_SECONDS = 5
"""The `Retry-After` of a dependency that is away."""


def problem_response(error: GatewayError) -> Response:
    return _respond(error.problem(), _headers(error))


def install_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(GatewayError, _on_gateway_error)
    app.add_exception_handler(RequestValidationError, _on_invalid_request)
    app.add_exception_handler(HTTPException, _on_http_exception)


async def _on_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)
    return problem_response(error)


async def _on_invalid_request(request: Request, error: Exception) -> Response:
    """Names every invalid field; `field` is the first one. What the client sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    if found[0]["type"] == "json_invalid":
        return problem_response(Malformed("The body must be JSON"))
    wrong = [(_field(tuple(each["loc"])), _wrong(each["type"], each["msg"])) for each in found]
    field, message = wrong[0]
    return problem_response(
        Invalid(f"{field}: {message}", field=field, errors=[{"field": name, "detail": text} for name, text in wrong])
    )


async def _on_http_exception(request: Request, error: Exception) -> Response:
    """Translates errors raised by routing and body parsing."""
    assert isinstance(error, HTTPException)
    match error.status_code:
        case HTTPStatus.NOT_FOUND:
            return problem_response(NotFound("There is nothing at this URL"))
        case HTTPStatus.BAD_REQUEST:
            return problem_response(Malformed("The body cannot be read"))
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return problem_response(TooLarge("The body is too large"))
    status, headers = HTTPStatus(error.status_code), dict(error.headers or {})
    if status is HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(sorted(_methods(request)))
    problem = Problem(
        title=status.phrase, status=status, code=status.name.lower(), detail=f"{request.method}: {status.description}"
    )
    return _respond(problem, headers)


def _methods(request: Request) -> set[str]:
    """The methods allowed at a request's path; the router itself only names those of one route."""
    return {
        method
        for route in iter_route_contexts(request.app.routes)
        if route.methods and compile_path(route.path or "")[0].match(request.url.path)
        for method in route.methods
    }


def _field(location: tuple[int | str, ...]) -> str:
    """A field's path as its sender knows it: `dueAt`, `attachments.0.url`, `limit`; `body` for the whole body."""
    names = (to_camel(str(name)) for name in location[1:]) if location[0] == "path" else map(str, location[1:])
    return ".".join(names) or str(location[0])


def _wrong(kind: str, message: str) -> str:
    """What is wrong with a value: Pydantic's message, reworded where it speaks of Python."""
    if kind == "model_attributes_type":
        return "must be a JSON object, sent as Content-Type: application/json"
    return message.removeprefix("Value error, ")


def _headers(error: GatewayError) -> dict[str, str]:
    match error.status:
        case HTTPStatus.UNAUTHORIZED:
            return {"WWW-Authenticate": "Bearer"}
        case HTTPStatus.TOO_MANY_REQUESTS | HTTPStatus.SERVICE_UNAVAILABLE:
            return {"Retry-After": _seconds(error)}
    return {"Retry-After": _seconds(error)} if "retryAfter" in error.members else {}


def _seconds(error: GatewayError) -> str:
    seconds = error.members.get("retryAfter")
    return str(math.ceil(seconds) if isinstance(seconds, int | float) else RETRY_SECONDS)


def _respond(problem: Problem, headers: dict[str, str]) -> Response:
    return Response(
        problem.model_dump_json(exclude_none=True), problem.status, headers=headers, media_type=PROBLEM_TYPE
    )
