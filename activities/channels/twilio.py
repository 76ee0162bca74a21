"""Incoming requests from Twilio: forms, verified and parsed without I/O."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Literal
from urllib.parse import parse_qsl, urlencode, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from twilio.request_validator import RequestValidator

from activities.channels.faults import first_fault
from activities.channels.messages import NOT_TEXT
from activities.channels.provider_errors import ErrorTable
from contracts.delivery import DeliveryReport, referred
from contracts.messages import Attachment, ChannelType, DeliveryState, GuestMessage, MessageId, Route
from contracts.problems import BadSignature
from contracts.quarantine import Unreadable

ADAPTER: Final = "twilio"
SIGNATURE_HEADER: Final = "X-Twilio-Signature"
REFERENCE: Final = "reference"
"""The parameter of a status callback's URL that names our message."""
WHATSAPP: Final = "whatsapp:"
"""Prefix of Twilio addresses on WhatsApp."""
WINDOW: Final = timedelta(hours=24)
ERRORS: Final = ErrorTable.load("Twilio", "twilio_errors.yaml")
STATES: Final = {
    "accepted": None,
    "scheduled": None,
    "queued": None,
    "sending": None,
    "canceled": DeliveryState.FAILED,
    "failed": DeliveryState.FAILED,
    "undelivered": DeliveryState.FAILED,
    "sent": DeliveryState.SENT,
    "partially_delivered": DeliveryState.SENT,
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.READ,
}
"""How far each status means a message got; None if it has not left Twilio."""

