"""Outgoing messages of the generic channel: signed JSON to the property's callback URL.

`messageId` is the same on every attempt, so receivers can drop repeats and an unsure attempt can be repeated.
"""

import httpx

from activities.channels.body_signature import sign
from activities.channels.messages import SIGNATURE_HEADER
from activities.media.links import MediaLinks
from activities.retry_after import retry_after_seconds
from activities.tls import trusted
from contracts.events import SendResult, SendResultKind
from contracts.messages import OutboundMessage
from settings import Settings

TIMEOUT_SECONDS = 15
_HEALS = {408, 425, 429}
_OURS = {"author", "template", "context", "unsure"}
"""Fields meant for other adapters, which are not sent."""


class MessagesCallback:
    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._links = MediaLinks(settings)
        self._http = httpx.AsyncClient(timeout=TIMEOUT_SECONDS, verify=trusted())

    async def send(self, property_id: str, message: OutboundMessage) -> SendResult:
        channel = self._settings.channels_of(property_id).messages
        if channel.callback_url is None or channel.secret is None:
            return _result(message, "failed", "channels.messages.callbackUrl and its secret are not set")
        told = message.model_copy(update={"attachments": self._links.signed(message.attachments)})
        body = told.model_dump_json(exclude=_OURS).encode()
        headers = {
            "content-type": "application/json",
            SIGNATURE_HEADER: sign(body, channel.secret.get_secret_value()),
        }
        try:
            # The response body is not read: nothing in it could change the outcome.
            async with self._http.stream("POST", channel.callback_url, content=body, headers=headers) as answer:
                pass
        except (httpx.InvalidURL, httpx.UnsupportedProtocol):
            return _result(message, "failed", "channels.messages.callbackUrl is not an http(s) URL")
        except httpx.RequestError as error:
            result = _result(message, "retry", f"the callback cannot be reached ({type(error).__name__})")
            result.unsure = not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            return result
        if answer.is_success:
            return _result(message, "sent")
        reason = f"the callback answered {answer.status_code}"
        if answer.is_server_error or answer.status_code in _HEALS:
            result = _result(message, "retry", reason)
            result.retry_after = retry_after_seconds(answer.headers.get("retry-after"))
            return result
        return _result(message, "failed", reason)

    async def close(self) -> None:
        await self._http.aclose()


def _result(message: OutboundMessage, result: SendResultKind, reason: str | None = None) -> SendResult:
    return SendResult(message_id=message.message_id, result=result, reason=reason)
