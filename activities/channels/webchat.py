"""The hotel's own web chat: publishing a message to the live stream is its delivery."""

from contracts.events import SendResult
from contracts.messages import OutboundMessage


class Webchat:
    async def send(self, property_id: str, message: OutboundMessage) -> SendResult:
        return SendResult(message_id=message.message_id, result="sent")

    async def close(self) -> None:
        return None
