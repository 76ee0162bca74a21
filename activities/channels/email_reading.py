"""Parses mails: RFC 5322 and MIME as they occur in practice, including broken ones."""

import email.policy
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from email.message import Message
from email.parser import BytesParser
from email.utils import getaddresses
from functools import cached_property
from typing import Final

from activities.channels.email_addresses import can_be_written_to, is_address, plain, settled
from activities.channels.email_charsets import BROKEN, HEADER_LIMIT, decoded, decoded_header
from activities.channels.messages import text_only

PARTS_LIMIT: Final = 200
EMOJI_LIMIT: Final = 20
_OF_ADDRESSES: Final = frozenset({"from", "sender", "reply-to", "to", "cc"})
_ENCODED_WORD: Final = re.compile(r"=\?[^?\s]{1,60}\?[bq]\?[^?]*\?=", re.IGNORECASE)
_STAND_IN: Final = "\ue000"
_GLOBAL: Final = {
    "message/global": "message/rfc822",
    "message/global-headers": "text/rfc822-headers",
    "message/global-delivery-status": "message/delivery-status",
    "message/global-disposition-notification": "message/disposition-notification",
}
REACTION: Final = "text/vnd.google.email-reaction+json"
"""The part by which Gmail marks a mail as an emoji on another mail."""
_CALENDARS: Final = ("text/calendar", "application/ics")
_METHOD: Final = re.compile(rb"^METHOD\s*:\s*([a-z]+)", re.IGNORECASE | re.MULTILINE)
_SIGNATURES: Final = ("application/pkcs7-signature", "application/x-pkcs7-signature", "application/pgp-signature")
_CALLED_SIGNATURES: Final = ("smime.p7s", "signature.asc")


class Unreadable(Exception):
    """A mail that nobody could answer. The text says why, without quoting the mail."""


@dataclass(frozen=True, slots=True)
class File:
    """An attached file, or one that its provider has kept at `url`; then its content is empty here."""

    name: str
    content_type: str
    content: bytes
    charset: str | None = None
    """Of a text, if its sender names it."""
    url: str | None = None
    size: int = 0
    """In bytes, of a file at `url`."""

    @property
    def declared(self) -> str:
        """The type as its sender declares it."""
        return f"{self.content_type}; charset={self.charset}" if self.charset else self.content_type

    @property
    def is_for_machines(self) -> bool:
        """Whether it is a signature or mark of the mail, which means nothing to a reader."""
        return (
            self.content_type == REACTION or self.content_type in _SIGNATURES or self.name.lower() in _CALLED_SIGNATURES
        )


@dataclass(frozen=True)
class Mail:
    """A parsed mail from any provider. `recipients` are those of the envelope, if known."""

    headers: tuple[tuple[str, str], ...]
    text: str | None = None
    html: str | None = None
    files: tuple[File, ...] = ()
    recipients: tuple[str, ...] = ()
    reports: tuple[tuple[str, str], ...] = field(default=())
    """Machine-readable parts as (content type, text): delivery reports, receipts, complaints, returned mails."""

    def header(self, name: str) -> str:
        """The first header of a name, or an empty text."""
        return next(iter(self.all(name)), "")

    def all(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name]

    def addresses(self, *names: str) -> list[tuple[str, str]]:
        """The names and addresses in headers."""
        values = [value for name in names for value in self.all(name)]
        return [(name.strip(), settled(address)) for name, address in listed(values) if is_address(address)]

    def correspondents(self, *names: str) -> Iterator[tuple[str, str]]:
        """Those of the addresses that can be written to."""
        return (each for each in self.addresses(*names) if can_be_written_to(each[1]))

    @cached_property
    def sender(self) -> tuple[str, str]:
        """The sender's name and address. Raises Unreadable if there is none."""
        for name in ("from", "sender", "return-path"):
            for found in self.correspondents(name):
                return found
        raise Unreadable("there is no sender address")

    def correspondent(self, our_address: str | None) -> tuple[str, str]:
        """The name and address that a reply goes to, from Reply-To first: a website form has one sender for all guests.

        Our own address in Reply-To does not count. Raises Unreadable if there is no sender.
        """
        ours = plain(our_address) if our_address is not None else None
        others = (each for each in self.correspondents("reply-to") if plain(each[1]) != ours)
        return next(others, self.sender)

    @cached_property
    def reaction(self) -> str | None:
        """The emoji that the mail consists of, empty if it cannot be read; None for other mails."""
        found = next((each.content for each in self.files if each.content_type == REACTION), None)
        if found is None:
            return None
        try:
            told = text_only(json.loads(found))
            return str(told["emoji"])[:EMOJI_LIMIT] if isinstance(told, dict) else ""
        except (RecursionError, *BROKEN):
            return ""

    @cached_property
    def calendar_method(self) -> str | None:
        """What a calendar wants with the mail, such as `reply` or `request`; None for other mails."""
        calendar = next((each.content for each in self.files if each.content_type in _CALENDARS), b"")
        found = _METHOD.search(calendar)
        return found[1].decode().lower() if found is not None else None

    @cached_property
    def addressees(self) -> list[str]:
        """All known recipients."""
        named = self.addresses("to", "cc", "delivered-to", "x-original-to", "envelope-to", "x-forwarded-to")
        return [settled(each) for each in self.recipients] + [address for _, address in named]

    @cached_property
    def fingerprint(self) -> str:
        """An id by which repeats are recognised: hashed, because a Message-ID may name a person or a machine."""
        known = self.header("message-id").strip()
        if known.strip("<> "):
            return hashlib.sha256(known.encode()).hexdigest()[:40]
        digest = hashlib.sha256()
        for name in ("from", "date", "subject"):
            digest.update(f"{self.header(name)}\x1f".encode())
        for text in (self.text, self.html):
            digest.update(f"{text or ''}\x1f".encode())
        for file in self.files:
            digest.update(file.content if file.url is None else file.url.encode())
        return digest.hexdigest()[:40]


