"""Outgoing e-mail: by SMTP, as text and HTML, in the guest's thread.

A mail system cannot be asked whether it accepted a mail. One that may have been sent is repeated under the same
Message-ID, by which mail systems and programs drop repeats.
"""

import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from email.headerregistry import BaseHeader, HeaderRegistry, UnstructuredHeader
from email.message import EmailMessage
from email.policy import SMTP, Policy
from email.utils import format_datetime
from html import escape
from typing import Final

import aiosmtplib

from activities.channels.email_addresses import Marks, OurMessage, mail_address, one_line, with_ascii_domain
from activities.channels.email_text import REPLY_PREFIX
from activities.channels.mailgun_files import MailgunFiles
from activities.media.store import MediaAway, MediaGone, MediaStore
from contracts.events import SendResult, SendResultKind
from contracts.media import own_media_id
from contracts.messages import Attachment, Author, OutboundMessage
from settings import EmailChannel, Settings, SettingsError

TIMEOUT_SECONDS: Final = 15
_LOOPBACK: Final = ("localhost", "127.0.0.1", "::1")
_STATUS: Final = re.compile(r"^\s*(\d\.\d{1,3}\.\d{1,3})\b")


class _MessageIds(UnstructuredHeader, BaseHeader):
    """A header of Message-IDs, one per line. Python would turn an id too long for a line into a broken encoded word."""

    def fold(self, *, policy: Policy) -> str:
        between = f"{policy.linesep} "
        return f"{self.name}: {between.join(self.split())}{policy.linesep}"


_HEADERS: Final = HeaderRegistry()
for _name in ("in-reply-to", "references"):
    _HEADERS.map_to_type(_name, _MessageIds)
SMTP_FORM: Final = SMTP.clone(header_factory=_HEADERS)


class EmailSender:
    def __init__(self, settings: Settings, media: MediaStore) -> None:
        self._settings = settings
        self._media = media
        self._kept_by_mailgun = MailgunFiles(settings)
        secret = settings.security.identity_secret
        self._marks = Marks(secret.get_secret_value()) if secret is not None else None

    async def send(self, property_id: str, message: OutboundMessage) -> SendResult:
        channel = self._settings.channels_of(property_id).email
        missing = [
            name
            for name, value in (("smtpHost", channel.smtp_host), ("fromAddress", channel.from_address))
            if not value
        ]
        if missing or self._marks is None:
            names = ", ".join(f"channels.email.{name}" for name in missing) or "security.identitySecret"
            return _result(message, "failed", f"{names}: not set")
        # Contexts of conversations from older releases may name the reply address here.
        recipient = with_ascii_domain(message.context.get("replyTo") or message.recipient_id)
        try:
            mail = await self._compose(property_id, channel, message, recipient, self._marks)
        except MediaAway as error:
            return _result(message, "retry", error.detail)
        except MediaGone as error:
            return _result(message, "failed", error.detail)
        except ValueError:
            return _result(message, "failed", "the guest's address or fromAddress cannot be used in an e-mail")
        outcome = await hand_over(channel, recipient, mail)
        return outcome.model_copy(update={"message_id": message.message_id})

    def fetch_media(self, property_id: str, attachment: Attachment) -> AsyncIterator[bytes]:
        """The content of a file that is not in the mail itself. Raises MediaError."""
        return self._kept_by_mailgun.fetch(property_id, attachment)

    async def close(self) -> None:
        await self._kept_by_mailgun.close()

    async def _compose(
        self, property_id: str, channel: EmailChannel, message: OutboundMessage, recipient: str, marks: Marks
    ) -> EmailMessage:
        our_address = _our_address(channel)
        ascii_only = (recipient + our_address).isascii()
        mail = EmailMessage(SMTP_FORM if ascii_only else SMTP_FORM.clone(utf8=True))
        hotel = self._settings.properties.get(property_id)
        name = channel.from_name or (hotel.name if hotel is not None else "")
        reply_to = marks.reply_address(property_id, our_address, message.conversation_id)
        our = OurMessage(message.conversation_id, message.message_id)
        mail["From"] = mail_address(name, our_address)
        mail["Reply-To"] = mail_address(name, reply_to)
        mail["To"] = mail_address("", recipient)
        mail["Subject"] = _subject(message.context.get("subject", ""), name)
        mail["Date"] = format_datetime(datetime.now(UTC))
        mail["Message-ID"] = marks.message_id(property_id, our, our_address.rpartition("@")[2])
        if (answered := message.context.get("messageId", "")) != "":
            mail["In-Reply-To"] = answered
            known = message.context.get("references", "").split()
            mail["References"] = " ".join(dict.fromkeys([*known, answered]))
        if message.author in (Author.AI, Author.SYSTEM):
            mail["Auto-Submitted"] = "auto-replied"
            mail["X-Auto-Response-Suppress"] = "OOF, AutoReply"
        files, links = await self._files(property_id, message.attachments)
        text = "\n\n".join(part for part in (message.content, "\n".join(links)) if part)
        mail.set_content(text)
        mail.add_alternative(html_of(text), subtype="html")
        for file, content in files:
            main, _, sub = file.content_type.partition("/")
            if main == "message":  # the library would encode it, and no reader decodes an enclosed mail
                main, sub = "application", "octet-stream"
            mail.add_attachment(content, maintype=main, subtype=sub or "octet-stream", filename=file.name)
        return mail

    async def _files(
        self, property_id: str, attachments: list[Attachment]
    ) -> tuple[list[tuple[Attachment, bytes]], list[str]]:
        """Our files with their content, and links to other files. Raises MediaAway and MediaGone."""
        files: list[tuple[Attachment, bytes]] = []
        links: list[str] = []
        for each in attachments:
            media_id = own_media_id(each.url)
            found = await self._media.find(media_id) if media_id is not None else None
            if media_id is None:
                links.append(f"{each.name}: {each.url}")
            elif found is None or found.property_id != property_id or found.refused is not None:
                raise MediaGone(f"The attachment {each.id} does not exist")
            else:
                files.append((found.attachment, await self._media.content(found)))
        return files, links


