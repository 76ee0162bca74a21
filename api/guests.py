"""The people who write."""

import hashlib
from typing import Annotated, Any, ClassVar, Final

from fastapi import APIRouter, Body, Query, Response
from pydantic import ConfigDict, Field, StringConstraints

from activities.storage.guests import StoredGuest
from activities.storage.paging import TimePosition
from api.auth.permissions import require_property
from api.changes import Changes, check_version, unchanged
from api.deps import GatewayState, IfMatch, ReadsGuests, WritesGuests, known_id
from api.lists import Page, PageQuery, cursor_of
from api.openapi import SIGNED_IN, WITH_BODY, problems
from contracts.guests import Autonomy, Guest
from contracts.problems import NotFound, StaleVersion

router = APIRouter(prefix="/guests", tags=["guests"], responses=SIGNED_IN)
ONE: Final = problems(NotFound)
VERSION: Final[dict[str, Any]] = {"ETag": {"description": "The guest's version.", "schema": {"type": "string"}}}

PreferenceName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Preference = Annotated[str, StringConstraints(max_length=1000)]


class GuestPage(Page[Guest]):
    pass


class GuestQuery(PageQuery):
    property: Annotated[str | None, Field(max_length=256, description="Of one property only.")] = None
    q: Annotated[str | None, Field(min_length=1, max_length=200, description="A part of the name.")] = None


class GuestChanges(Changes):
    CAN_BE_EMPTY: ClassVar[frozenset[str]] = frozenset({"name", "language"})
    model_config = ConfigDict(json_schema_extra=Changes.model_config.get("json_schema_extra"))

    name: Annotated[str | None, Field(max_length=200)] = None
    language: Annotated[
        str | None, Field(pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$", max_length=35, description="As in BCP 47.")
    ] = None
    preferences: Annotated[dict[PreferenceName, Preference], Field(max_length=100)] = unchanged()
    autonomy: Autonomy = unchanged()


@router.get("", summary="List guests")
async def list_guests(session: ReadsGuests, state: GatewayState, query: Annotated[GuestQuery, Query()]) -> GuestPage:
    """Guests of your properties, the newest first."""
    properties = session.staff.properties
    if query.property is not None:
        require_property(session.staff, query.property)
        properties = [query.property]
    page = await state.guests.list(properties, name=query.q, limit=query.limit, after=query.position(TimePosition))
    return GuestPage(items=page.items, next_cursor=cursor_of(page.end))


@router.get("/{guest_id}", summary="Get a guest", responses=ONE | {200: {"headers": VERSION}})
async def get_guest(session: ReadsGuests, state: GatewayState, guest_id: str, response: Response) -> Guest:
    found = await state.guests.get(known_id("guest", guest_id))
    if found is None:
        raise _no_such(guest_id)
    require_property(session.staff, found.property_id)
    response.headers["ETag"] = _etag(found)
    return found.guest


@router.patch(
    "/{guest_id}",
    summary="Change a guest",
    responses=ONE | WITH_BODY | problems(StaleVersion) | {200: {"headers": VERSION}},
)
async def update_guest(
    session: WritesGuests,
    state: GatewayState,
    guest_id: str,
    body: Annotated[GuestChanges, Body(openapi_examples={"language": {"value": {"language": "pt-BR"}}})],
    response: Response,
    if_match: IfMatch = None,
) -> Guest:
    """Changes what is sent and leaves the rest. `preferences` are replaced as a whole."""

    def allow(stored: StoredGuest) -> None:
        require_property(session.staff, stored.property_id)
        check_version(if_match, _etag(stored))

    changed = await state.guests.update(known_id("guest", guest_id), body.sent(), allow)
    if changed is None:
        raise _no_such(guest_id)
    response.headers["ETag"] = _etag(changed)
    return changed.guest


def _etag(guest: StoredGuest) -> str:
    return f'"{hashlib.sha256(guest.guest.model_dump_json().encode()).hexdigest()[:16]}"'


def _no_such(guest_id: str) -> NotFound:
    return NotFound(f"There is no guest {guest_id}")
