"""Sends messages by Twilio, and fetches the files that guests send.

Twilio stores no key of ours with a message. Our reference is part of the status callback's URL. After a lost response
the message is looked up in Twilio's list: same text, same guest, recent, and not known to be another message.
"""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from itertools import zip_longest
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

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
from activities.channels.sms_segments import segments
from activities.channels.twilio import ERRORS, REFERENCE, WHATSAPP
from activities.media.links import MediaLinks
from activities.tls import trusted
from contracts.delivery import reference
from contracts.events import SendResult
from contracts.messages import Attachment, OutboundMessage
from contracts.metrics import SMS_SEGMENTS
from settings import Settings, TwilioChannel

if TYPE_CHECKING:
    from activities.storage.delivery_reports import DeliveryReports

TEXT_LIMIT: Final = 1600
FILES_LIMIT: Final = 10
CAPTION_LIMIT: Final = 1024
_CAPTIONED: Final = frozenset({"image/jpeg", "image/png", "video/mp4", "video/3gpp"})
"""Types that WhatsApp shows with a caption. Twilio drops captions of others, and all but one file of a request."""
LATELY: Final = timedelta(minutes=30)
"""How far back to look for a lost attempt: longer than a message is retried."""
_SERVICE, _CONTENT = "MG", "HX"
"""Id prefixes of messaging services and of approved templates."""


@dataclass(frozen=True, slots=True)
class Part:
    """One request: its form fields, and its text as Twilio's list shows it (None for templates)."""

    fields: tuple[tuple[str, str], ...]
    body: str | None
    to: str


class _Listed(BaseModel):
    sid: str
    body: str | None = None
    direction: str = ""
    date_created: str = ""


class _List(BaseModel):
    messages: list[_Listed]


class Twilio:
    def __init__(self, settings: Settings, reports: "DeliveryReports") -> None:
        self._settings = settings
        self._reports = reports
        self._links = MediaLinks(settings)
        self._parts: PartsSender[Part] = PartsSender(reports, ERRORS)
        self._http = httpx.AsyncClient(timeout=TIMEOUT, verify=trusted())

    async def send(self, property_id: str, message: OutboundMessage) -> SendResult:
        channel = self._settings.channels_of(property_id).twilio
        message = message.model_copy(update={"attachments": self._links.signed(message.attachments)})
        problem = _unready(channel, message)
        if problem is not None:
            return SendResult(message_id=message.message_id, result="failed", reason=problem)
        parts = requests_of(message, channel)

        async def hand_over(number: int, part: Part) -> Answer:
            answer = await self._post(channel, [*part.fields, *_callback(channel, property_id, message, number, parts)])
            if isinstance(answer, Taken) and message.channel_type == "sms":
                SMS_SEGMENTS.labels(property_id).inc(segments(part.body or ""))
            return answer

        async def find(part: Part) -> Answer | None:
            return await self._find(channel, part)

        return await self._parts.send(property_id, message, parts, hand_over, find)

    async def fetch_media(self, property_id: str, attachment: Attachment) -> AsyncIterator[bytes]:
        """Fetches a file. Only Twilio's own host gets the account's token; it redirects to one that needs none."""
        channel = self._settings.channels_of(property_id).twilio
        own = attachment.url.startswith(f"{channel.api_base.rstrip('/')}/")
        try:
            async with self._http.stream(
                "GET", attachment.url, auth=_auth(channel) if own else None, follow_redirects=True
            ) as file:
                if not file.is_success:
                    # Files of WhatsApp may come a little later than the message that names them.
                    retryable = may_heal(file) or file.status_code == httpx.codes.NOT_FOUND
                    raise MediaError(f"Twilio answered {file.status_code} when asked for a file", retryable=retryable)
                async for piece in file.aiter_bytes():
                    yield piece
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise MediaError(f"Twilio cannot be reached ({type(error).__name__})", retryable=True) from None

    async def close(self) -> None:
        await self._http.aclose()

    async def _post(self, channel: TwilioChannel, fields: list[tuple[str, str]]) -> Answer:
        form: dict[str, str | list[str]] = {}
        for name, value in fields:
            known = form.get(name)
            form[name] = value if known is None else [*([known] if isinstance(known, str) else known), value]
        response = await answered("Twilio", self._http.post(messages_url(channel), data=form, auth=_auth(channel)))
        if isinstance(response, Unanswered):
            return response
        if response.is_success:
            return Taken(_sid(response))
        return refusal(ERRORS, response, _error_code(response))

    async def _find(self, channel: TwilioChannel, part: Part) -> Answer | None:
        """Looks a part up in Twilio's list. Raises StorageAway: without our records it could be another message's."""
        since = datetime.now(UTC) - LATELY
        query = {"To": part.to, "DateSent>": since.date().isoformat(), "PageSize": "100"}
        response = await answered("Twilio", self._http.get(messages_url(channel), params=query, auth=_auth(channel)))
        if isinstance(response, Unanswered) or not response.is_success:
            return Unanswered("Twilio cannot tell whether the message was sent", ambiguous=True)
        try:
            listed = _List.model_validate_json(response.content).messages
        except ValidationError:
            return Unanswered("Twilio cannot tell whether the message was sent", ambiguous=True)
        same = [each.sid for each in listed if _is_part(each, part, since)]
        others = await self._reports.known(same)
        return next((Taken(sid) for sid in same if sid not in others), None)


