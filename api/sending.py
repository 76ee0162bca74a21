"""Messages and private notes of staff, and retrying or skipping messages that were not delivered."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final
from uuid import uuid4

from fastapi import Body, status
from pydantic import ConfigDict, Field, StrictBool, StringConstraints

import contracts.base
from activities.media.store import MediaAway
from api.deps import GatewayState, IdempotencyKey, WritesConversations, find_conversation, keyed
from api.openapi import SIGNED_IN, WITH_BODY, problems
from api.routers import rest_router
from api.state import State
from contracts.base import A_NUMBER
from contracts.commands import Redeliver, Reply
from contracts.events import Notification
from contracts.media import own_media_id
from contracts.messages import Author, Delivery, DeliveryState, GivenAttachment, GivenTemplate, Message
from contracts.names import CONTENT_LIMIT, LARGEST_SEQ
from contracts.problems import (
    GatewayError,
    HeldByOther,
    Invalid,
    MissedMessages,
    NotFound,
    OptedOut,
    OutcomeUnknown,
    Resolved,
    Unavailable,
    WindowClosed,
    WrongState,
)

router = rest_router(
    "/conversations/{conversation_id}/messages",
    "conversations",
    SIGNED_IN
    | problems(
        NotFound, HeldByOther, WrongState, Resolved, MissedMessages, OptedOut, WindowClosed, OutcomeUnknown, Unavailable
    ),
)
NOTHING_TO_SAY: Final[dict[str, Any]] = {
    "properties": {
        "content": {"pattern": r"^\s*$"},
        "attachments": {"maxItems": 0},
        "template": {"type": "null"},
        "draftId": {"maxLength": 0},
    }
}
"""What a message must not match. `anyOf` beside properties would become a choice of types in generated clients."""
ClientMessageId = Annotated[
    Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")] | None,
    Field(description="A UUID chosen by you, which becomes the message's id. Repeats are sent only once."),
]


class NewMessage(contracts.base.Body):
    """A message to the guest, or a note that only staff see: with content, attachments, a template or a draft."""

    model_config = ConfigDict(json_schema_extra={"not": NOTHING_TO_SAY})

    content: Annotated[str, Field(max_length=CONTENT_LIMIT)] = ""
    attachments: Annotated[list[GivenAttachment], Field(max_length=20)] = []
    template: Annotated[
        GivenTemplate | None, Field(description="A template, which channels accept outside their free-text window.")
    ] = None
    draft_id: Annotated[
        str | None, Field(max_length=256, description="The draft to send, as it is or with your `content`.")
    ] = None
    client_message_id: ClientMessageId = None
    last_seen_seq: Annotated[
        Annotated[int, Field(ge=0, le=LARGEST_SEQ), A_NUMBER] | None,
        Field(description="The last `seq` you have seen. If there are newer messages, the response is 409."),
    ] = None
    private: Annotated[
        StrictBool, Field(description="A note, never shown to the guest. `@name` notifies a colleague.")
    ] = False


GivenMessage = Annotated[
    NewMessage,
    Body(
        openapi_examples={
            "message": {"value": {"content": "Good evening, this is Marta. I am looking into it."}},
            "note": {"value": {"content": "Second complaint this week, @jonas", "private": True}},
        }
    ),
]


@router.post(
    "",
    summary="Send a message",
    status_code=status.HTTP_201_CREATED,
    responses=WITH_BODY | problems(MediaAway, Unavailable),
)
async def send_message(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: GivenMessage,
    idempotency_key: IdempotencyKey = None,
) -> Message:
    """Sends a message to the guest, or adds a private note.

    A message takes the conversation over from the AI; a note changes nothing. After `outcome_unknown`, repeat the
    request with the `clientMessageId` from the error: the message is then sent only once.
    """
    if not (body.content.strip() or body.attachments or body.template or body.draft_id):
        raise Invalid("content: must not be empty without attachments, a template or a draft", field="content")
    if body.private and (body.template or body.draft_id):
        raise Invalid("private: a note cannot have a template or a draft", field="private")
    found = await find_conversation(state, session, conversation_id)
    await check_files(state, found.conversation.property_id, body.attachments)
    reply = Reply(
        conversation_id=conversation_id,
        by=session.actor,
        message_id=body.client_message_id
        or keyed(session, f"{conversation_id} message", idempotency_key)
        or str(uuid4()),
        content=body.content,
        attachments=list(body.attachments),
        template=body.template,
        draft_id=body.draft_id,
        last_seen_seq=body.last_seen_seq,
        mentions=await _mentions(state, found.conversation.property_id, body),
        private=body.private,
    )
    try:
        return await state.conversations.reply(reply)
    except (OutcomeUnknown, Unavailable) as error:
        error.members["clientMessageId"] = reply.message_id
        raise
    except Resolved as error:
        if not reply.private:
            raise
        return await _note_after_the_end(state, reply, error)


@router.post("/{message_id}/retry", summary="Retry a message", status_code=status.HTTP_201_CREATED)
async def retry_message(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    message_id: str,
    idempotency_key: IdempotencyKey = None,
) -> Message:
    """Sends a waiting message at once. A message that failed for good is sent again as a new message."""
    return await _redeliver(state, session, conversation_id, message_id, idempotency_key, skip=False)


@router.post("/{message_id}/skip", summary="Skip a message", status_code=status.HTTP_201_CREATED)
async def skip_message(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    message_id: str,
    idempotency_key: IdempotencyKey = None,
) -> Message:
    """Gives up a message that its channel does not accept, so that later ones are sent."""
    return await _redeliver(state, session, conversation_id, message_id, idempotency_key, skip=True)


async def _redeliver(
    state: State,
    session: WritesConversations,
    conversation_id: str,
    message_id: str,
    idempotency_key: str | None,
    *,
    skip: bool,
) -> Message:
    await find_conversation(state, session, conversation_id)
    copy_id = keyed(session, f"{conversation_id} {message_id} again", idempotency_key) or str(uuid4())
    command = Redeliver(
        conversation_id=conversation_id, by=session.actor, message_id=message_id, copy_id=copy_id, skip=skip
    )
    return await state.conversations.redeliver(command, update_id=f"{copy_id}-{'skip' if skip else 'retry'}")


async def check_files(state: State, property_id: str, attachments: Sequence[GivenAttachment]) -> None:
    """Raises Invalid for a file of another property, to which the guest would otherwise get a link."""
    for place, each in enumerate(attachments):
        media_id = own_media_id(each.url)
        file = await state.media.find(media_id) if media_id is not None else None
        if media_id is not None and (file is None or file.property_id != property_id):
            field = f"attachments.{place}.url"
            raise Invalid(f"{field}: must be a file uploaded for this property, or a URL elsewhere", field=field)


async def _mentions(state: State, property_id: str, body: NewMessage) -> list[str]:
    """The staff whom a note mentions; nobody while storage is away."""
    if not body.private or "@" not in body.content:
        return []
    return await state.staff.mentioned(property_id, body.content)


async def _note_after_the_end(state: State, note: Reply, refused: GatewayError) -> Message:
    """Adds a note to a conversation whose workflow has ended, in storage only."""
    now = datetime.now(UTC)
    message = Message(
        id=note.message_id,
        conversation_id=note.conversation_id,
        seq=0,
        author=Author.STAFF,
        author_name=note.by.name,
        content=note.content,
        attachments=note.attachments,
        private=True,
        created_at=now,
        delivery=Delivery(state=DeliveryState.SENT),
    )
    mentions = [
        Notification(
            id=f"{note.conversation_id}-{note.message_id}-{staff_id}",
            kind="mention",
            text=f"{note.by.name} mentioned you",
            conversation_id=note.conversation_id,
            staff_id=staff_id,
            at=now,
        )
        for staff_id in note.mentions
    ]
    kept = await state.stored.add_note(message, mentions)
    if kept is None:
        raise refused
    return kept
