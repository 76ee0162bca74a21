"""Guests: their profiles, merging, export and erasure."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, ClassVar, Final

from fastapi import Body, Depends, Response
from pydantic import AfterValidator, ConfigDict, Field, StringConstraints

import contracts.base
from activities.hotel.port import HotelAwayError
from activities.media.store import MediaAway
from activities.storage.erasure import StoredErasure
from activities.storage.guest_data import Holdings
from activities.storage.guests import StoredGuest
from activities.storage.paging import TimePosition
from api.auth.permissions import require_property
from api.auth.sessions import Session
from api.changes import Changes, check_version, unchanged
from api.deps import GatewayState, IfMatch, ManagesGuests, ReadsGuests, WritesGuests, known_id
from api.lists import Page, PageQuery, cursor_of
from api.openapi import VERSION, WITH_BODY, problems
from api.parameters import headers
from api.queries import QueryOf
from api.routers import rest_router
from api.state import State
from contracts.guest_export import ExportedFile, GuestExport
from contracts.guests import (
    PREFERENCE_CHARACTERS,
    PREFERENCES,
    Autonomy,
    Erasure,
    Guest,
    GuestWithStays,
    are_bearable,
)
from contracts.names import contact_key_of, media_workflow_id, task_workflow_id, workflow_id
from contracts.problems import GuestBusy, NotFound, StaleVersion, Unavailable, WrongState

router = rest_router("/guests", "guests")
ONE: Final = problems(NotFound)

PreferenceName = Annotated[str, StringConstraints(min_length=1, max_length=100)]
Preference = Annotated[str, StringConstraints(max_length=1000)]


class GuestPage(Page[Guest]):
    pass


class GuestQuery(PageQuery):
    property: Annotated[str | None, Field(max_length=256, description="Only this property.")] = None
    q: Annotated[str | None, Field(min_length=1, max_length=200, description="Part of the name or of an address.")] = (
        None
    )


def _short_together(preferences: dict[str, str]) -> dict[str, str]:
    if not are_bearable(preferences):
        raise ValueError(f"may have at most {PREFERENCE_CHARACTERS} characters in total")
    return preferences


class GuestChanges(Changes):
    CAN_BE_EMPTY: ClassVar[frozenset[str]] = frozenset({"name", "language"})
    model_config = ConfigDict(json_schema_extra=Changes.model_config.get("json_schema_extra"))

    name: Annotated[str | None, Field(max_length=200)] = None
    language: Annotated[
        str | None,
        Field(
            pattern=r"^[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*$",
            max_length=35,
            description="A BCP 47 language tag, such as `pt`.",
        ),
    ] = None
    preferences: Annotated[
        dict[PreferenceName, Preference], Field(max_length=PREFERENCES), AfterValidator(_short_together)
    ] = unchanged()
    autonomy: Autonomy = unchanged()


class MergeBody(contracts.base.Body):
    into: Annotated[str, Field(min_length=1, max_length=256, description="The guest who remains.")]


@router.get("", summary="List guests")
async def list_guests(
    session: ReadsGuests, state: GatewayState, query: Annotated[GuestQuery, Depends(QueryOf(GuestQuery))]
) -> GuestPage:
    """Guests of your properties, newest first. A merged guest is listed as part of the other guest."""
    properties = session.staff.properties
    if query.property is not None:
        require_property(session.staff, query.property)
        properties = [query.property]
    page = await state.guests.list(properties, words=query.q, limit=query.limit, after=query.position(TimePosition))
    return GuestPage(items=page.items, next_cursor=cursor_of(page.end))


@router.get("/{guest_id}", summary="Get a guest", responses=ONE | {200: {"headers": VERSION}})
async def get_guest(session: ReadsGuests, state: GatewayState, guest_id: str, response: Response) -> GuestWithStays:
    """A guest by id; for a merged guest, the one they were merged into. `hotelSystem` says where `stays` come from."""
    found = await _guest(session, state, guest_id)
    response.headers["ETag"] = _etag(found)
    return await _with_stays(state, found)


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
) -> GuestWithStays:
    """Changes only the fields that are sent. `preferences` is replaced as a whole.

    The AI is given the changed profile in conversations that begin afterwards.
    """

    def allow(stored: StoredGuest) -> None:
        require_property(session.staff, stored.property_id)
        check_version(if_match, _etag(stored))

    changed = await state.guests.update(known_id("guest", guest_id), body.sent(), allow)
    if changed is None:
        raise _no_such(guest_id)
    response.headers["ETag"] = _etag(changed)
    return await _with_stays(state, changed)


@router.post(
    "/{guest_id}/merge",
    summary="Merge two guests who are the same person",
    responses=ONE | WITH_BODY | problems(WrongState),
)
async def merge_guest(
    session: ManagesGuests,
    state: GatewayState,
    guest_id: str,
    body: Annotated[MergeBody, Body(openapi_examples={"into": {"value": {"into": "guest-9b1f"}}})],
) -> GuestWithStays:
    """Merges the guest into `into` and returns that guest. `unmerge` undoes it.

    Gaps in the other's profile are filled from this one. Of two `autonomy` settings the more cautious one holds.
    """

    def allow(property_id: str) -> None:
        require_property(session.staff, property_id)

    await state.merges.merge(
        known_id("guest", guest_id), known_id("guest", body.into), by=session.staff.id, allow=allow
    )
    return await _with_stays(state, await _guest(session, state, guest_id))


@router.post("/{guest_id}/unmerge", summary="Undo a merge", responses=ONE | problems(WrongState))
async def unmerge_guest(session: ManagesGuests, state: GatewayState, guest_id: str) -> GuestWithStays:
    """Separates a merged guest again, with what they had before and whatever their contacts received since.

    The other guest keeps changes made to their profile since the merge, and loses what came from this one.
    """

    def allow(property_id: str) -> None:
        require_property(session.staff, property_id)

    await state.merges.unmerge(known_id("guest", guest_id), allow=allow)
    return await _with_stays(state, await _guest(session, state, guest_id))


@router.post(
    "/{guest_id}/export",
    summary="Export everything stored about a guest",
    responses=ONE | problems(MediaAway) | {200: {"headers": headers("Content-Disposition")}},
)
async def export_guest(session: ManagesGuests, state: GatewayState, guest_id: str, response: Response) -> GuestExport:
    """Everything stored about the guest, as one document to hand over. Files are listed by name and link."""
    held = await _held(session, state, guest_id)
    if held is None:
        raise _no_such(guest_id)
    export = await state.guest_data.export(held)
    files = [await state.media.find(media_id) for media_id in held.media]
    export.media = [
        ExportedFile(**file.attachment.model_dump(by_alias=False), refused=file.refused) for file in files if file
    ]
    export.exported_at = datetime.now(UTC)
    response.headers["Content-Disposition"] = f'attachment; filename="guest-{export.exported_at:%Y%m%d}.json"'
    response.headers["Cache-Control"] = "no-store"
    return export


@router.delete("/{guest_id}", summary="Erase a guest", responses=ONE | problems(GuestBusy, MediaAway, Unavailable))
async def erase_guest(session: ManagesGuests, state: GatewayState, guest_id: str) -> Erasure:
    """Erases a guest and everybody merged into them, for good. Repeating it finishes what was left.

    Refused while a conversation, task or file download of theirs is running, which would write data back. Opt-outs and
    anonymous figures outlive the erasure. The response lists the encrypted histories of ended conversations that
    Temporal keeps until its retention ends.
    """
    held = await _held(session, state, guest_id)
    erased = await _erase(session, state, held) if held is not None else None
    erased = erased or await state.erasures.find(guest_id)
    if erased is None:
        raise _no_such(guest_id)
    require_property(session.staff, erased.property_id)
    await state.erasures.clean_stream(erased)
    for media_id in erased.traces.media:
        await state.media.delete(media_id)
    ids = _workflows(erased.traces.contacts, erased.traces.tasks, erased.traces.media)
    return Erasure(
        guest_ids=erased.guest_ids,
        erased_at=erased.at,
        erased=erased.counts,
        histories=await state.executions.histories(ids),
    )


async def _erase(session: Session, state: State, held: Holdings) -> StoredErasure | None:
    running = await state.executions.running(_workflows(held.contacts, held.tasks, held.media))
    if running:
        going_on = {workflow_id(contact_key_of(each)): each for each in held.open_conversations}
        raise GuestBusy(
            "Resolve the guest's conversations, close their tasks, and repeat this when the `workflows` have ended",
            workflows=[*running],
            conversations=[going_on[each] for each in running if each in going_on],
            tasks=[each for each in held.tasks if task_workflow_id(each) in running],
        )
    return await state.erasures.erase(held, by=session.staff.id)


def _workflows(contacts: Sequence[str], tasks: Sequence[str], media: Sequence[str]) -> list[str]:
    """The ids of all workflows that may hold data of a guest, whether or not they ever ran."""
    return [*map(workflow_id, contacts), *map(task_workflow_id, tasks), *map(media_workflow_id, media)]


async def _guest(session: Session, state: State, guest_id: str) -> StoredGuest:
    found = await state.guests.get(known_id("guest", guest_id))
    if found is None:
        raise _no_such(guest_id)
    require_property(session.staff, found.property_id)
    return found


async def _with_stays(state: State, stored: StoredGuest) -> GuestWithStays:
    guest = GuestWithStays.model_validate(stored.guest.model_dump(by_alias=False))
    if state.hotel is None:
        return guest
    try:
        stays = await state.hotel.stays(stored.property_id, guest.contacts)
    except HotelAwayError:
        return guest.model_copy(update={"hotel_system": "away"})
    return guest.model_copy(update={"hotel_system": "ok", "stays": stays})


async def _held(session: Session, state: State, guest_id: str) -> Holdings | None:
    held = await state.guest_data.holdings(known_id("guest", guest_id))
    if held is not None:
        require_property(session.staff, held.property_id)
    return held


def _etag(guest: StoredGuest) -> str:
    return f'"{hashlib.sha256(guest.guest.model_dump_json().encode()).hexdigest()[:16]}"'


def _no_such(guest_id: str) -> NotFound:
    return NotFound(f"There is no guest {guest_id}")