STOP_WORDS: Final = frozenset({"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "revoke", "optout", "arret"})
START_WORDS: Final = frozenset({"start", "unstop"})
_CHOICES: Final = frozenset({"cancel", "end", "quit"})
"""Opt-out words that, on a button, are answers to a question of the hotel."""

Form = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Received:
    channel_type: ChannelType
    message: GuestMessage


@dataclass(frozen=True, slots=True)
class Reported:
    """A delivery report on one of our messages."""

    channel_type: ChannelType
    report: DeliveryReport


class _Fields(BaseModel):
    """A Twilio form. Unknown fields are ignored: Twilio adds some without notice."""

    model_config = ConfigDict(hide_input_in_errors=True)

    account: str = Field(default="", alias="AccountSid")


class _Message(_Fields):
    sid: MessageId = Field(alias="MessageSid")
    sender: str = Field(alias="From", min_length=1, max_length=256)
    to: str = Field(alias="To", min_length=1, max_length=256)
    body: str = Field(default="", alias="Body")
    media: int = Field(default=0, alias="NumMedia", ge=0, le=100)
    opt_out_type: str = Field(default="", alias="OptOutType")
    profile_name: str = Field(default="", alias="ProfileName")
    button: str = Field(default="", alias="ButtonText")
    row: str = Field(default="", alias="ListId")
    filled_in: str = Field(default="", alias="InteractiveData")
    latitude: str = Field(default="", alias="Latitude")
    longitude: str = Field(default="", alias="Longitude")
    place: str = Field(default="", alias="Label")
    address: str = Field(default="", alias="Address")


class _Status(_Fields):
    sid: MessageId = Field(alias="MessageSid")
    status: str = Field(alias="MessageStatus")
    to: str = Field(default="", alias="To")
    reference: str = Field(default="", alias=REFERENCE)
    error: int | None = Field(default=None, alias="ErrorCode")


def read_form(body: bytes) -> dict[str, str]:
    """The fields of a form, without characters that storage cannot keep. Raises ValueError if it is not a form."""
    pairs = parse_qsl(body.decode("utf-8"), keep_blank_values=True, max_num_fields=1000, errors="replace")
    return {name.translate(NOT_TEXT): value.translate(NOT_TEXT) for name, value in pairs}


def verify(urls: Iterable[str], body: bytes, auth_token: str, signature: str | None) -> None:
    """Raises BadSignature unless the form was signed for one of the possible URLs of the request.

    Behind a proxy we do not see the URL that Twilio called. Each one is tried with and without its port.
    """
    validator = RequestValidator(auth_token)
    fields = dict(parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True))
    if not any(_has_good_port(url) and validator.validate(url, fields, (signature or "").strip()) for url in urls):
        raise BadSignature(f"{SIGNATURE_HEADER} is not the signature of this form; is channels.twilio.publicUrl right?")


def with_reference(body: bytes, reference: str) -> bytes:
    """The form of a status callback, with the message reference from its URL added."""
    return b"&".join(part for part in (body, urlencode({REFERENCE: reference}).encode()) if part)


def parse(body: bytes, account_sid: str | None, received_at: datetime) -> Received | Reported | Unreadable | None:
    """Parses a form: a guest message or, if it has a reference, a report on one of ours. Never raises.

    Returns None for reports on other messages, and for those that a message has not left Twilio yet.
    """
    try:
        form = {name: value for name, value in read_form(body).items() if value or name == REFERENCE}
        fields = _Fields.model_validate(form)
        if account_sid is not None and fields.account != account_sid:
            return Unreadable(body, "AccountSid: is not the account in channels.twilio.accountSid")
        reports = REFERENCE in form or form.get("MessageStatus") in STATES
        return _report(form, received_at) if reports else _message(form, received_at)
    except (ValidationError, ValueError) as error:
        return Unreadable(body, _why(error))


def _message(form: Form, received_at: datetime) -> Received:
    fields = _Message.model_validate(form)
    attachments = _media(form, fields.media)
    channel_type = _channel_type(fields.sender)
    wish, suppressed = _wish(fields)
    message = GuestMessage(
        id=fields.sid,
        route=Route(
            adapter=ADAPTER,
            channel_id=fields.to,
            sender_id=fields.sender,
            free_text_until=received_at + WINDOW if channel_type == "whatsapp" else None,
        ),
        content=_text(fields, attachments),
        attachments=attachments,
        guest_name=fields.profile_name.strip()[:200] or None,
        sent_at=received_at,
        received_at=received_at,
        suppressed=suppressed,
        opts=wish,
    )
    return Received(channel_type, message)


def _report(form: Form, now: datetime) -> Reported | None:
    fields = _Status.model_validate(form)
    if fields.status not in STATES:
        raise ValueError("MessageStatus: is not a known status")
    state = STATES[fields.status]
    if state is None:
        return None
    failed = state is DeliveryState.FAILED
    report = referred(
        fields.reference,
        state,
        reason=ERRORS.reason(fields.error) if failed else None,
        opted_out=failed and ERRORS.opted_out(fields.error),
        provider_id=fields.sid,
        at=now,
    )
    return Reported(_channel_type(fields.to), report) if report is not None else None


def _channel_type(address: str) -> ChannelType:
    return "whatsapp" if address.startswith(WHATSAPP) else "sms"


def _media(form: Form, count: int) -> list[Attachment]:
    files = []
    for number in range(count):
        url = form.get(f"MediaUrl{number}", "")
        if not url:
            continue  # Twilio could not take it in
        if not url.startswith(("https://", "http://")):
            raise ValueError(f"MediaUrl{number}: must be an http or https URL")
        content_type = form.get(f"MediaContentType{number}") or "application/octet-stream"
        media_id = urlsplit(url).path.rpartition("/")[2] or f"media-{number}"
        files.append(Attachment(id=media_id, name=media_id, content_type=content_type, url=url))
    return files


def _text(fields: _Message, attachments: list[Attachment]) -> str:
    if fields.button:
        return fields.button
    if fields.latitude and fields.longitude:
        where = f"{fields.latitude}, {fields.longitude}"
        return f"[Location: {', '.join(each for each in (fields.place, fields.address, where) if each)}]"
    if fields.filled_in and not fields.row:
        return f"[Form: {' '.join(each for each in (fields.body.strip(), fields.filled_in) if each)}]"
    if fields.body.strip():
        return fields.body
    if not attachments:
        return "[A file that Twilio does not pass on]" if fields.media else "[A message without words]"
    return "\n".join(f"[{_shown(file.content_type)}]" for file in attachments)


def _shown(content_type: str) -> str:
    kind = content_type.partition("/")[0]
    return {"image": "Photo", "audio": "Audio", "video": "Video"}.get(kind, "Document")


def _wish(fields: _Message) -> tuple[Literal["in", "out"] | None, str | None]:
    """Whether the message opts in or out, and why it must not be answered.

    Only a message that consists of the word alone counts. With `OptOutType`, the network has already answered it.
    """
    word = fields.body.strip().strip(".!'\"“”").casefold().replace("ê", "e")
    match fields.opt_out_type.upper():
        case "STOP":
            return "out", "The guest opted out; the network has already replied"
        case "START":
            return "in", "The guest opted in again; the network has already replied"
        case "HELP":
            return None, "The guest asked for HELP; the network has already replied"
    tapped = fields.button or fields.row
    if word in STOP_WORDS and not (tapped and word in _CHOICES):
        return "out", "The guest opted out"
    return ("in", "The guest opted in again") if word in START_WORDS else (None, None)


def _has_good_port(url: str) -> bool:
    """Whether the port is a number, or else Twilio's validator would raise."""
    try:
        _ = urlsplit(url).port
    except ValueError:
        return False
    return True


def _why(error: ValueError) -> str:
    """What is wrong, without quoting the message."""
    if isinstance(error, ValidationError):
        return ": ".join(first_fault(error, whole="form"))
    return "it is not a form in UTF-8" if isinstance(error, UnicodeError) else str(error)
