"""API keys: the routes by which administrators create, list and revoke them."""

from datetime import UTC, datetime
from typing import Annotated, Final
from uuid import uuid4

from fastapi import Body, Depends, Response, status
from pydantic import ConfigDict, Field, StringConstraints, WithJsonSchema, field_validator

import contracts.base
from activities.storage.paging import TimePosition
from api.auth.permissions import Permission, permissions_of, require_properties
from api.auth.staff import Properties
from api.deps import GatewayState, IdempotencyKey, ManagesApiKeys, keyed, known_id
from api.examples import MADE_API_KEY
from api.lists import Page, PageQuery, cursor_of
from api.openapi import WITH_BODY, problems
from api.queries import QueryOf
from api.routers import rest_router
from contracts.base import Moment, NotBlank
from contracts.problems import Invalid, NotFound
from contracts.staff import ApiKey

router = rest_router("/api-keys", "api keys")
NOT_KEPT: Final = {"Cache-Control": "no-store"}


Scope = Annotated[Permission, WithJsonSchema({"type": "string", "enum": [*permissions_of("service")]})]


class NewApiKey(contracts.base.Body):
    name: Annotated[NotBlank, StringConstraints(max_length=100)]
    properties: Properties
    scopes: Annotated[
        list[Scope] | None,
        Field(min_length=1, description="What the key may do. Default: everything that programs may do."),
    ] = None
    expires_at: Annotated[Moment | None, Field(description="When the key expires. Default: never.")] = None

    @field_validator("scopes")
    @classmethod
    def _for_programs(cls, scopes: list[Permission] | None) -> list[Permission] | None:
        possible = permissions_of("service")
        if wrong := sorted(set(scopes or ()) - set(possible)):
            raise ValueError(f"programs cannot have {', '.join(wrong)}; possible are {', '.join(possible)}")
        return scopes

    @field_validator("expires_at")
    @classmethod
    def _to_come(cls, expires_at: datetime | None) -> datetime | None:
        if expires_at is not None and expires_at <= datetime.now(UTC):
            raise ValueError("must be in the future")
        return expires_at


class MadeApiKey(ApiKey):
    """A new key. Its secret text, `key`, is shown only this once and stored nowhere."""

    model_config = ConfigDict(json_schema_extra={"examples": [MADE_API_KEY]})

    key: str


class ApiKeyPage(Page[ApiKey]):
    pass


@router.get("", summary="List API keys")
async def list_api_keys(
    session: ManagesApiKeys, state: GatewayState, query: Annotated[PageQuery, Depends(QueryOf(PageQuery))]
) -> ApiKeyPage:
    """API keys with access to any of your properties, newest first. Revoked keys stay listed."""
    page = await state.api_keys.list(session.staff.properties, limit=query.limit, after=query.position(TimePosition))
    return ApiKeyPage(items=page.items, next_cursor=cursor_of(page.end))


@router.post("", summary="Create an API key", status_code=status.HTTP_201_CREATED, responses=WITH_BODY)
async def create_api_key(
    session: ManagesApiKeys,
    state: GatewayState,
    body: Annotated[
        NewApiKey,
        Body(
            openapi_examples={
                "reader": {"value": {"name": "Dashboard", "properties": ["seaview"], "scopes": ["conversations:read"]}}
            }
        ),
    ],
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> MadeApiKey:
    """Creates a key, which a program sends as `Authorization: Bearer gw_…`.

    If the response was lost, repeating the request with the same `Idempotency-Key` gives the key a new secret text; the
    previous text stops working.
    """
    require_properties(session.staff, body.properties)
    made, text = await state.api_keys.create(
        keyed(session, "new API key", idempotency_key) or str(uuid4()),
        name=body.name,
        properties=body.properties,
        scopes=body.scopes or permissions_of("service"),
        created_by=session.staff.id,
        expires_at=body.expires_at,
    )
    if made.revoked_at is not None:
        raise Invalid("Idempotency-Key: the API key created with it has been revoked", field="Idempotency-Key")
    response.headers.update(NOT_KEPT)
    return MadeApiKey(**made.model_dump(by_alias=False), key=text)


@router.delete(
    "/{key_id}", summary="Revoke an API key", status_code=status.HTTP_204_NO_CONTENT, responses=problems(NotFound)
)
async def revoke_api_key(session: ManagesApiKeys, state: GatewayState, key_id: str) -> Response:
    """Revokes a key at once and closes the sockets it opened. Repeating it changes nothing."""
    ending = await state.api_keys.revoke(
        known_id("API key", key_id), lambda key: require_properties(session.staff, key.properties)
    )
    if ending is None:
        raise NotFound("There is no API key with this id")
    await state.sessions.announce([ending])
    return Response(status_code=status.HTTP_204_NO_CONTENT)
