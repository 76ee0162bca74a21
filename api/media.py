"""Files of conversations: uploads by staff, and downloads for whoever may see them."""

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import File, Form, Header, Query, Response, UploadFile, status

from activities.media.links import LINKED
from activities.media.store import MediaAway, MediaFile, MediaGone
from activities.media.types import SHOWN, MediaRefused, is_among
from api import byte_ranges
from api.auth.permissions import require_property
from api.deps import GatewayState, ReadsConversations, WritesConversations
from api.openapi import SIGNED_IN, Responses, problems
from api.parameters import headers
from api.routers import public_router, rest_router
from api.state import State
from contracts.media import MEDIA_ID
from contracts.messages import Attachment
from contracts.problems import Forbidden, Invalid, Malformed, NotFound, TooLarge

router = rest_router("/media", "media", {})
linked = public_router("the link is signed", tag="media")
FORM_BYTES: Final = 100_000
"""How much a form may be larger than its file."""
_BYTES: Final = {"schema": {"type": "string", "contentMediaType": "application/octet-stream"}}
_CONTENT: Final = {"application/octet-stream": _BYTES, "*/*": _BYTES}
"""In the file's own type. The first is for generators of clients, which know what to do with bytes."""
FILE: Final[Responses] = {
    200: {"description": "The file.", "content": _CONTENT, "headers": headers("Content-Disposition")},
    206: {
        "description": "The part that `Range` asks for, as `Content-Range` says.",
        "content": _CONTENT,
        "headers": headers("Content-Disposition", "Content-Range"),
    },
    **problems(NotFound, MediaGone, MediaAway),
}
WantedBytes = Annotated[
    str | None,
    Header(alias="Range", description="A part of the file, such as `bytes=0-1023`, as video players request."),
]
_NO_SCRIPTS: Final = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"


@router.post(
    "",
    summary="Upload a file",
    status_code=status.HTTP_201_CREATED,
    responses=SIGNED_IN | problems(Malformed, TooLarge, MediaRefused, Invalid, MediaAway),
)
async def upload_media(
    session: WritesConversations,
    state: GatewayState,
    property_id: Annotated[
        str, Form(alias="propertyId", description="The property whose guests may see it.", min_length=1, max_length=256)
    ],
    file: Annotated[UploadFile, File(description="The file. Its type is determined from its content.")],
) -> Attachment:
    """Uploads a file and returns it as an attachment for a message. Until it is sent, only staff can read it."""
    require_property(session.staff, property_id)
    content = await file.read()
    if not content:
        raise Invalid("file: must not be empty", field="file")
    kind = file.content_type or "application/octet-stream"
    kept = await state.media.put(property_id, content, name=file.filename or "", content_type=kind)
    return kept.attachment


@router.get("/{media_id}", summary="Download a file", response_class=Response, responses=SIGNED_IN | FILE)
async def read_media(
    session: ReadsConversations, state: GatewayState, media_id: str, wanted: WantedBytes = None
) -> Response:
    """The file, for staff of its property."""
    found = await _find(state, media_id)
    require_property(session.staff, found.property_id)
    return await _answer(state, found, wanted)


@linked.get(
    f"{LINKED}{{media_id}}",
    summary="Download a file by its link",
    response_class=Response,
    responses=problems(Forbidden) | FILE,
)
async def read_linked_media(
    state: GatewayState,
    media_id: str,
    expires: Annotated[int | None, Query(description="When the link expires, in seconds since 1970.")] = None,
    signature: Annotated[str | None, Query(max_length=128)] = None,
    wanted: WantedBytes = None,
) -> Response:
    """The file, for anybody with a signed link, such as guests get in their messages. Links expire."""
    state.links.check(media_id, expires, signature)
    return await _answer(state, await _find(state, media_id), wanted)


async def _find(state: State, media_id: str) -> MediaFile:
    found = await state.media.find(media_id) if MEDIA_ID.fullmatch(media_id) else None
    if found is None:
        raise NotFound("There is no such file, or it has not been fetched yet")
    return found


async def _answer(state: State, file: MediaFile, wanted: str | None) -> Response:
    way = "inline" if is_among(file.content_type, SHOWN) else "attachment"
    headers = {
        "Content-Disposition": f"{way}; filename*=UTF-8''{quote(file.name, safe='')}",
        "Content-Security-Policy": _NO_SCRIPTS,
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, max-age=3600, immutable",
    }
    return byte_ranges.answer(await state.media.content(file), wanted, content_type=file.full_type, headers=headers)
