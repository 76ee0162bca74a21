"""Delivery reports of providers, and the reference by which these name our messages."""

import re

from contracts.base import Model, Timestamp
from contracts.messages import DeliveryState, OutboundMessage

_REFERENCE = re.compile(r"([a-z2-7]{26}-[0-9a-f]{8})\.([0-9]{1,3})\.([0-9]{1,3})\.([\x21-\x7e]{1,128})", re.ASCII)


class DeliveryReport(Model):
    """How far one part of a message got. Most messages have one part; `decides` marks the last one."""

    conversation_id: str
    message_id: str
    part: int = 0
    decides: bool = True
    state: DeliveryState
    reason: str | None = None
    provider_id: str | None = None
    """The provider's id of the part."""
    opted_out: bool = False
    """It failed because the guest wants no messages."""
    at: Timestamp


def reference(message: OutboundMessage, part: int, parts: int) -> str:
    """The reference sent with a part of a message, which the provider's reports repeat; at most 200 characters."""
    return f"{message.conversation_id}.{part}.{parts}.{message.message_id}"


def referred(reference: str, state: DeliveryState, **more: object) -> DeliveryReport | None:
    """The report on the message that a reference names; None for a reference that is not ours."""
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        return None
    conversation_id, part, parts, message_id = match.groups()
    return DeliveryReport.model_validate(
        {
            "conversation_id": conversation_id,
            "message_id": message_id,
            "part": int(part),
            "decides": int(part) + 1 == int(parts),
            "state": state,
            **more,
        }
    )
