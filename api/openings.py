"""Starting a conversation: staff or a program write first to a guest."""

from typing import Annotated, Any, Final
from uuid import uuid4

from fastapi import Body, Response, status
from pydantic import ConfigDict, Field

import contracts.base
from activities.channels.addresses import address
from activities.media.store import MediaAway
from activities.storage.contacts import StoredContact
from api.auth.permissions import require_property
from api.deps import GatewayState, IdempotencyKey, WritesConversations, keyed
from api.openapi import MADE, SIGNED_IN, WITH_BODY, problems
from api.routers import rest_router
from api.sending import NOTHING_TO_SAY, ClientMessageId, check_files
from api.state import State
from contracts.commands import Opening
from contracts.conversations import Conversation
from contracts.messages import ChannelType, GivenAttachment, GivenTemplate, Route
from contracts.names import CONTENT_LIMIT, TEMPLATE_ADAPTERS
from contracts.problems import (
    NO_TEMPLATES,
    AlreadyOpen,
    Invalid,
    OptedOut,
    OutcomeUnknown,
    StorageAway,
    Unavailable,
    WindowClosed,
)
from settings import Settings

router = rest_router("/conversations", "conversations", {})
NEEDS_TEMPLATE: Final = frozenset({"whatsapp"})
"""Adapters whose network accepts free text only after the guest has written."""

NO_GUEST: Final[dict[str, Any]] = {"properties": {"guestId": {"type": "null"}, "recipientId": {"type": "null"}}}
TWO_GUESTS: Final[dict[str, Any]] = {
    "required": ["guestId", "recipientId"],
    "properties": {"guestId": {"type": "string"}, "recipientId": {"type": "string"}},
}


class NewConversation(contracts.base.Body):
    """The first message to a guest, named by `guestId` or by `recipientId` (an address on the channel)."""

    model_config = ConfigDict(json_schema_extra={"not": {"anyOf": [NO_GUEST, TWO_GUESTS, NOTHING_TO_SAY]}})

    property_id: Annotated[str, Field(min_length=1, max_length=256)]
    channel_type: ChannelType
    guest_id: Annotated[str | None, Field(min_length=1, max_length=256)] = None
    recipient_id: Annotated[str | None, Field(min_length=1, max_length=256)] = None
    content: Annotated[str, Field(max_length=CONTENT_LIMIT)] = ""
    template: GivenTemplate | None = None
    attachments: Annotated[list[GivenAttachment], Field(max_length=20)] = []
    client_message_id: ClientMessageId = None


@router.post(
    "",
    summary="Start a conversation",
    status_code=status.HTTP_201_CREATED,
    responses=SIGNED_IN
    | WITH_BODY
    | problems(AlreadyOpen, OptedOut, WindowClosed, OutcomeUnknown, Unavailable, MediaAway)
    | {201: {"headers": MADE}},
)
async def open_conversation(
    session: WritesConversations,
    state: GatewayState,
    body: Annotated[
        NewConversation,
        Body(
            openapi_examples={
                "welcome": {
                    "value": {
                        "propertyId": "seaview",
                        "channelType": "sms",
                        "recipientId": "+351910000000",
                        "content": "Welcome! Your room is ready.",
                    }
                }
            }
        ),
    ],
    response: Response,
    idempotency_key: IdempotencyKey = None,
) -> Conversation:
    """Starts a conversation, in state `new` until the guest answers; then the AI takes over.

    409 `already_open` names the conversation that the guest is in already; write there instead. A resolved one that
    still waits for a late message or a rating is reopened and assigned to you.
    """
    require_property(session.staff, body.property_id)
    _check(state.settings, body)
    await check_files(state, body.property_id, body.attachments)
    if body.recipient_id is not None:
        body.recipient_id = address(state.settings.way_out(body.property_id, body.channel_type)[0], body.recipient_id)
    contact = await _contact(state, body)
    route = _route(state.settings, body, contact)
    if contact.opted_out if contact is not None else await _opted_out(state, body):
        raise OptedOut("The guest has opted out of this channel; only they can opt in again")
    if body.template is not None and not body.content.strip() and route.adapter not in TEMPLATE_ADAPTERS:
        raise Invalid(NO_TEMPLATES, field="template")
    if route.adapter in NEEDS_TEMPLATE and route.free_text_until is None and body.template is None:
        raise WindowClosed("The guest has not written on this channel yet; send a template")
    what = f"{body.property_id} {body.channel_type} {body.guest_id} {body.recipient_id} opening"
    message_id = body.client_message_id or keyed(session, what, idempotency_key) or str(uuid4())
    opening = Opening(
        by=session.actor,
        message_id=message_id,
        content=body.content,
        attachments=list(body.attachments),
        template=body.template,
        guest_id=contact.guest_id if contact is not None else None,
        guest_name=contact.guest_name if contact is not None else None,
    )
    try:
        conversation = await state.conversations.open(body.property_id, body.channel_type, route, opening)
    except (OutcomeUnknown, Unavailable) as error:
        error.members["clientMessageId"] = message_id
        raise
    response.headers["Location"] = f"/api/v1/conversations/{conversation.conversation_id}"
    return conversation


def _check(settings: Settings, body: NewConversation) -> None:
    if body.property_id not in settings.properties:
        raise Invalid("propertyId: there is no such property in the settings", field="propertyId")
    if (body.guest_id is None) == (body.recipient_id is None):
        raise Invalid("guestId: send either guestId or recipientId", field="guestId")
    if not (body.content.strip() or body.template or body.attachments):
        raise Invalid("content: must not be empty without a template or attachments", field="content")


async def _contact(state: State, body: NewConversation) -> StoredContact | None:
    """The contact as storage knows it. None for an unknown recipient, and while storage is away."""
    if body.guest_id is not None:
        found = await state.contacts.of_guest(body.guest_id, body.property_id, body.channel_type)
        if found is None:
            raise Invalid(
                f"guestId: no guest with this id can be reached by {body.channel_type} at this property",
                field="guestId",
            )
        return found
    key = state.conversations.contact_key(body.property_id, body.channel_type, body.recipient_id or "")
    try:
        return await state.contacts.find(key)
    except StorageAway:
        return None


async def _opted_out(state: State, body: NewConversation) -> bool:
    """Whether the recipient opted out before their guest was erased. While storage is away, the conversation checks."""
    key = state.conversations.contact_key(body.property_id, body.channel_type, body.recipient_id or "")
    try:
        return await state.contacts.has_opted_out(key)
    except StorageAway:
        return False


def _route(settings: Settings, body: NewConversation, contact: StoredContact | None) -> Route:
    """The route of the guest's newest message or, for somebody new, the property's adapter for the channel."""
    if contact is not None and contact.route is not None:
        return contact.route
    if body.channel_type == "webchat":
        raise Invalid("recipientId: no visitor with this id has written yet", field="recipientId")
    adapter, channel_id = settings.way_out(body.property_id, body.channel_type)
    recipient = contact.sender_id if contact is not None else body.recipient_id or ""
    return Route(adapter=adapter, channel_id=channel_id, sender_id=recipient)
