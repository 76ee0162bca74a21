"""Converts WhatsApp messages to text for staff and the AI. Files stay with WhatsApp and are referenced."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from contracts.base import without_none
from contracts.messages import Attachment

MEDIA_URL: Final = "whatsapp-media:"
"""Prefix of an attachment's URL; the media id follows."""
NAME_LENGTH: Final = 256
"""How many characters of a file's name, which the guest chose, are kept."""
EXTENSIONS: Final = {
    "audio/aac": ".aac",
    "audio/amr": ".amr",
    "audio/mp4": ".m4a",
    "audio/mpeg": ".mp3",
    "audio/ogg": ".ogg",
    "image/jpeg": ".jpg",
    "image/png": ".png",
    "image/webp": ".webp",
    "video/3gpp": ".3gp",
    "video/mp4": ".mp4",
}
"""Names for files without one."""


class NotUnderstood(Exception):
    """A message of unknown type or form."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message as text and files. `suppressed` is why it must not be answered."""

    text: str
    attachments: tuple[Attachment, ...] = ()
    suppressed: str | None = None


class Wire(BaseModel):
    """A part of a notification. Unknown keys are ignored, since Meta adds some without notice, and so is null."""

    model_config = ConfigDict(hide_input_in_errors=True, coerce_numbers_to_str=True)

    _pass_over_nulls = model_validator(mode="before")(without_none)


class _Text(Wire):
    body: str


class _Media(Wire):
    id: str = Field(min_length=1)
    mime_type: str = "application/octet-stream"
    caption: str = ""
    filename: str | None = None
    voice: bool = False


class _Location(Wire):
    latitude: float
    longitude: float
    name: str | None = None
    address: str | None = None


class _Name(Wire):
    formatted_name: str | None = None
    first_name: str | None = None


class _Phone(Wire):
    phone: str | None = None
    wa_id: str | None = None


class _Email(Wire):
    email: str | None = None


class _Contact(Wire):
    name: _Name = _Name()
    phones: list[_Phone] = []
    emails: list[_Email] = []


class _Contacts(Wire):
    contacts: list[_Contact]


class _Reaction(Wire):
    emoji: str = ""


class _Button(Wire):
    text: str


class _Choice(Wire):
    title: str
    description: str | None = None


class _Form(Wire):
    body: str = ""
    response_json: str = ""


class _CallPermission(Wire):
    response: str = ""


class _Interactive(Wire):
    button_reply: _Choice | None = None
    list_reply: _Choice | None = None
    nfm_reply: _Form | None = None
    call_permission_reply: _CallPermission | None = None


class _Product(Wire):
    product_retailer_id: str
    quantity: int = 1


class _Order(Wire):
    product_items: list[_Product]
    text: str = ""


class _System(Wire):
    body: str = "Something changed on WhatsApp's side"


class _Error(Wire):
    title: str | None = None
    message: str | None = None


class _Errors(Wire):
    errors: list[_Error] = []


class _Edit(Wire):
    message: dict[str, JsonValue]


def said(kind: str, message: dict[str, JsonValue]) -> Said:
    """Converts a message of a kind. Raises NotUnderstood, or pydantic's ValidationError for invalid fields."""
    if kind not in _READERS:
        raise NotUnderstood(f"messages of type {kind!a} are not known")
    return _READERS[kind](message)


def _text(message: dict[str, JsonValue]) -> Said:
    return Said(_Text.model_validate(message.get("text")).body)


def _media(kind: str, shown: str) -> Callable[[dict[str, JsonValue]], Said]:
    def read(message: dict[str, JsonValue]) -> Said:
        media = _Media.model_validate(message.get(kind))
        name = media.filename or kind + EXTENSIONS.get(media.mime_type.partition(";")[0].strip(), "")
        name = name[:NAME_LENGTH]
        label = "Voice message" if media.voice else shown
        placeholder = f"[{label}: {media.filename}]" if media.filename else f"[{label}]"
        attachment = Attachment(id=media.id, name=name, content_type=media.mime_type, url=f"{MEDIA_URL}{media.id}")
        return Said(media.caption.strip() or placeholder, (attachment,))

    return read


