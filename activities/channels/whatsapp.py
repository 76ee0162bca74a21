"""Incoming notifications of the WhatsApp Cloud API, verified and parsed without I/O.

A notification is a batch of entries, changes, messages and statuses. Each message and status is parsed separately: one
that cannot be parsed is reported with the bytes to parse again later, and does not affect the others.
"""

import hashlib
import hmac
import json
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from pydantic import Field, JsonValue, ValidationError, field_validator

from activities.channels.body_signature import is_signed
from activities.channels.faults import first_fault
from activities.channels.messages import text_only
from activities.channels.provider_errors import ErrorTable
from activities.channels.whatsapp_content import NotUnderstood, Said, Wire, said
from contracts.delivery import DeliveryReport, referred
from contracts.messages import DeliveryState, GuestMessage, Route
from contracts.problems import BadSignature, Forbidden
from contracts.quarantine import Unreadable

ADAPTER: Final = "whatsapp"
SIGNATURE_HEADER: Final = "X-Hub-Signature-256"
WINDOW: Final = timedelta(hours=24)
"""How long free text may be sent after a guest's message."""
ERRORS: Final = ErrorTable.load("WhatsApp", "whatsapp_errors.yaml")

MESSAGES_FIELD: Final = "messages"
ABOUT_THE_ACCOUNT: Final = frozenset(
    {
        "account_alerts",
        "account_review_update",
        "account_settings_update",
        "account_update",
        "business_capability_update",
        "business_status_update",
        "flows",
        "history",
        "message_template_components_update",
        "message_template_quality_update",
        "message_template_status_update",
        "partner_solutions",
        "payment_configuration_update",
        "phone_number_name_update",
        "phone_number_quality_update",
        "security",
        "smb_app_state_sync",
        "smb_message_echoes",
        "template_category_update",
        "tracking_events",
        "user_preferences",
    }
)
"""Changes that are neither guest messages nor about our messages."""
STATES: Final = {
    "sent": DeliveryState.SENT,
    "delivered": DeliveryState.DELIVERED,
    "read": DeliveryState.READ,
    "played": DeliveryState.READ,
    "failed": DeliveryState.FAILED,
}
PASSED_OVER: Final = frozenset({"deleted", "warning"})
"""Statuses that do not tell how far a message got."""
TOLD_LIMIT: Final = 200
_LONG_NUMBER: Final = re.compile(r"\+?\d(?:[ ().-]*\d){6,}")
_MILLISECONDS_FROM: Final = 100_000_000_000
_MESSAGE_ID: Final = re.compile(r"[\x21-\x7e]{1,128}")


@dataclass(frozen=True, slots=True)
class Item:
    """One part of a notification, the hotel's number that it concerns, and a notification with this part alone."""

    phone_number_id: str
    alone: JsonValue

    @property
    def payload(self) -> bytes:
        return _bytes(self.alone)


@dataclass(frozen=True, slots=True)
class Received(Item):
    message: GuestMessage


@dataclass(frozen=True, slots=True)
class Reported(Item):
    report: DeliveryReport


@dataclass(slots=True)
class Batch:
    """The contents of one notification, each kind in the original order."""

    received: list[Received] = field(default_factory=list)
    reported: list[Reported] = field(default_factory=list)
    unreadable: list[Unreadable] = field(default_factory=list)


def told_of(error: JsonValue) -> str | None:
    """Meta's own words for an error, without long numbers, which could be a guest's."""
    if not isinstance(error, dict):
        return None
    data = error.get("error_data")
    details = data.get("details") if isinstance(data, dict) else None
    words = next((each for each in (details, error.get("message"), error.get("title")) if each), None)
    return " ".join(_LONG_NUMBER.sub("…", words).split())[:TOLD_LIMIT] or None if isinstance(words, str) else None


def verify(body: bytes, app_secret: str, signature: str | None) -> None:
    """Raises BadSignature unless the header's value is the body's signature."""
    if not is_signed(body, app_secret, signature):
        raise BadSignature(f"{SIGNATURE_HEADER} must be sha256=<hex of the HMAC-SHA256 of the body by the app secret>")


