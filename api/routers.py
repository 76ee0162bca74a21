"""The two kinds of routers: of the REST interface, behind the gate, and of what is open to everybody.

Each names its whole path and is not included in another: FastAPI looks through included routers at every request, which
takes as long as a short answer.
"""

from typing import Final

from fastapi import APIRouter, Depends

from api.auth.permissions import Public
from api.keys import BASE
from api.openapi import SIGNED_IN, Responses, operation_id

SIGNED: Final = "what comes in is signed by its channel"
"""What protects a channel's webhooks."""


def rest_router(path: str, tag: str, responses: Responses = SIGNED_IN) -> APIRouter:
    """A resource of the REST interface, `path` below its base. Each route asks for a permission of its own."""
    return APIRouter(prefix=f"{BASE}{path}", tags=[tag], responses=responses, generate_unique_id_function=operation_id)


def public_router(why: str, *, path: str = "", tag: str | None = None, in_schema: bool = True) -> APIRouter:
    """Routes that need no session. `why` says what protects them, or that nothing must."""
    return APIRouter(
        prefix=path,
        tags=[tag] if tag is not None else [],
        dependencies=[Depends(Public(why))],
        include_in_schema=in_schema,
        generate_unique_id_function=operation_id,
    )