async def hand_over(channel: EmailChannel, recipient: str, mail: EmailMessage) -> SendResult:
    """Hands a mail to the property's mail server, once. The result's `message_id` is its Message-ID."""
    given, recipient = False, with_ascii_domain(recipient)
    try:
        raw = mail.as_bytes()
        async with _connected(channel) as server:
            await server.mail(_our_address(channel), options=_options(recipient, channel))
            await server.rcpt(recipient, encoding="utf-8")
            given = True
            await server.data(raw)
    except (aiosmtplib.SMTPResponseException, aiosmtplib.SMTPRecipientsRefused) as error:
        return _refused(mail, error)
    except aiosmtplib.SMTPNotSupported:
        return _of(mail, "failed", "the mail server does not support non-ASCII addresses")
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        if isinstance(error, ssl.SSLCertVerificationError):
            return _of(mail, "retry", "the mail server's certificate is not trusted")
        result = _of(mail, "retry", f"the mail server cannot be reached ({type(error).__name__})")
        result.unsure = given
        return result
    except (SettingsError, ValueError) as error:
        return _of(mail, "failed", str(error) if isinstance(error, SettingsError) else "the e-mail cannot be composed")
    return _of(mail, "sent")


async def why_no_mail_leaves(channel: EmailChannel) -> str | None:
    """Why the mail server refuses us or our address, found without sending; None if it accepts them."""
    try:
        async with _connected(channel) as server:
            await server.mail(_our_address(channel), options=_options("", channel))
    except SettingsError as error:
        return str(error)
    except aiosmtplib.SMTPAuthenticationError as error:
        return f"the mail server answered {error.code}; check smtpUser and smtpPassword"
    except aiosmtplib.SMTPResponseException as error:
        return f"the mail server answered {error.code} to fromAddress"
    except aiosmtplib.SMTPNotSupported:
        return "the mail server does not support the non-ASCII characters in fromAddress"
    except (aiosmtplib.SMTPException, OSError, TimeoutError) as error:
        if isinstance(error, ssl.SSLCertVerificationError):
            return "the mail server's certificate is not trusted"
        return f"the mail server cannot be reached ({type(error).__name__}); check smtpHost, smtpPort and smtpTls"
    return None


