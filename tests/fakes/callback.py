"""A hotel's own program behind the generic channel: checks signatures, keeps what comes, refuses on command."""

import asyncio
import hashlib
import hmac
import json
from collections.abc import Callable
from datetime import UTC, datetime

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from activities.channels.body_signature import sign
from contracts.messages import OutboundMessage

SECRET = "the callback's secret"


def signed_message(sender: str, message_id: str, content: str) -> tuple[bytes, dict[str, str]]:
    """A guest's message as such a program brings it: body and headers."""
    message = {
        "channelId": "desk",
        "channelType": "sms",
        "senderId": sender,
        "content": content,
        "metadata": {"messageId": message_id},
        "timestamp": datetime.now(UTC).isoformat(),
    }
    body = json.dumps(message).encode()
    return body, {"X-Gateway-Signature": sign(body, SECRET)}


class FakeCallback:
    """`attempts` is all that came in; `received` has each message once, by its id, as a receiver should keep it.

    `hold` holds what it says until `let_go`.
    """

    def __init__(self) -> None:
        self.attempts: list[OutboundMessage] = []
        self.received: dict[str, OutboundMessage] = {}
        self.seconds = 0.0
        """How long it takes to say that it has a message, after it has it."""
        self.status: Callable[[OutboundMessage], int] = lambda message: 200
        self.open = asyncio.Event()
        self.open.set()
        self.app = Starlette(routes=[Route("/callback", self._take, methods=["POST"])])

    def hold(self) -> None:
        self.open.clear()

    def let_go(self) -> None:
        self.open.set()

    async def _take(self, request: Request) -> Response:
        body = await request.body()
        signature = "sha256=" + hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        assert request.headers["x-gateway-signature"] == signature, "a callback must be signed"
        message = OutboundMessage.model_validate_json(body)
        self.attempts.append(message)
        status = self.status(message)
        if status == 200:
            self.received.setdefault(message.message_id, message)
        await self.open.wait()
        await asyncio.sleep(self.seconds)
        return Response(status_code=status)