def challenge(mode: str | None, token: str | None, value: str | None, verify_token: str) -> str:
    """The response to Meta's verification of our webhook. Raises Forbidden for a wrong token."""
    if mode != "subscribe" or not hmac.compare_digest(verify_token.encode(), (token or "").encode()):
        raise Forbidden("hub.mode must be subscribe and hub.verify_token the one in channels.whatsapp.verifyToken")
    return value or ""


class _Profile(Wire):
    name: str | None = None
    username: str | None = None


class _Guest(Wire):
    wa_id: str | None = None
    user_id: str | None = None
    profile: _Profile = _Profile()


class _Guests(Wire):
    contacts: list[_Guest] = []


def _moment(value: object) -> object:
    """Parses seconds or milliseconds since 1970, as a number or text."""
    number = int(value) if isinstance(value, str | int) and str(value).strip().isdecimal() else None
    if number is None:
        raise ValueError("must be seconds or milliseconds since 1970")
    try:
        return datetime.fromtimestamp(number / 1000 if number >= _MILLISECONDS_FROM else number, UTC)
    except (OverflowError, OSError, ValueError):
        raise ValueError("must be within the years 1970 to 9999") from None


class _Referral(Wire):
    headline: str | None = None
    source_url: str | None = None


class _Context(Wire):
    id: str | None = None
    forwarded: bool = False
    frequently_forwarded: bool = False


class _Message(Wire):
    id: str = Field(min_length=1)
    type: str
    timestamp: datetime
    sender: str | None = Field(default=None, alias="from")
    from_user_id: str | None = None
    user_id: str | None = None
    context: _Context = _Context()
    referral: _Referral | None = None

    _read_timestamp = field_validator("timestamp", mode="before")(_moment)


class _Error(Wire):
    code: int | None = None
    title: JsonValue = None
    message: JsonValue = None
    error_data: JsonValue = None

    @property
    def reason(self) -> str:
        return ERRORS.reason(self.code, told_of(self.model_dump()))


class _Status(Wire):
    id: str = Field(min_length=1)
    status: str
    timestamp: datetime
    biz_opaque_callback_data: str | None = None
    errors: list[_Error] = []

    _read_timestamp = field_validator("timestamp", mode="before")(_moment)


def parse(body: bytes, received_at: datetime) -> Batch:
    """Parses a notification. Never raises: what cannot be parsed is in `unreadable`."""
    batch = Batch()
    try:
        content = text_only(json.loads(body))
    except (ValueError, RecursionError):
        batch.unreadable.append(Unreadable(body, "it is not JSON"))
        return batch
    entries = content.get("entry") if isinstance(content, dict) else None
    if not isinstance(entries, list):
        batch.unreadable.append(Unreadable(body, "it has no list `entry`"))
        return batch
    for entry in entries:
        changes = entry.get("changes") if isinstance(entry, dict) else None
        if isinstance(changes, list):
            for change in changes:
                _read_change(batch, change, received_at)
        else:
            _give_up(batch, {"entry": [entry]}, "an entry has no list `changes`")
    return batch


def _read_change(batch: Batch, change: JsonValue, received_at: datetime) -> None:
    whole: JsonValue = {"entry": [{"changes": [change]}]}
    if not isinstance(change, dict) or not isinstance(value := change.get("value"), dict):
        _give_up(batch, whole, "a change has no object `value`")
        return
    topic = change.get("field")
    if isinstance(topic, str) and topic in ABOUT_THE_ACCOUNT:
        return
    metadata = value.get("metadata")
    number = metadata.get("phone_number_id") if isinstance(metadata, dict) else None
    if topic != MESSAGES_FIELD or not isinstance(number, str):
        _give_up(batch, whole, "a change is not of `messages`, or has no `metadata.phone_number_id`")
        return
    parts = [(name, value[name]) for name in ("messages", "statuses", "errors") if value.get(name) is not None]
    if not parts or not all(isinstance(items, list) for _, items in parts):
        _give_up(batch, whole, "a change needs lists of messages, statuses or errors")
        return
    for name, items in parts:
        for item in items if isinstance(items, list) else []:
            alone = _alone(value, name, item)
            try:
                _read_item(batch, Item(number, alone), name, item, value, received_at)
            except (ValidationError, NotUnderstood, RecursionError) as error:
                _give_up(batch, alone, _why(error))


