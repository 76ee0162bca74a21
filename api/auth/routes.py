"""Staff sessions: signing in and out."""

from typing import Annotated

from fastapi import Body, Depends, Query, Request, Response, status
from pydantic import ConfigDict, Field

import contracts.base
from activities.storage.staff import PASSWORD_LENGTH
from api.auth import signing_in
from api.auth.permissions import Public
from api.auth.sessions import Session
from api.changes import Changes, unchanged
from api.deps import GatewayState, SignedIn
from api.examples import ACCESS, PROFILE
from api.openapi import SIGNED_IN, WITH_BODY, problems
from api.routers import rest_router
from api.state import State
from contracts.base import Model, Timestamp
from contracts.events import NotificationKind
from contracts.problems import BadCredentials, StorageAway, TooManyRequests, Unauthenticated
from contracts.staff import Staff

router = rest_router("/auth", "auth", {})


OldPassword = Annotated[str, Field(min_length=1, max_length=1024)]


class Credentials(contracts.base.Body):
    email: Annotated[str, Field(min_length=1, max_length=320)]
    password: OldPassword


class Access(Model):
    """Send `accessToken` as `Authorization: Bearer …`. Unless it is used before, the session ends at `expiresAt`."""

    model_config = ConfigDict(json_schema_extra={"examples": [ACCESS]})

    access_token: str
    expires_at: Timestamp
    staff: Staff


@router.post(
    "/login",
    summary="Sign in",
    responses=WITH_BODY | problems(BadCredentials, TooManyRequests, StorageAway),
    dependencies=[Depends(Public("signing in cannot require a session, and is throttled"))],
)
async def login(
    state: GatewayState,
    request: Request,
    response: Response,
    body: Annotated[
        Credentials,
        Body(openapi_examples={"demo": {"value": {"email": "agent@seaview.demo", "password": "seaview"}}}),
    ],
) -> Access:
    """Opens a session of at most 12 hours. Refused after ten failures in 15 minutes for one e-mail and IP address."""
    response.headers["Cache-Control"] = "no-store"
    return _access(await state.sign_in.by_password(body.email, body.password, _address(request)))


@router.post("/refresh", summary="Renew the session", responses=SIGNED_IN)
async def refresh(session: SignedIn, state: GatewayState) -> Access:
    """A new token with your current permissions. The session still ends 12 hours after signing in."""
    return _access(await state.sign_in.again(session))


@router.post("/logout", summary="Sign out", status_code=status.HTTP_204_NO_CONTENT, responses=SIGNED_IN)
async def logout(
    session: SignedIn,
    state: GatewayState,
    everywhere: Annotated[bool, Query(alias="all", description="End all your sessions, on all devices.")] = False,
) -> Response:
    """Ends the session at once and closes its sockets."""
    if everywhere:
        await state.sessions.end_all(session.staff.id)
    await state.sessions.end(session.id, session.ends_at)
    return Response(status_code=status.HTTP_204_NO_CONTENT)


class NewPassword(contracts.base.Body):
    current_password: OldPassword
    new_password: Annotated[str, Field(min_length=PASSWORD_LENGTH.start, max_length=PASSWORD_LENGTH.stop - 1)]


@router.post(
    "/password",
    summary="Change your password",
    status_code=status.HTTP_204_NO_CONTENT,
    responses=SIGNED_IN | WITH_BODY | problems(BadCredentials, Unauthenticated),
)
async def change_password(
    session: SignedIn,
    state: GatewayState,
    request: Request,
    body: Annotated[
        NewPassword,
        Body(
            openapi_examples={
                "new": {"value": {"currentPassword": "a long enough password", "newPassword": "another long password"}}
            }
        ),
    ],
) -> Response:
    """Changes your password and ends all your other sessions. Wrong passwords count as failed sign-ins."""
    await state.sign_in.change_password(session, body.current_password, body.new_password, _address(request))
    return Response(status_code=status.HTTP_204_NO_CONTENT)


class Profile(Staff):
    """You, and the kinds of notifications you also get by e-mail. `mailKinds` is null while storage is away."""

    model_config = ConfigDict(json_schema_extra={"examples": [PROFILE]})

    mail_kinds: list[NotificationKind] | None = None


class Wishes(Changes):
    mail_kinds: Annotated[list[NotificationKind], Field(max_length=20)] = unchanged()


@router.get("/me", summary="Get your own account", responses=SIGNED_IN)
async def me(session: SignedIn, state: GatewayState) -> Profile:
    try:
        return await _profile(session, state)
    except StorageAway:
        return Profile(**session.staff.model_dump(by_alias=False))


@router.patch("/me", summary="Choose your e-mail notifications", responses=SIGNED_IN | WITH_BODY)
async def change_me(
    session: SignedIn,
    state: GatewayState,
    body: Annotated[Wishes, Body(openapi_examples={"mails": {"value": {"mailKinds": ["escalation", "mention"]}}})],
) -> Profile:
    """Chooses which notifications you also get by e-mail. The mails contain no guest data.

    They are sent through your property's mail server, if it has one.
    """
    if (kinds := body.sent().get("mail_kinds")) is not None:
        await state.staff.wish_mails(session.staff.id, list(dict.fromkeys(kinds)))
    return await _profile(session, state)


async def _profile(session: Session, state: State) -> Profile:
    kinds = await state.staff.mail_kinds(session.staff.id)
    return Profile.model_validate({**session.staff.model_dump(by_alias=False), "mail_kinds": kinds})


def _address(request: Request) -> str:
    return request.client.host if request.client else "unknown"


def _access(signed_in: signing_in.SignedIn) -> Access:
    return Access(access_token=signed_in.access_token, expires_at=signed_in.expires_at, staff=signed_in.staff)
