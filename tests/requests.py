"""Requests to engines, as a conversation makes them."""

from datetime import UTC, datetime

from contracts.ai import AIRequest, ConversationContext, Handoff
from contracts.guests import GuestProfile
from contracts.messages import Attachment, Author, Delivery, DeliveryState, Message

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def a_request(
    *texts: str,
    property_id: str = "seaview",
    profile: GuestProfile | None = None,
    attachments: list[Attachment] | None = None,
    handoffs: list[Handoff] | None = None,
) -> AIRequest:
    """A turn of these messages, the last with the attachments."""
    messages = [
        Message(
            id=f"m{number}",
            conversation_id="c",
            seq=number,
            author=Author.GUEST,
            content=text,
            attachments=attachments or [] if number == len(texts) else [],
            created_at=NOW,
            delivery=Delivery(state=DeliveryState.DELIVERED),
        )
        for number, text in enumerate(texts, start=1)
    ]
    context = ConversationContext(
        conversation_id="c",
        guest_id="g",
        property_id=property_id,
        channel_type="webchat",
        state="active",
        messages=messages,
        turn_message_ids=[message.id for message in messages],
        handoffs=handoffs or [],
        created_at=NOW,
    )
    profile = profile or GuestProfile(id="g")
    return AIRequest(conversation_id="c", message=messages[-1], context=context, guest_profile=profile)
