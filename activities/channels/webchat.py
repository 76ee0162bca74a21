"""The hotel's web chat, whose messages are delivered by publishing them to the live stream."""

from contracts.events import SendResult
from contracts.messages import OutboundMessage


class Webchat:
    async def send(self, property_id: str, message: OutboundMessage) -> SendResult:
        return SendResult(message_id=message.message_id, result="sent")

    async def close(self) -> None:
        return None
