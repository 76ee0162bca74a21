"""What providers report of messages that they took, and the reference by which they name them."""

import re

from contracts.base import Model, Timestamp
from contracts.messages import DeliveryState, OutboundMessage

_REFERENCE = re.compile(r"([a-z2-7]{26}-[0-9a-f]{8})\.([0-9]{1,3})\.([0-9]{1,3})\.([\x21-\x7e]{1,128})", re.ASCII)


class DeliveryReport(Model):
    """How far one part of a message got. Most messages leave as one part; `decides` marks the last."""

    conversation_id: str
    message_id: str
    part: int = 0
    decides: bool = True
    state: DeliveryState
    reason: str | None = None
    provider_id: str | None = None
    """The provider's own id of the part."""
    at: Timestamp


def reference(message: OutboundMessage, part: int, parts: int) -> str:
    """What a provider is given with a part of a message, to name it in its reports; at most 200 characters."""
    return f"{message.conversation_id}.{part}.{parts}.{message.message_id}"


def referred(reference: str, state: DeliveryState, **more: object) -> DeliveryReport | None:
    """The report on the message that a reference names; None where it is none of ours."""
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
