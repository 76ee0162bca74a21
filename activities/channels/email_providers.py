"""Mailgun, Postmark and SendGrid: how each authenticates, and in which format each posts a mail."""

import base64
import binascii
import hashlib
import hmac
import io
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import Message
from email.parser import HeaderParser
from typing import Annotated, Final, Literal
from urllib.parse import parse_qsl

from pydantic import AliasGenerator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator
from pydantic.alias_generators import to_pascal
from python_multipart import parse_form
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import Field as FormField
from python_multipart.multipart import File as FormFile

from activities.channels.email_charsets import decoded, decoded_header
from activities.channels.email_reading import (
    File,
    Mail,
    Unreadable,
    charset_of,
    default_name,
    quoted,
    read_header,
    read_headers,
    read_mail,
    report_kind,
)
from activities.channels.faults import first_fault
from activities.channels.messages import text_only
from contracts.base import without_none
from contracts.problems import BadSignature

Provider = Literal["mailgun", "postmark", "sendgrid", "raw"]
FRESH: Final = timedelta(hours=24)
"""How old a Mailgun signature may be. Mailgun retries for eight hours."""
SECRET_HEADER: Final = "X-Gateway-Secret"  # noqa: S105 - the name of a header
FILES_LIMIT: Final = 100
FIELDS_LIMIT: Final = 1_000
_ATTACHED: Final = re.compile(r"attachment-?\d+", re.ASCII)
"""The fields in which Mailgun and SendGrid bring files."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form as it was sent, still in bytes."""

    fields: Mapping[str, bytes]
    files: tuple[File, ...]

    def text(self, name: str, charset: str | None = None) -> str | None:
        value = self.fields.get(name)
        return decoded(value, charset) if value is not None else None


