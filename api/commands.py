"""What staff tell a conversation to do, and what they write in it."""

from datetime import UTC, datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID, uuid4, uuid5

from fastapi import APIRouter, Body, status
from pydantic import ConfigDict, Field, StringConstraints

import contracts.base
from api.auth.sessions import Session
from api.deps import GatewayState, IdempotencyKey, WritesConversations, find_conversation
from api.openapi import SIGNED_IN, WITH_BODY, problems
from api.state import State
from contracts.commands import Command, Reply
from contracts.conversations import Conversation
from contracts.messages import Attachment, Author, Delivery, DeliveryState, Message
from contracts.names import CONTENT_LIMIT
from contracts.problems import (
    GatewayError,
    HeldByOther,
    Invalid,
    NotFound,
    OutcomeUnknown,
    Resolved,
    Unavailable,
    WrongState,
)

router = APIRouter(
    prefix="/conversations",
    tags=["conversations"],
    responses=SIGNED_IN
    | WITH_BODY
    | problems(NotFound, HeldByOther, WrongState, Resolved, OutcomeUnknown, Unavailable),
)
KEYED: Final = UUID("0b7c8a1e-6d1f-4e0c-9a55-8f4f0f6f9b10")
"""Namespace of the ids that are made from idempotency keys."""
SOMETHING_TO_SAY: Final[dict[str, Any]] = {
    "anyOf": [
        {"required": ["content"], "properties": {"content": {"pattern": r"\S"}}},
        {"required": ["attachments"], "properties": {"attachments": {"minItems": 1}}},
    ]
}


class SendMessage(contracts.base.Body):
    """A message to the guest, or a note that only staff see. It has content, attachments, or both."""

    model_config = ConfigDict(json_schema_extra=SOMETHING_TO_SAY)

    content: Annotated[str, Field(max_length=CONTENT_LIMIT)] = ""
    attachments: Annotated[list[Attachment], Field(max_length=20)] = []
    client_message_id: Annotated[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")] | None,
        Field(description="A UUID of yours: the message's id. Sent again, it is the same message."),
    ] = None
    private: Annotated[bool, Field(description="A note, never shown to the guest.")] = False


class CommandBody(contracts.base.Body):
    reason: Annotated[str | None, Field(max_length=500, description="Shown to staff.")] = None


NewMessage = Annotated[
    SendMessage,
    Body(
        openapi_examples={
            "message": {"value": {"content": "Good evening, this is Marta. I am looking into it."}},
            "note": {"value": {"content": "Second complaint this week", "private": True}},
        }
    ),
]
Reason = Annotated[
    CommandBody | None, Body(openapi_examples={"reason": {"value": {"reason": "The guest asks for a refund"}}})
]


@router.post("/{conversation_id}/messages", summary="Send a message", status_code=status.HTTP_201_CREATED)
async def send_message(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: NewMessage,
    idempotency_key: IdempotencyKey = None,
) -> Message:
    """Sends a message to the guest, or keeps a private note.

    A message takes the conversation over from the AI; a note changes nothing. After `outcome_unknown`, send it again
    with the `clientMessageId` that the problem names: it is the same message then.
    """
    if not body.content.strip() and not body.attachments:
        raise Invalid("content: must not be empty without attachments", field="content")
    await find_conversation(state, session, conversation_id)
    reply = Reply(
        conversation_id=conversation_id,
        by=session.actor,
        message_id=body.client_message_id
        or _keyed(session, f"{conversation_id} message", idempotency_key)
        or str(uuid4()),
        content=body.content,
        attachments=body.attachments,
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


@router.post("/{conversation_id}/escalate", summary="Hand over to a person")
async def escalate_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Reason = None,
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """The AI stops answering, and staff are asked to. Repeating it changes nothing."""
    return await _run("escalate", state, session, conversation_id, body, idempotency_key)


@router.post("/{conversation_id}/claim", summary="Take the conversation")
async def claim_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Reason = None,
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """The conversation becomes yours. One that somebody else holds is refused."""
    return await _run("claim", state, session, conversation_id, body, idempotency_key)


@router.post("/{conversation_id}/return", summary="Return to the AI")
async def return_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Reason = None,
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """The AI answers again, and nobody holds the conversation."""
    return await _run("return", state, session, conversation_id, body, idempotency_key)


@router.post("/{conversation_id}/resolve", summary="Resolve")
async def resolve_conversation(
    session: WritesConversations,
    state: GatewayState,
    conversation_id: str,
    body: Reason = None,
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """The conversation is over; the guest's next message begins another."""
    return await _run("resolve", state, session, conversation_id, body, idempotency_key)


async def _run(
    name: Literal["escalate", "claim", "return", "resolve"],
    state: State,
    session: Session,
    conversation_id: str,
    body: CommandBody | None,
    idempotency_key: str | None,
) -> Conversation:
    await find_conversation(state, session, conversation_id)
    reason = body.reason if body is not None else None
    command = Command(conversation_id=conversation_id, by=session.actor, reason=reason)
    update_id = _keyed(session, f"{conversation_id} {name}", idempotency_key)
    match name:
        case "escalate":
            return await state.conversations.escalate(command, update_id)
        case "claim":
            return await state.conversations.claim(command, update_id)
        case "return":
            return await state.conversations.return_to_ai(command, update_id)
        case "resolve":
            return await state.conversations.resolve(command, update_id)


def _keyed(session: Session, what: str, idempotency_key: str | None) -> str | None:
    """The id of what a caller asked for under a key: the same caller, request and key have the same."""
    if idempotency_key is None:
        return None
    return str(uuid5(KEYED, f"{session.staff.id} {what} {idempotency_key}"))


async def _note_after_the_end(state: State, note: Reply, refused: GatewayError) -> Message:
    """Keeps a note on a conversation whose workflow has ended, in storage alone."""
    kept = await state.stored.add_note(
        Message(
            id=note.message_id,
            conversation_id=note.conversation_id,
            seq=0,
            author=Author.STAFF,
            author_name=note.by.name,
            content=note.content,
            attachments=note.attachments,
            private=True,
            created_at=datetime.now(UTC),
            delivery=Delivery(state=DeliveryState.SENT),
        )
    )
    if kept is None:
        raise refused
    return kept
