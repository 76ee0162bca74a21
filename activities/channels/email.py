"""Incoming e-mail: what a mail means, and for which conversation. Pure; providers' formats are parsed elsewhere.

A valid token in an address leads to its conversation, whoever writes. The subject never does.
"""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from activities.channels.email_addresses import Marks, OurMessage, settled
from activities.channels.email_kinds import Kind, is_machine_readable, kind_of
from activities.channels.email_reading import File, Mail, listed
from activities.channels.email_text import said_in, whole_text
from contracts.messages import DeliveryState, GuestMessage, Route
from contracts.names import GUEST_CONTENT_LIMIT, contact_key_of

ADAPTER: Final = "email"
NAME_LIMIT: Final = 200
SENDER_LIMIT: Final = 256
SUBJECT_LIMIT: Final = 250
_RECIPIENT: Final = re.compile(r"^(?:original-rcpt-to|removal-recipient):\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_NAMED: Final = re.compile(r"^(?:x-)?(?:original-)?message-id:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
REFERENCES: Final = 10
"""How many mails of a thread a reply references: the first and the newest ones."""


@dataclass(frozen=True, slots=True)
class Report:
    """A mail system's report on one of our messages."""

    about: OurMessage
    state: Literal[DeliveryState.FAILED, DeliveryState.DELIVERED, DeliveryState.READ]


Alone = Literal["start", "keep", "drop"]
"""What becomes of a mail whose conversation is not open: it starts one, is kept in quarantine, or is of no use."""


@dataclass(frozen=True, slots=True)
class Inbound:
    """What came in: a message for a conversation, or reports on our messages.

    The conversation is that of `contact_key`, else of the guest at `contact_address`, else of the reply address.
    """

    kind: Kind
    message: GuestMessage | None = None
    contact_key: str | None = None
    contact_address: str | None = None
    files: tuple[File, ...] = ()
    reports: tuple[Report, ...] = ()
    alone: Alone = "start"


def understand(
    mail: Mail, *, property_id: str, our_address: str | None, marks: Marks, received_at: datetime
) -> Inbound:
    """Classifies a mail and turns it into a message or reports. Raises Unreadable if it names no sender.

    Bounces and receipts of our messages become reports. Everything else is shown in a conversation, with a reason if it
    must not be answered; what a mail system writes about mails starts none, for its sender is nobody to write to.
    """
    kind = kind_of(mail, our_address)
    about = [] if kind in (Kind.GUEST, Kind.OWN) else _ours(mail, property_id, marks)
    state = _state(kind, mail)
    if about and state is not None:
        return Inbound(kind, reports=tuple(Report(each, state) for each in about))
    conversation_id = marks.conversation_of(property_id, mail.addressees)
    if conversation_id is None and about:
        conversation_id = about[0].conversation_id
    complainer = _complainer(mail) if kind is Kind.COMPLAINT else None
    content, files = _words(mail)
    name, address = mail.correspondent(our_address)
    return Inbound(
        kind,
        GuestMessage(
            id=mail.fingerprint,
            route=Route(
                adapter=ADAPTER,
                channel_id=our_address or _addressee(mail),
                sender_id=address[:SENDER_LIMIT],
                context=_thread(mail),
            ),
            content=content,
            guest_name=name[:NAME_LIMIT] or None if kind is Kind.GUEST else None,
            sent_at=received_at,  # the Date header is the sender's clock, and often wrong
            received_at=received_at,
            suppressed=None if kind is Kind.GUEST else kind.value,
            opts="out" if kind is Kind.COMPLAINT and (conversation_id or complainer) else None,
        ),
        contact_key_of(conversation_id) if conversation_id is not None else None,
        complainer,
        files,
        alone=_alone(kind, mail),
    )


def _ours(mail: Mail, property_id: str, marks: Marks) -> list[OurMessage]:
    """Our messages that a report is about: those it names by Message-ID, or else all that it quotes.

    Ids in the References of the returned mail do not count: they name earlier mails, which did arrive.
    """
    texts = [*(text for _, text in mail.reports), mail.text or "", mail.html or ""]
    named = [*mail.all("x-original-message-id"), *(each for text in texts for each in _NAMED.findall(text))]
    quoted = [*texts, *mail.all("in-reply-to"), *mail.all("references")]
    return _messages_in(named, property_id, marks) or _messages_in(quoted, property_id, marks)


def _messages_in(texts: list[str], property_id: str, marks: Marks) -> list[OurMessage]:
    return list(dict.fromkeys(found for text in texts for found in marks.messages_in(property_id, text)))


def _state(kind: Kind, mail: Mail) -> Literal[DeliveryState.FAILED, DeliveryState.DELIVERED, DeliveryState.READ] | None:
    if kind is Kind.RECEIPT:
        disposition = "\n".join(text for name, text in mail.reports if name == "message/disposition-notification")
        return DeliveryState.READ if "displayed" in disposition.lower() else None
    if kind is Kind.BOUNCE:
        return DeliveryState.FAILED
    return DeliveryState.DELIVERED if kind is Kind.DELIVERED else None


def _alone(kind: Kind, mail: Mail) -> Alone:
    match kind:
        case Kind.RECEIPT | Kind.DELIVERED:
            return "drop"
        case Kind.DELAY if is_machine_readable(mail):
            return "drop"
        case Kind.BOUNCE | Kind.DELAY | Kind.COMPLAINT:
            return "keep"  # by its words or sender a person's mail may look like one
    return "start"


def _complainer(mail: Mail) -> str | None:
    """Who complained, if the provider says so."""
    for _, text in mail.reports:
        for _, address in listed(_RECIPIENT.findall(text)):
            if "@" in address:
                return settled(address)
    return None


def _words(mail: Mail) -> tuple[str, tuple[File, ...]]:
    """The visible text and the attached files."""
    if mail.reaction:
        return f"[Reacted {mail.reaction} to a message]", ()
    subject = mail.header("subject")[:SUBJECT_LIMIT]
    content = said_in(subject, mail.text, mail.html)
    files = tuple(each for each in mail.files if not each.is_for_machines)
    if not content and not files:
        content = subject
    if len(content) > GUEST_CONTENT_LIMIT:  # the full text is attached as a file
        files = (*files, File("message.txt", "text/plain", whole_text(mail.text, mail.html).encode()))
        content = content[:GUEST_CONTENT_LIMIT].rstrip() + " …"
    return content, files


def _thread(mail: Mail) -> dict[str, str]:
    """What a reply needs to appear in the thread."""
    message_id = mail.header("message-id")
    references = _ids(mail.header("references") or mail.header("in-reply-to"))
    if len(references) > REFERENCES:
        references = [references[0], *references[1 - REFERENCES :]]
    context = {
        "messageId": next(iter(_ids(message_id)), ""),
        "references": " ".join(references),
        "subject": mail.header("subject")[:SUBJECT_LIMIT],
    }
    return {key: value for key, value in context.items() if value}


def _ids(header: str) -> list[str]:
    return [
        each
        for each in header.split()
        if each.startswith("<") and each.endswith(">") and each.isascii() and each.isprintable() and len(each) <= 250
    ]


def _addressee(mail: Mail) -> str:
    return next(iter(mail.addressees), "unknown")[:SENDER_LIMIT]