def read_form(content_type: str, body: bytes) -> Form:
    """Parses an urlencoded or multipart form. Raises Unreadable for anything else."""
    fields: dict[str, bytes] = {}
    files: list[File] = []

    def on_field(field: FormField) -> None:
        name, value = decoded(field.field_name or b"", "utf-8"), field.value or b""
        fields[name] = value
        if _ATTACHED.fullmatch(name):  # a file without a name, which to the form is no file
            kind, charset = _declared(field.content_type or "application/octet-stream")
            files.append(File(default_name(kind), kind, value, charset))

    def on_file(file: FormFile) -> None:
        file.file_object.seek(0)
        name = decoded_header(decoded(file.file_name or b"", "utf-8"))
        kind, charset = _declared(str(file.content_type or "application/octet-stream"))
        files.append(File(name or default_name(kind), kind, file.file_object.read(), charset))
        file.close()

    headers = {"Content-Type": content_type.encode("latin-1", "replace")}
    try:
        if content_type.lower().startswith("application/x-www-form-urlencoded"):
            # By Latin-1, in which each byte is a character: given bytes, the library refuses all but ASCII.
            pairs = parse_qsl(
                body.decode("latin-1"), keep_blank_values=True, max_num_fields=FIELDS_LIMIT, encoding="latin-1"
            )
            fields = {decoded(name.encode("latin-1"), "utf-8"): value.encode("latin-1") for name, value in pairs}
            return Form(fields, ())
        parse_form(headers, io.BytesIO(body), on_field, on_file)
    except (FormParserError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise Unreadable(f"the form cannot be read ({type(error).__name__})") from error
    return Form(fields, tuple(files[:FILES_LIMIT]))


# --- who sends -------------------------------------------------------------------------------------------------------


def verify_mailgun(form: Form, key: str, now: datetime) -> None:
    """Raises BadSignature unless the form's `signature` matches its timestamp and token, and is recent."""
    timestamp, token, signature = (form.text(name) or "" for name in ("timestamp", "token", "signature"))
    right = hmac.new(key.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(right.encode(), signature.encode()):
        raise BadSignature("signature must be the hex of the HMAC-SHA256 of timestamp and token by the signing key")
    if not timestamp.isdecimal() or abs(now.timestamp() - int(timestamp[:12])) > FRESH.total_seconds():
        raise BadSignature("timestamp must be at most a day old")


def verify_secret(secret: str, *, authorization: str | None, header: str | None, query: str | None) -> None:
    """Raises BadSignature unless the secret is in one of the places where a provider can put it."""
    given = [header, query, _basic_password(authorization)]
    if not any(hmac.compare_digest(secret.encode(), each.encode()) for each in given if each is not None):
        raise BadSignature(f"The secret must be the password of the URL, its `secret` parameter, or in {SECRET_HEADER}")


def _basic_password(authorization: str | None) -> str | None:
    scheme, _, value = (authorization or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        return base64.b64decode(value.strip(), validate=True).decode().partition(":")[2]
    except (binascii.Error, ValueError):
        return None


# --- what they send --------------------------------------------------------------------------------------------------


def mailgun_mail(form: Form) -> Mail:
    """A mail that a Mailgun route forwards, parsed or as `body-mime`, or notifies us of. Raises Unreadable."""
    recipients = tuple(_addresses(form.text("recipient") or ""))
    if (mime := form.fields.get("body-mime")) is not None:
        return read_mail(mime, recipients)
    headers = _header_pairs(form.text("message-headers")) or tuple(
        read_header(name, value) for name in ("From", "To", "Subject", "Message-Id") if (value := form.text(name))
    )
    present = {name.lower() for name, _ in headers}
    extra = (("From", form.text("from") or form.text("sender")), ("Subject", form.text("subject")))
    headers += tuple(read_header(name, text) for name, text in extra if text and name.lower() not in present)
    files = form.files + _stored_files(form.fields.get("attachments"))
    return _mail(headers, form.text("body-plain"), form.text("body-html"), files, recipients)


class _StoredFile(BaseModel):
    model_config = ConfigDict(hide_input_in_errors=True)

    url: str = Field(pattern="^https?://", max_length=2048)
    name: str = ""
    content_type: Annotated[str, Field(alias="content-type")] = "application/octet-stream"
    size: Annotated[int, Field(ge=0)] = 0

    _pass_over_nulls = model_validator(mode="before")(without_none)


_STORED_FILES: Final = TypeAdapter(list[_StoredFile])


def _stored_files(told: bytes | None) -> tuple[File, ...]:
    """The files that Mailgun has kept, of which `store(notify=…)` only tells where they are. Raises Unreadable."""
    if not told:
        return ()
    try:
        stored = _STORED_FILES.validate_json(told)
    except ValidationError:
        raise Unreadable("attachments: must be a list of files, each with its url") from None
    return tuple(
        File(decoded_header(each.name) or default_name(kind), kind, b"", charset, each.url, each.size)
        for each in stored[:FILES_LIMIT]
        for kind, charset in [_declared(each.content_type)]
    )


def sendgrid_mail(form: Form) -> Mail:
    """A mail from SendGrid's Inbound Parse, parsed or raw in `email`. Raises Unreadable."""
    recipients = _envelope_recipients(form.text("envelope"))
    if (raw := form.fields.get("email")) is not None:
        return read_mail(raw, recipients)
    charsets = _charsets(form.text("charsets"))
    texts = {name: form.text(name, charsets.get(name)) for name in ("from", "to", "subject", "text", "html")}
    headers = read_headers(_parsed_headers(form.text("headers") or ""))
    present = {name.lower() for name, _ in headers}
    headers += tuple(
        read_header(name.capitalize(), text)
        for name in ("from", "to", "subject")
        if (text := texts[name]) and name not in present
    )
    return _mail(headers, texts["text"], texts["html"], form.files, recipients)


class _PostmarkPart(BaseModel):
    model_config = ConfigDict(alias_generator=AliasGenerator(validation_alias=to_pascal), hide_input_in_errors=True)

    _pass_over_nulls = model_validator(mode="before")(without_none)


class _PostmarkHeader(_PostmarkPart):
    name: str
    value: str = ""


class _PostmarkFile(_PostmarkPart):
    name: str = ""
    content: str = ""
    content_type: str = "application/octet-stream"


class _PostmarkMail(_PostmarkPart):
    """The fields we read of Postmark's inbound JSON."""

    from_: Annotated[str | None, Field(validation_alias="From")] = None
    from_name: str | None = None
    to: str | None = None
    cc: str | None = None
    reply_to: str | None = None
    subject: str | None = None
    date: str | None = None
    original_recipient: str | None = None
    mailbox_hash: str | None = None
    text_body: str | None = None
    html_body: str | None = None
    raw_email: str | None = None
    headers: list[_PostmarkHeader] = []
    attachments: list[_PostmarkFile] = []


def postmark_mail(body: bytes) -> Mail:
    """A mail from Postmark's inbound webhook. Raises Unreadable, naming the invalid field."""
    try:
        inbound = _PostmarkMail.model_validate(text_only(json.loads(body)))
    except ValidationError as error:
        field, fault = first_fault(error)
        raise Unreadable(f"{field}: {fault}") from None
    except (ValueError, RecursionError):
        raise Unreadable("it is not JSON") from None
    recipients = tuple(_addresses(inbound.original_recipient or ""))
    if inbound.mailbox_hash:
        recipients += (f"inbound+{inbound.mailbox_hash}@postmark",)
    if inbound.raw_email:
        return read_mail(inbound.raw_email.encode("utf-8", "surrogateescape"), recipients)
    sender = inbound.from_
    if sender and inbound.from_name and "<" not in sender:
        sender = f"{quoted(inbound.from_name)} <{sender}>"
    named = (
        ("From", sender),
        ("To", inbound.to),
        ("Cc", inbound.cc),
        ("Reply-To", inbound.reply_to),
        ("Subject", inbound.subject),
        ("Date", inbound.date),
    )
    headers = tuple(read_header(name, value) for name, value in named if value)
    present = {name.lower() for name, _ in headers}
    headers += tuple(read_header(each.name, each.value) for each in inbound.headers if each.name.lower() not in present)
    files = tuple(
        File(decoded_header(each.name), kind, _base64(each.content), charset)
        for each in inbound.attachments[:FILES_LIMIT]
        for kind, charset in [_declared(each.content_type)]
    )
    return _mail(headers, inbound.text_body, inbound.html_body, files, recipients)


def _mail(
    headers: tuple[tuple[str, str], ...],
    text: str | None,
    html: str | None,
    files: tuple[File, ...],
    recipients: tuple[str, ...],
) -> Mail:
    if not headers:
        raise Unreadable("there are no headers")
    reports = tuple(
        (report, decoded(each.content, "utf-8"))
        for each in files
        if (report := report_kind(each.content_type)) is not None
    )
    return Mail(headers, text, html, files, recipients, reports)


def _header_pairs(text: str | None) -> tuple[tuple[str, str], ...]:
    """Mailgun's `message-headers`: a JSON list of pairs."""
    try:
        pairs = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return ()
    if not isinstance(pairs, list):
        return ()
    return tuple(
        read_header(pair[0], pair[1])
        for pair in pairs
        if isinstance(pair, list) and len(pair) == 2 and all(isinstance(each, str) for each in pair)
    )


def _parsed_headers(text: str) -> Message:
    return HeaderParser().parsestr(text.lstrip("\r\n"))


def _envelope_recipients(text: str | None) -> tuple[str, ...]:
    """SendGrid's `envelope`: JSON with a list `to`."""
    try:
        to = json.loads(text or "{}")["to"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return ()
    return tuple(each for each in to if isinstance(each, str)) if isinstance(to, list) else ()


def _charsets(text: str | None) -> dict[str, str]:
    try:
        charsets = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return (
        {name: value for name, value in charsets.items() if isinstance(value, str)}
        if isinstance(charsets, dict)
        else {}
    )


def _declared(content_type: str) -> tuple[str, str | None]:
    """The type and the charset of a `Content-Type`."""
    header = Message()
    header["Content-Type"] = content_type
    return content_type.partition(";")[0].strip().lower(), charset_of(header)


def _addresses(text: str) -> list[str]:
    return [each for each in re.split(r"[\s,;<>]+", text) if "@" in each]


def _base64(content: str) -> bytes:
    try:
        return base64.b64decode(content)
    except (binascii.Error, ValueError):
        return b""
