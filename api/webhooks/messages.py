"""The generic channel's webhook, for signed JSON from any program."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import Header, Request, status
from pydantic import ConfigDict, Field

from activities.channels.messages import SIGNATURE_HEADER, parse, verify
from api.deps import GatewayState
from api.openapi import problems
from api.routers import SIGNED, public_router
from contracts.base import Model
from contracts.messages import MessageId
from contracts.metrics import MESSAGES_INBOUND
from contracts.problems import BadSignature, Invalid, NotFound, TooLarge, Unavailable

router = public_router(SIGNED, path="/webhooks", tag="webhooks")
NOT_READ = "unknown"
"""The channel type in metrics of messages refused before they were parsed."""
EXAMPLE = {
    "channelId": "front-desk-app",
    "channelType": "webchat",
    "senderId": "guest-4711",
    "content": "What time is breakfast?",
    "metadata": {"messageId": "4f1d6c1e", "guestName": "Ana Souza"},
    "timestamp": "2026-11-23T08:30:00Z",
}


class Accepted(Model):
    """`messageId` identifies the message: repeats are handled only once."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"messageId": "4f1d6c1e"}]})

    message_id: Annotated[MessageId, Field(description="`metadata.messageId`, or the SHA-256 of the body.")]


@router.post(
    "/messages/{property_id}",
    summary="Receive a guest message",
    status_code=status.HTTP_202_ACCEPTED,
    responses=problems(BadSignature, NotFound, TooLarge, Invalid, Unavailable),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": "#/components/schemas/InboundMessage"},
                    "examples": {"question": {"value": EXAMPLE}},
                }
            },
        }
    },
)
async def receive_message(
    request: Request,
    state: GatewayState,
    property_id: str,
    signature: Annotated[
        str | None,
        Header(
            alias=SIGNATURE_HEADER,
            description="`sha256=<hex>`: the HMAC-SHA256 of the body, keyed with the channel's secret.",
        ),
    ] = None,
) -> Accepted:
    """Takes in a message. Once accepted, it is answered or handed to a person, exactly once, whatever crashes.

    `metadata` may hold `messageId` (identifies repeats), `guestName` and `attachments`; other keys are ignored.
    """
    body = await request.body()
    secret = state.settings.channels_of(property_id).messages.secret
    if property_id not in state.settings.properties or secret is None:
        raise NotFound("There is no such property, or its generic channel has no secret")
    try:
        verify(body, secret.get_secret_value(), signature)
        channel_type, message = parse(body, datetime.now(UTC))
    except (BadSignature, Invalid):
        MESSAGES_INBOUND.labels(NOT_READ, property_id, "refused").inc()
        raise
    await state.reception.receive(property_id, channel_type, message)
    MESSAGES_INBOUND.labels(channel_type, property_id, "accepted").inc()
    return Accepted(message_id=message.id)
