"""Managing the people who work here."""

from typing import Annotated, Any, Final

from fastapi import Body, Depends, Response, status
from pydantic import AfterValidator, Field, StrictBool, StringConstraints

import contracts.base
from activities.storage.paging import TimePosition
from activities.storage.staff import PASSWORD_LENGTH, Account
from api.auth.permissions import require_properties, require_property
from api.auth.sessions import Session
from api.changes import Changes, check_version, unchanged
from api.deps import GatewayState, IdempotencyKey, IfMatch, ReadsStaff, WritesStaff, keyed, known_id
from api.lists import Page, PageQuery, cursor_of
from api.openapi import VERSION, WITH_BODY, problems
from api.queries import QueryOf
from api.routers import rest_router
from contracts.base import NotBlank
from contracts.problems import Forbidden, Invalid, NotFound, StaleVersion
from contracts.staff import StaffMember, StaffRole

router = rest_router("/staff", "staff")
ONE: Final = problems(NotFound)
BY_OTHERS: Final = ("role", "properties", "disabled")
"""Fields that nobody may change on their own account, so that no property loses its last administrator by accident."""

Email = Annotated[
    str,
    StringConstraints(min_length=3, max_length=320),
    # Python takes these for blanks, too; the \s of other readers of the pattern does not.
    Field(json_schema_extra={"pattern": r"^\s*[^\s@\u001c-\u001f\u0085]+@[^\s\u001c-\u001f\u0085]+\s*$"}),
]
Name = Annotated[NotBlank, StringConstraints(max_length=200)]
Password = Annotated[str, StringConstraints(min_length=PASSWORD_LENGTH.start, max_length=PASSWORD_LENGTH.stop - 1)]
Properties = Annotated[
    list[str],
    Field(min_length=1, max_length=1000, description="Some or all of your own properties."),
    AfterValidator(lambda ids: list(dict.fromkeys(ids))),
]


class NewStaff(contracts.base.Body):
    email: Email
    name: Name
    role: StaffRole
    properties: Properties
    password: Password


class StaffChanges(Changes):
    email: Email = unchanged()
    name: Name = unchanged()
    role: StaffRole = unchanged()
    properties: Properties = unchanged()
    password: Password = unchanged()
    disabled: StrictBool = unchanged()


class StaffPage(Page[StaffMember]):
    pass


class StaffQuery(PageQuery):
    property: Annotated[str | None, Field(max_length=256, description="Only this property.")] = None
    disabled: Annotated[bool | None, Field(description="Only disabled accounts, or only enabled ones.")] = None


@router.get("", summary="List staff")
async def list_staff(
    session: ReadsStaff, state: GatewayState, query: Annotated[StaffQuery, Depends(QueryOf(StaffQuery))]
) -> StaffPage:
    """Everybody who works at one of your properties, newest first."""
    properties = session.staff.properties
    if query.property is not None:
        require_property(session.staff, query.property)
        properties = [query.property]
    page = await state.staff.members(
        properties, disabled=query.disabled, limit=query.limit, after=query.position(TimePosition)
    )
    return StaffPage(items=page.items, next_cursor=cursor_of(page.end))


@router.post(
    "",
    summary="Add a member of staff",
    status_code=status.HTTP_201_CREATED,
    responses=WITH_BODY | {201: {"headers": VERSION}},
)
async def add_staff(
    session: WritesStaff,
    state: GatewayState,
    body: Annotated[
        NewStaff,
        Body(
            openapi_examples={
                "agent": {
                    "value": {
                        "email": "marta@hotel.example",
                        "name": "Marta Reis",
                        "role": "agent",
                        "properties": ["seaview"],
                        "password": "a long enough password",
                    }
                }
            }
        ),
    ],
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> StaffMember:
    """Adds a person, who signs in with this address and password and may change the password later."""
    require_properties(session.staff, body.properties)
    added = await state.staff.add(
        **body.model_dump(by_alias=False), staff_id=keyed(session, "new staff", idempotency_key)
    )
    return _with_etag(await state.staff.get(added.id), response)


@router.get("/{staff_id}", summary="Get a member of staff", responses=ONE | {200: {"headers": VERSION}})
async def get_staff(session: ReadsStaff, state: GatewayState, staff_id: str, response: Response) -> StaffMember:
    account = await state.staff.get(known_id("person", staff_id))
    if account is not None and not set(account.member.properties) & set(session.staff.properties):
        raise Forbidden("This person works at none of your properties")
    return _with_etag(account, response)


@router.patch(
    "/{staff_id}",
    summary="Change a member of staff",
    responses=ONE | WITH_BODY | problems(StaleVersion) | {200: {"headers": VERSION}},
)
async def update_staff(
    session: WritesStaff,
    state: GatewayState,
    staff_id: str,
    body: Annotated[StaffChanges, Body(openapi_examples={"leaves": {"value": {"disabled": True}}})],
    response: Response,
    if_match: IfMatch = None,
) -> StaffMember:
    """Changes only the fields that are sent.

    Changing the role, properties or password, or disabling the account, ends all of the person's sessions at once. You
    can only change people who work at no properties but yours.
    """
    changes = body.sent()
    require_properties(session.staff, changes.get("properties", []))

    def allow(account: Account) -> None:
        require_properties(session.staff, account.member.properties)
        check_version(if_match, _etag(account))
        if account.member.id == session.staff.id:
            _check_own(session, account, changes)

    changed = await state.staff.update(known_id("person", staff_id), changes, allow)
    if changed is None:
        raise _no_such()
    await state.sessions.announce(changed.endings)
    return _with_etag(changed.account, response)


def _check_own(session: Session, account: Account, changes: dict[str, Any]) -> None:
    for name in BY_OTHERS:
        if name in changes and changes[name] != getattr(account.member, name):
            raise Invalid(f"{name}: you cannot change your own; ask another administrator", field=name)


def _with_etag(account: Account | None, response: Response) -> StaffMember:
    if account is None:
        raise _no_such()
    response.headers["ETag"] = _etag(account)
    return account.member


def _etag(account: Account) -> str:
    return f'"{account.version}"'


def _no_such() -> NotFound:
    return NotFound("There is no member of staff with this id")