def _read_item(
    batch: Batch, of: Item, name: str, item: JsonValue, value: dict[str, JsonValue], received_at: datetime
) -> None:
    match name:
        case "messages":
            message = _guest_message(item, value, of.phone_number_id, received_at)
            batch.received.append(Received(of.phone_number_id, of.alone, message))
        case "statuses":
            report = _report(_Status.model_validate(item))
            if report is not None:
                batch.reported.append(Reported(of.phone_number_id, of.alone, report))
        case _:
            raise NotUnderstood(f"WhatsApp reports an error: {_Error.model_validate(item).reason}")


def _guest_message(item: JsonValue, value: dict[str, JsonValue], number: str, received_at: datetime) -> GuestMessage:
    message = _Message.model_validate(item)
    assert isinstance(item, dict)
    guests = _Guests.model_validate({"contacts": value.get("contacts") or []}).contacts
    guest = _guest_of(message, guests)
    sender = message.sender or message.from_user_id or message.user_id or guest.wa_id or guest.user_id
    if not sender or len(sender) > 256:
        raise NotUnderstood("it has no sender: neither `from` nor a user id")
    content = said(message.type, item)
    sent_at = min(message.timestamp, received_at)
    return GuestMessage(
        id=message.id if _MESSAGE_ID.fullmatch(message.id) else hashlib.sha256(message.id.encode()).hexdigest(),
        route=Route(
            adapter=ADAPTER,
            channel_id=number,
            sender_id=sender,
            context={"messageId": message.id},
            free_text_until=sent_at + WINDOW,
        ),
        content=_with_circumstances(content, message),
        attachments=list(content.attachments),
        guest_name=(guest.profile.name or guest.profile.username or "").strip()[:200] or None,
        sent_at=sent_at,
        received_at=received_at,
        suppressed=content.suppressed,
    )


def _guest_of(message: _Message, guests: list[_Guest]) -> _Guest:
    """The author of a message among the contacts that the notification names."""
    ids = {message.sender, message.from_user_id, message.user_id} - {None, ""}
    for guest in guests:
        if ids & {guest.wa_id, guest.user_id}:
            return guest
    return guests[0] if len(guests) == 1 and not ids else _Guest()


def _with_circumstances(content: Said, message: _Message) -> str:
    """The text with its context: that it replies to or forwards another message, or came from an advert."""
    before, after = [], []
    if message.context.forwarded or message.context.frequently_forwarded:
        before.append("[Forwarded]")
    # A bare number may answer a question of ours, such as for a rating, so it stays bare.
    if message.context.id and message.type not in ("button", "interactive") and not content.text.strip().isdecimal():
        before.append("[In reply to an earlier message]")
    if message.referral is not None:
        told = [each for each in (message.referral.headline, message.referral.source_url) if each]
        after.append(f"[Came from an advert: {', '.join(told)}]" if told else "[Came from an advert]")
    return "\n".join([*before, content.text, *after])


def _report(status: _Status) -> DeliveryReport | None:
    """The report; None if not about our message, or without a delivery state. Raises NotUnderstood if unknown."""
    if status.status in PASSED_OVER or status.biz_opaque_callback_data is None:
        return None
    if status.status not in STATES:
        raise NotUnderstood(f"the status {status.status!a} is not known")
    state, reason = STATES[status.status], None
    if state is DeliveryState.FAILED:
        reason = (status.errors[0] if status.errors else _Error()).reason
    return referred(status.biz_opaque_callback_data, state, reason=reason, provider_id=status.id, at=status.timestamp)


def _alone(value: dict[str, JsonValue], name: str, item: JsonValue) -> JsonValue:
    """A notification with a single item and the shared fields."""
    shared = {key: each for key, each in value.items() if key not in ("messages", "statuses", "errors")}
    return {"entry": [{"changes": [{"field": MESSAGES_FIELD, "value": {**shared, name: [item]}}]}]}


def _give_up(batch: Batch, payload: JsonValue, reason: str) -> None:
    batch.unreadable.append(Unreadable(_bytes(payload), reason))


def _bytes(payload: JsonValue) -> bytes:
    return json.dumps(payload, ensure_ascii=False).encode()


def _why(error: Exception) -> str:
    """What is wrong, without quoting the message."""
    if isinstance(error, ValidationError):
        return ": ".join(first_fault(error, whole="item"))
    return str(error) if isinstance(error, NotUnderstood) else "it is nested too deeply"