def requests_of(message: OutboundMessage, channel: TwilioChannel) -> list[Part]:
    """The requests for a message. All files go with the first one; on WhatsApp each has one."""
    to, sender = message.recipient_id, _sender(message, channel)
    addressed = (("To", to), ("MessagingServiceSid" if sender.startswith(_SERVICE) else "From", sender))
    if message.template is not None:
        numbered = {str(number): each for number, each in enumerate(message.template.parameters, 1)}
        variables = json.dumps(numbered | message.template.named_parameters)
        content = (("ContentSid", message.template.name), ("ContentVariables", variables))
        return [Part((*addressed, *content), None, to)]
    return [
        Part(
            (*addressed, *((("Body", text),) if text else ()), *(("MediaUrl", file.url) for file in files)),
            text,
            to,
        )
        for text, files in _contents(message)
    ]


def _contents(message: OutboundMessage) -> list[tuple[str, list[Attachment]]]:
    """The text and files of each request."""
    texts, files = chunks(message.content.strip(), TEXT_LIMIT), message.attachments
    if message.recipient_id.startswith(WHATSAPP):
        if len(files) == 1 and files[0].content_type in _CAPTIONED and len(message.content.strip()) <= CAPTION_LIMIT:
            return [("".join(texts), files)]
        parts: list[tuple[str, list[Attachment]]] = [("", [file]) for file in files]
        return [*parts, *((text, []) for text in texts)] or [("", [])]
    bundles = [files[start : start + FILES_LIMIT] for start in range(0, len(files), FILES_LIMIT)]
    return [(text or "", bundle or []) for text, bundle in zip_longest(texts, bundles)] or [("", [])]


def messages_url(channel: TwilioChannel) -> str:
    return f"{channel.api_base.rstrip('/')}/2010-04-01/Accounts/{channel.account_sid}/Messages.json"


def _unready(channel: TwilioChannel, message: OutboundMessage) -> str | None:
    """Why a message cannot be sent at all, or None."""
    if channel.account_sid is None or channel.auth_token is None:
        return "channels.twilio.accountSid and authToken are not set"
    if not _sender(message, channel):
        return "channels.twilio.fromNumber is not set"
    if message.template is not None and not message.template.name.startswith(_CONTENT):
        return "a Twilio template must be named by its Content SID, which begins with HX"
    if message.template is not None and (message.attachments or message.template.button_links):
        return "a Twilio template takes files and links of buttons as parameters"
    private = next((file for file in message.attachments if not file.url.startswith(("https://", "http://"))), None)
    return NO_WAY_TO_FETCH if private else None


def _sender(message: OutboundMessage, channel: TwilioChannel) -> str:
    """What the guest last wrote to, a number or an address such as `rcs:hotel`, or else the configured sender."""
    wrote_to = message.channel_id
    return wrote_to if ":" in wrote_to or wrote_to.removeprefix("+").isdecimal() else channel.from_number or ""


def _callback(
    channel: TwilioChannel, property_id: str, message: OutboundMessage, number: int, parts: list[Part]
) -> list[tuple[str, str]]:
    """The status callback of a part. Without a public URL there is none."""
    if channel.public_url is None:
        return []
    named = quote(reference(message, number, len(parts)), safe="")
    base = channel.public_url.rstrip("/")
    return [("StatusCallback", f"{base}/webhooks/twilio/{property_id}/status?{REFERENCE}={named}")]


def _is_part(listed: _Listed, part: Part, since: datetime) -> bool:
    try:
        created = parsedate_to_datetime(listed.date_created)
    except ValueError:
        return False
    same_text = part.body is None or (listed.body or "") == part.body
    return listed.direction == "outbound-api" and same_text and created >= since


def _auth(channel: TwilioChannel) -> httpx.BasicAuth:
    token = channel.auth_token.get_secret_value() if channel.auth_token is not None else ""
    return httpx.BasicAuth(channel.account_sid or "", token)


def _sid(response: httpx.Response) -> str | None:
    try:
        return str(response.json()["sid"])
    except (ValueError, LookupError, TypeError):
        return None


def _error_code(response: httpx.Response) -> int | None:
    try:
        return int(response.json()["code"])
    except (ValueError, LookupError, TypeError):
        return None
