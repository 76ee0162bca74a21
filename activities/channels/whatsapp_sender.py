"""Sends messages by the WhatsApp Cloud API, and fetches the files that guests send.

The API cannot be asked for a message. So each carries our reference in `biz_opaque_callback_data`, which every status
repeats: after a lost response, a status with the reference shows that the message was sent.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Final

import httpx
from pydantic import JsonValue

from activities.channels.parts import (
    NO_WAY_TO_FETCH,
    TIMEOUT,
    Answer,
    PartsSender,
    Taken,
    Unanswered,
    answered,
    chunks,
    may_heal,
    refusal,
)
from activities.channels.port import MediaError
from activities.channels.whatsapp import ERRORS, told_of
from activities.channels.whatsapp_content import MEDIA_URL
from activities.media.links import MediaLinks
from activities.tls import trusted
from contracts.delivery import reference
from contracts.events import SendResult
from contracts.messages import Attachment, OutboundMessage, Template
from settings import Settings, WhatsAppChannel

if TYPE_CHECKING:
    from activities.storage.delivery_reports import DeliveryReports

TEXT_LIMIT: Final = 4096
CAPTION_LIMIT: Final = 1024
MARK_SECONDS: Final = 0.5
"""How long sending a message waits for the read mark to be accepted."""
_KINDS: Final = {"image/jpeg": "image", "image/png": "image", "video/mp4": "video", "video/3gpp": "video"}
"""Types that WhatsApp displays. Sound is sent as audio, everything else as a document."""

Payload = dict[str, JsonValue]


class WhatsApp:
    def __init__(self, settings: Settings, reports: "DeliveryReports") -> None:
        self._settings = settings
        self._links = MediaLinks(settings)
        self._parts: PartsSender[Payload] = PartsSender(reports, ERRORS)
        self._http = httpx.AsyncClient(timeout=TIMEOUT, verify=trusted())

    async def send(self, property_id: str, message: OutboundMessage) -> SendResult:
        channel = self._settings.channels_of(property_id).whatsapp
        if channel.access_token is None or channel.phone_number_id is None:
            return _failed(message, "channels.whatsapp.accessToken and phoneNumberId are not set")
        if message.template is not None and not _fits_header(message.attachments):
            return _failed(message, "a template takes one file at most: a picture, a film or a document")
        message = message.model_copy(update={"attachments": self._links.signed(message.attachments)})
        private = next((file for file in message.attachments if not _is_public(file)), None)
        if private is not None:
            return _failed(message, NO_WAY_TO_FETCH)
        marking = asyncio.create_task(self._show_read(channel, message.context.get("messageId"), typing=False))
        parts = payloads(message)

        async def hand_over(number: int, part: Payload) -> Answer:
            named = {**part, "biz_opaque_callback_data": reference(message, number, len(parts))}
            return await self._post(channel, named)

        try:
            return await self._parts.send(property_id, message, parts, hand_over)
        finally:
            await asyncio.wait([marking], timeout=MARK_SECONDS)
            marking.cancel()

    async def begin_answer(self, property_id: str, channel_id: str, message_id: str) -> None:
        """Shows the typing indicator, which also marks the message as read. WhatsApp stops it after 25 seconds."""
        channel = self._settings.channels_of(property_id).whatsapp
        await self._show_read(channel, message_id, typing=True)

    async def fetch_media(self, property_id: str, attachment: Attachment) -> AsyncIterator[bytes]:
        """Fetches a file. The API gives a URL that is valid for five minutes; both requests need the access token."""
        channel = self._settings.channels_of(property_id).whatsapp
        media_id = attachment.url.removeprefix(MEDIA_URL)
        try:
            found = await self._http.get(f"{channel.api_base}/{media_id}", headers=_token(channel))
            address = _url_of(found)
            async with self._http.stream("GET", address, headers=_token(channel)) as file:
                if not file.is_success:  # the next attempt asks for a new URL
                    raise MediaError(f"WhatsApp answered {file.status_code} when asked for a file", retryable=True)
                async for piece in file.aiter_bytes():
                    yield piece
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise MediaError(f"WhatsApp cannot be reached ({type(error).__name__})", retryable=True) from None

    async def close(self) -> None:
        await self._http.aclose()

    async def _post(self, channel: WhatsAppChannel, payload: Payload) -> Answer:
        url = f"{channel.api_base}/{channel.phone_number_id}/messages"
        body = {"messaging_product": "whatsapp", **payload}
        response = await answered("WhatsApp", self._http.post(url, json=body, headers=_token(channel)))
        if isinstance(response, Unanswered):
            return response
        if response.is_success:
            return Taken(_message_id(response))
        error = _error(response)
        transient = error.get("is_transient") is True
        return refusal(ERRORS, response, _error_code(response), transient=transient, told=told_of(error))

    async def _show_read(self, channel: WhatsAppChannel, message_id: str | None, *, typing: bool) -> None:
        """Marks a message as read. Best effort: a failing mark must not delay a message."""
        if channel.phone_number_id is None or message_id is None:
            return
        mark: Payload = {"status": "read", "message_id": message_id}
        if typing:
            mark["typing_indicator"] = {"type": "text"}
        await self._post(channel, mark)


def payloads(message: OutboundMessage) -> list[Payload]:
    """The requests for a message: a template with its file, or files and text.

    A short text becomes the caption of a single file.
    """
    to = _recipient(message.recipient_id)
    if message.template is not None:
        return [{**to, "type": "template", "template": _template(message.template, message.attachments)}]
    files, text = message.attachments, message.content.strip()
    caption = text if len(files) == 1 and len(text) <= CAPTION_LIMIT and _kind(files[0]) != "audio" else ""
    parts: list[Payload] = [{**to, "type": _kind(file), _kind(file): _file(file, caption)} for file in files]
    if not caption:
        parts += [{**to, "type": "text", "text": {"body": each}} for each in chunks(text, TEXT_LIMIT)]
    return parts


def _recipient(recipient_id: str) -> Payload:
    """The recipient field: `to` for a number, `recipient` for a guest of whom we only have a user id."""
    number = recipient_id.removeprefix("+")
    is_number = number.isascii() and number.isdecimal()
    return {"recipient_type": "individual", **({"to": number} if is_number else {"recipient": recipient_id})}


def _template(template: Template, files: list[Attachment]) -> Payload:
    header: list[JsonValue] = [{"type": _kind(file), _kind(file): _file(file, "")} for file in files]
    body: list[JsonValue] = [{"type": "text", "text": each} for each in template.parameters]
    body += [{"type": "text", "parameter_name": name, "text": each} for name, each in template.named_parameters.items()]
    components: list[JsonValue] = [
        {"type": kind, "parameters": filled} for kind, filled in (("header", header), ("body", body)) if filled
    ]
    for index, link in template.button_links.items():
        rest: list[JsonValue] = [{"type": "text", "text": link}]
        components.append({"type": "button", "sub_type": "url", "index": index, "parameters": rest})
    return {"name": template.name, "language": {"code": template.language}, "components": components}


def _kind(file: Attachment) -> str:
    content_type = file.content_type.partition(";")[0].strip().lower()
    return "audio" if content_type.startswith("audio/") else _KINDS.get(content_type, "document")


def _file(file: Attachment, caption: str) -> Payload:
    described: Payload = {"link": file.url}
    if caption:
        described["caption"] = caption
    if _kind(file) == "document":
        described["filename"] = file.name
    return described


def _fits_header(files: list[Attachment]) -> bool:
    return len(files) <= 1 and all(_kind(file) != "audio" for file in files)


def _is_public(file: Attachment) -> bool:
    return file.url.startswith(("https://", "http://"))


def _token(channel: WhatsAppChannel) -> dict[str, str]:
    token = channel.access_token.get_secret_value() if channel.access_token is not None else ""
    return {"authorization": f"Bearer {token}"}


def _message_id(response: httpx.Response) -> str | None:
    try:
        return str(response.json()["messages"][0]["id"])
    except (ValueError, LookupError, TypeError):
        return None


def _error(response: httpx.Response) -> dict[str, JsonValue]:
    try:
        error = response.json()["error"]
    except (ValueError, LookupError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _error_code(response: httpx.Response) -> int | None:
    code = _error(response).get("code")
    try:
        return int(code) if isinstance(code, int | str) else None
    except ValueError:
        return None


def _url_of(response: httpx.Response) -> str:
    if not response.is_success:
        raise MediaError(f"WhatsApp answered {response.status_code} when asked for a file", retryable=_heals(response))
    try:
        return str(response.json()["url"])
    except (ValueError, LookupError, TypeError):
        raise MediaError("WhatsApp gave no URL for the file", retryable=True) from None


def _heals(response: httpx.Response) -> bool:
    """Whether a request may succeed later. Codes come first, since Meta answers 400 to too many requests as well."""
    code = _error_code(response)
    known = ERRORS.meanings.get(code) if code is not None else None
    if known is not None:
        return known.verdict != "permanent"
    return may_heal(response) or _error(response).get("is_transient") is True


def _failed(message: OutboundMessage, reason: str) -> SendResult:
    return SendResult(message_id=message.message_id, result="failed", reason=reason)
