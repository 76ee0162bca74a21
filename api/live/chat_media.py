"""Uploads of web chat guests: a file is uploaded first and then named in a message."""

from typing import Annotated, Final

from fastapi import File, Form, Path, Request, UploadFile, status

from activities.media.store import MediaAway
from activities.media.types import MediaRefused
from api.deps import GatewayState
from api.gate import HEADERS_KEY
from api.live.sockets import may_open
from api.live.visitors import VisitorTokens
from api.openapi import problems
from api.routers import public_router
from contracts.messages import Attachment
from contracts.problems import Forbidden, Invalid, Malformed, NotFound, TooLarge, TooManyRequests, Unauthenticated

router = public_router("the form contains the visitor's token", tag="media")
PREFIX: Final = "/chat/"


@router.post(
    "/chat/{propertyId}/media",
    summary="Upload a file as a guest",
    status_code=status.HTTP_201_CREATED,
    responses=problems(
        Malformed, Unauthenticated, Forbidden, NotFound, TooLarge, MediaRefused, Invalid, TooManyRequests, MediaAway
    ),
)
async def upload_chat_media(
    request: Request,
    state: GatewayState,
    property_id: Annotated[str, Path(alias="propertyId")],
    token: Annotated[
        str, Form(description="The `token` of the socket's `session` frame.", min_length=1, max_length=4096)
    ],
    file: Annotated[UploadFile, File(description="The file. Its type is determined from its content.")],
) -> Attachment:
    """Uploads a file. A `send_message` of the same chat may name the returned `id`; the link expires."""
    if property_id not in state.settings.properties:
        raise NotFound("There is no such property")
    origins = [
        *state.settings.websocket.allowed_origins,
        *state.settings.channels_of(property_id).webchat.allowed_origins,
    ]
    if not may_open(request, origins):
        raise Forbidden("This origin may not upload files")
    if (origin := request.headers.get("origin")) is not None:  # the page must be able to read a refusal, too
        request.scope[HEADERS_KEY].update({"Access-Control-Allow-Origin": origin, "Vary": "Origin"})
    visitor = VisitorTokens(state.tokens.keys).visitor(token, property_id)
    if not visitor.known:
        raise Unauthenticated("token: must be the one that this chat gave the browser")
    quota = await state.requests.take(f"uploads:{visitor.id}")
    request.scope[HEADERS_KEY].update(quota.headers)
    if quota.exceeded:
        raise TooManyRequests(f"Too many files; try again in {quota.reset_seconds} s", retryAfter=quota.reset_seconds)
    content = await file.read()
    if not content:
        raise Invalid("file: must not be empty", field="file")
    kind = file.content_type or "application/octet-stream"
    kept = await state.media.put(property_id, content, name=file.filename or "", content_type=kind)
    return state.links.signed([kept.attachment])[0]