def _location(message: dict[str, JsonValue]) -> Said:
    place = _Location.model_validate(message.get("location"))
    where = f"{place.latitude}, {place.longitude}"
    return Said(f"[Location: {', '.join(each for each in (place.name, place.address, where) if each)}]")


def _contacts(message: dict[str, JsonValue]) -> Said:
    lines = []
    for contact in _Contacts.model_validate(message).contacts:
        reached = [phone.phone or phone.wa_id for phone in contact.phones] + [each.email for each in contact.emails]
        lines.append(
            ", ".join(
                [
                    contact.name.formatted_name or contact.name.first_name or "somebody",
                    *(each for each in reached if each),
                ]
            )
        )
    return Said(f"[Contact: {'; '.join(lines)}]")


def _reaction(message: dict[str, JsonValue]) -> Said:
    reaction = _Reaction.model_validate(message.get("reaction"))
    text = f"[Reacted {reaction.emoji} to a message]" if reaction.emoji else "[Took a reaction back]"
    return Said(text, suppressed="A reaction needs no answer")


def _button(message: dict[str, JsonValue]) -> Said:
    return Said(_Button.model_validate(message.get("button")).text)


def _interactive(message: dict[str, JsonValue]) -> Said:
    chosen = _Interactive.model_validate(message.get("interactive"))
    choice = chosen.button_reply or chosen.list_reply
    if choice is not None:
        return Said(f"{choice.title} ({choice.description})" if choice.description else choice.title)
    if chosen.nfm_reply is not None:
        return Said(f"[Form: {chosen.nfm_reply.body or 'sent'} {chosen.nfm_reply.response_json}]".replace(" ]", "]"))
    if (permission := chosen.call_permission_reply) is not None:
        told = "[Allows calls]" if permission.response == "accept" else "[Allows no calls]"
        return Said(told, suppressed="A permission needs no answer")
    raise NotUnderstood("an interactive message that is neither a button, a list nor a form")


def _order(message: dict[str, JsonValue]) -> Said:
    order = _Order.model_validate(message.get("order"))
    items = ", ".join(f"{item.quantity} x {item.product_retailer_id}" for item in order.product_items)
    return Said(f"{order.text}\n[Order: {items}]".strip())


def _system(message: dict[str, JsonValue]) -> Said:
    text = _System.model_validate(message.get("system")).body
    return Said(f"[{text}]", suppressed="A notice from WhatsApp needs no answer")


def _welcome(message: dict[str, JsonValue]) -> Said:
    return Said("[Opened the chat]")


def _edited(message: dict[str, JsonValue]) -> Said:
    edit = _Edit.model_validate(message.get("edit"))
    now = said(str(edit.message.get("type", "text")), edit.message)
    return Said(f"[Edited an earlier message] {now.text}", now.attachments, now.suppressed)


def _deleted(message: dict[str, JsonValue]) -> Said:
    return Said("[Deleted an earlier message]", suppressed="A deleted message needs no answer")


def _unsupported(message: dict[str, JsonValue]) -> Said:
    errors = _Errors.model_validate(message).errors
    told = next((error.title or error.message for error in errors if error.title or error.message), None)
    return Said(
        f"[A message that WhatsApp does not pass on: {told}]" if told else "[A message that WhatsApp does not pass on]"
    )


_READERS: dict[str, Callable[[dict[str, JsonValue]], Said]] = {
    "text": _text,
    "image": _media("image", "Photo"),
    "audio": _media("audio", "Audio"),
    "voice": _media("voice", "Voice message"),
    "video": _media("video", "Video"),
    "document": _media("document", "Document"),
    "sticker": _media("sticker", "Sticker"),
    "location": _location,
    "contacts": _contacts,
    "reaction": _reaction,
    "button": _button,
    "interactive": _interactive,
    "order": _order,
    "system": _system,
    "request_welcome": _welcome,
    "edit": _edited,
    "revoke": _deleted,
    "unsupported": _unsupported,
    "unknown": _unsupported,
}
KINDS: Final = frozenset(_READERS)
"""The message types that we understand."""
