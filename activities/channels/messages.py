"""Incoming messages of the generic channel: signed JSON, verified and parsed without I/O."""

import hashlib
import json
from datetime import datetime
from typing import Annotated, Final

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, ValidationError

from activities.channels.body_signature import is_signed
from activities.channels.faults import first_fault
from contracts.base import Model
from contracts.messages import ChannelType, GivenAttachment, GuestMessage, InboundMessage, MessageId, Route
from contracts.names import GUEST_CONTENT_LIMIT
from contracts.problems import BadSignature, Invalid

ADAPTER: Final = "messages"
SIGNATURE_HEADER: Final = "X-Gateway-Signature"
NOT_TEXT: Final = dict.fromkeys([0, *range(0xD800, 0xE000)])
"""Characters that storage cannot keep: NUL and lone surrogates."""


def _web_address(url: str) -> str:
    if not url.startswith(("https://", "http://")):
        raise ValueError("must be an http or https URL")
    return url


class _Attachment(GivenAttachment):
    url: Annotated[str, StringConstraints(max_length=2048), AfterValidator(_web_address)]


class _Metadata(Model):
    """The fields we read of `metadata`; others are ignored."""

    message_id: MessageId | None = None
    guest_name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] | None = None
    attachments: Annotated[list[_Attachment], Field(max_length=20)] = []


def verify(body: bytes, secret: str, signature: str | None) -> None:
    """Raises BadSignature unless the header's value is the body's signature."""
    if not is_signed(body, secret, signature):
        raise BadSignature(f"{SIGNATURE_HEADER} must be sha256=<hex of the HMAC-SHA256 of the body>")


def parse(body: bytes, received_at: datetime) -> tuple[ChannelType, GuestMessage]:
    """The channel type and guest message of a body. Raises Invalid, naming the invalid field.

    Without `metadata.messageId` the message's id is the SHA-256 of the body.
    """
    inbound, metadata = _read(body)
    if not inbound.content.strip() and not metadata.attachments:
        raise Invalid("content: must not be empty without attachments", field="content")
    if len(inbound.content) > GUEST_CONTENT_LIMIT:
        said = f"must have at most {GUEST_CONTENT_LIMIT} characters, not {len(inbound.content)}"
        raise Invalid(f"content: {said}", field="content")
    return inbound.channel_type, GuestMessage(
        id=metadata.message_id or hashlib.sha256(body).hexdigest(),
        route=Route(adapter=ADAPTER, channel_id=inbound.channel_id, sender_id=inbound.sender_id),
        content=inbound.content,
        attachments=list(metadata.attachments),
        guest_name=metadata.guest_name or None,
        sent_at=inbound.timestamp,
        received_at=received_at,
    )


def _read(body: bytes) -> tuple[InboundMessage, _Metadata]:
    try:
        content = text_only(json.loads(body))
    except (ValueError, RecursionError):
        raise Invalid("The body must be a JSON object", field="body") from None
    try:
        inbound = InboundMessage.model_validate(content)
    except ValidationError as error:
        raise _invalid(error) from None
    try:
        return inbound, _Metadata.model_validate(inbound.metadata)
    except ValidationError as error:
        raise _invalid(error, "metadata") from None


def text_only(value: JsonValue) -> JsonValue:
    """The value without characters that storage cannot keep."""
    match value:
        case str():
            return value.translate(NOT_TEXT)
        case list():
            return [text_only(item) for item in value]
        case dict():
            return {key.translate(NOT_TEXT): text_only(item) for key, item in value.items()}
    return value


def _invalid(error: ValidationError, *parents: str) -> Invalid:
    field, fault = first_fault(error, *parents)
    return Invalid(f"{field}: {fault}", field=field)