def read_mail(raw: bytes, recipients: tuple[str, ...] = ()) -> Mail:
    """Parses an RFC 5322 message. Raises Unreadable for anything else."""
    try:
        return _read(BytesParser(policy=email.policy.compat32).parsebytes(raw), recipients)
    except (RecursionError, *BROKEN) as error:
        raise Unreadable(f"it is not a valid e-mail ({type(error).__name__})") from error


def _read(message: Message, recipients: tuple[str, ...]) -> Mail:
    headers = read_headers(message)
    if not headers:
        raise Unreadable("there are no headers")
    texts: dict[str, list[str]] = {"text/plain": [], "text/html": []}
    files: list[File] = []
    reports: list[tuple[str, str]] = []
    for leaf in _leaves(message):
        kind, name = leaf.get_content_type(), _file_name(leaf)
        attached = leaf.get_content_disposition() == "attachment" or name is not None
        if kind in texts and not attached:
            texts[kind].append(decoded(_content(leaf), charset_of(leaf)))
            continue
        report = report_kind(kind)
        if report is not None:
            reports.append((report, decoded(_content(leaf), "utf-8")))
        if report not in ("message/delivery-status", "message/disposition-notification", "message/feedback-report"):
            files.append(File(name or default_name(kind), kind, _content(leaf), charset_of(leaf)))
    plain, html = ("\n".join(texts[kind]) if texts[kind] else None for kind in texts)
    return Mail(headers, plain, html, tuple(files), recipients, tuple(reports))


def listed(values: list[str]) -> list[tuple[str, str]]:
    """The names and addresses in address lists; none if the library cannot parse them."""
    try:
        return getaddresses(values)
    except (RecursionError, *BROKEN):
        return []


def read_headers(message: Message) -> tuple[tuple[str, str], ...]:
    """Headers with encoded words decoded, and without characters that are not text."""
    return tuple(read_header(str(name), str(value)) for name, value in message.raw_items())


def read_header(name: str, value: str) -> tuple[str, str]:
    """A header with encoded words decoded; in address headers only those in names."""
    return name, _decoded_addresses(value) if name.lower() in _OF_ADDRESSES else decoded_header(value)


def _decoded_addresses(value: str) -> str:
    """Decodes names only: the content of an encoded word is neither an address nor a separator.

    A header without any plain address is decoded as a whole, since some programs encode all of it.
    """
    words: list[str] = []

    def stand_in(word: re.Match[str]) -> str:
        words.append(word[0])
        return f"{_STAND_IN}{len(words) - 1}{_STAND_IN}"

    def written(text: str) -> str:
        return re.sub(f"{_STAND_IN}(\\d+){_STAND_IN}", lambda number: words[int(number[1])], text)

    parted = _ENCODED_WORD.sub(stand_in, value[:HEADER_LIMIT].replace(_STAND_IN, ""))
    found = [(decoded_header(written(name)), address) for name, address in listed([parted]) if is_address(address)]
    if not words or not found or any(_STAND_IN in address for _, address in found):
        return decoded_header(value)
    return ", ".join(f"{quoted(name)} <{address}>" if name else address for name, address in found)


def quoted(name: str) -> str:
    """A name quoted for use before an address."""
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'


def report_kind(content_type: str) -> str | None:
    """The type of a machine-readable part, whether in ASCII or not (RFC 6533); None for other parts."""
    kind = _GLOBAL.get(content_type, content_type)
    return kind if kind.startswith("message/") or kind == "text/rfc822-headers" else None


def default_name(content_type: str) -> str:
    return {"message/rfc822": "message.eml", "text/calendar": "invitation.ics"}.get(content_type, "attachment")


def _leaves(message: Message) -> Iterator[Message]:
    """The leaf parts. An enclosed mail is one part. Raises Unreadable if there are too many."""
    stack, count = [message], 0
    while stack:
        part = stack.pop()
        count += 1
        if count > PARTS_LIMIT:
            raise Unreadable(f"it has more than {PARTS_LIMIT} parts")
        payload = part.get_payload()
        if part.get_content_maintype() == "multipart" and isinstance(payload, list):
            stack.extend(reversed([each for each in payload if isinstance(each, Message)]))
        else:
            yield part


def _content(part: Message) -> bytes:
    payload = part.get_payload()
    if isinstance(payload, list):
        return b"\n".join(_flat(each) for each in payload if isinstance(each, Message))
    try:
        content = part.get_payload(decode=True)
    except BROKEN:
        content = str(payload).encode("utf-8", "replace")
    return content if isinstance(content, bytes) else b""


def _flat(message: Message) -> bytes:
    try:
        return message.as_bytes()
    except (RecursionError, *BROKEN):
        return "\n".join(f"{name}: {value}" for name, value in message.items()).encode("utf-8", "replace")


def charset_of(part: Message) -> str | None:
    try:
        return part.get_content_charset()
    except BROKEN:
        return None


def _file_name(part: Message) -> str | None:
    try:
        name = part.get_filename()
    except BROKEN:
        return default_name(part.get_content_type())
    return decoded_header(name) or None if name is not None else None
