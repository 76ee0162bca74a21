"""The two kinds of routers: of the REST API, behind the gate, and of public routes.

Each router has its full path and is not included in another: FastAPI searches included routers at every request, which
takes as long as a short response.
"""

from typing import Final

from fastapi import APIRouter, Depends

from api.auth.permissions import Public
from api.names import BASE
from api.openapi import SIGNED_IN, Responses, operation_id

SIGNED: Final = "requests are signed by the channel"
"""Why a channel's webhooks may be public."""


def rest_router(path: str, tag: str, responses: Responses = SIGNED_IN) -> APIRouter:
    """The router of one REST resource at `path` below the base path. Each route asks for its own permission."""
    return APIRouter(prefix=f"{BASE}{path}", tags=[tag], responses=responses, generate_unique_id_function=operation_id)


def public_router(why: str, *, path: str = "", tag: str | None = None, in_schema: bool = True) -> APIRouter:
    """A router of routes without a session. `why` says what protects them instead, or why nothing needs to."""
    return APIRouter(
        prefix=path,
        tags=[tag] if tag is not None else [],
        dependencies=[Depends(Public(why))],
        include_in_schema=in_schema,
        generate_unique_id_function=operation_id,
    )