@asynccontextmanager
async def _connected(channel: EmailChannel) -> AsyncIterator[aiosmtplib.SMTP]:
    """A connection, closed with QUIT after success and at once after an error. Errors of closing are ignored."""
    server = _server(channel)
    try:
        await server.connect()
        yield server
        with suppress(aiosmtplib.SMTPException, OSError, TimeoutError):
            await server.quit()
    finally:
        server.close()


def _server(channel: EmailChannel) -> aiosmtplib.SMTP:
    """An unopened connection. Raises SettingsError if a password would be sent without TLS."""
    assert channel.smtp_host is not None
    local = channel.smtp_host in _LOOPBACK
    if channel.smtp_password is not None and channel.smtp_tls == "none" and not local:
        raise SettingsError(
            "channels.email.smtpTls: `none` would send the password unencrypted; use `starttls` or `implicit`"
        )
    implicit = channel.smtp_tls == "implicit" or (channel.smtp_tls == "auto" and channel.smtp_port == 465)
    start: dict[str, bool | None] = {
        "auto": True if channel.smtp_password is not None and not local else None,
        "starttls": True,
        "implicit": False,
        "none": False,
    }
    return aiosmtplib.SMTP(
        hostname=channel.smtp_host,
        port=channel.smtp_port,
        username=channel.smtp_user,
        password=channel.smtp_password.get_secret_value() if channel.smtp_password is not None else None,
        local_hostname=_our_address(channel).rpartition("@")[2] or None,
        timeout=TIMEOUT_SECONDS,
        use_tls=implicit,
        start_tls=False if implicit else start[channel.smtp_tls],
    )


def _options(recipient: str, channel: EmailChannel) -> list[str]:
    """SMTP options: non-ASCII characters before the @ need a server that supports SMTPUTF8."""
    return [] if (recipient + _our_address(channel)).isascii() else ["SMTPUTF8"]


def _our_address(channel: EmailChannel) -> str:
    return with_ascii_domain(channel.from_address or "")


def _refused(
    mail: EmailMessage, error: aiosmtplib.SMTPResponseException | aiosmtplib.SMTPRecipientsRefused
) -> SendResult:
    """The result: 4xx may be accepted later, 5xx never. The server's text may name the guest and is left out."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        error = error.recipients[0]
    status = _STATUS.match(error.message)
    said = f"{error.code} {status.group(1)}" if status else str(error.code)
    return _of(mail, "failed" if 500 <= error.code < 600 else "retry", f"the mail server answered {said}")


def _subject(subject: str, hotel: str) -> str:
    """The subject with a single `Re:`."""
    topic = one_line(REPLY_PREFIX.sub("", subject))
    if subject:
        return f"Re: {topic}"
    return f"A message from {one_line(hotel)}" if hotel else "A message for you"


def html_of(text: str) -> str:
    """The text as HTML, with paragraphs, line breaks and links."""
    escaped = escape(text)
    linked = re.sub(r"https?://[^\s<>&\"']+(?:&amp;[^\s<>&\"']+)*", lambda found: _link(found.group()), escaped)
    paragraphs = "".join(
        f'<p dir="auto">{each.strip().replace(chr(10), "<br>")}</p>'
        for each in re.split(r"\n\s*\n", linked)
        if each.strip()
    )
    return f'<!DOCTYPE html><html><head><meta charset="utf-8"></head><body>{paragraphs}</body></html>'


def _link(address: str) -> str:
    end = len(address) - len(address.rstrip(".,;:!?)"))
    shown = address[: len(address) - end] if end else address
    return f'<a href="{shown}">{shown}</a>{address[len(shown) :]}'


def _of(mail: EmailMessage, result: SendResultKind, reason: str | None = None) -> SendResult:
    return SendResult(message_id=str(mail["Message-ID"]), result=result, reason=reason)


def _result(message: OutboundMessage, result: SendResultKind, reason: str) -> SendResult:
    return SendResult(message_id=message.message_id, result=result, reason=reason)
