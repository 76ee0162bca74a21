"""Mails notifications to staff, through the property's own mail server."""

import asyncio
import logging
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP as SMTP_FORM
from email.utils import format_datetime
from functools import partial
from typing import Final
from urllib.parse import quote

from activities.channels.email_addresses import mail_address, with_ascii_domain
from activities.channels.email_sender import hand_over, html_of
from activities.polling import poll_until
from activities.storage.mail_outbox import MailOutbox, NotificationMail, Sent
from settings import Settings

POLL_SECONDS: Final = 2.0
"""How often the outbox is checked."""

logger = logging.getLogger(__name__)

_SUBJECTS: Final = {
    "ai_timeout": "the AI did not answer",
    "delivery_failed": "a message was not delivered",
    "sla": "a guest has waited too long",
    "escalation": "a guest needs a person",
    "mention": "you were mentioned",
    "system": "a notice from the gateway",
}


class NotificationMails:
    """Sends the mails in the outbox one by one."""

    def __init__(self, settings: Settings, outbox: MailOutbox) -> None:
        self._settings = settings
        self._outbox = outbox

    async def run(self, stop: asyncio.Event) -> None:
        """Runs until told to stop, but finishes a mail being sent. PostgreSQL may be away meanwhile."""
        await poll_until(stop, partial(self.drain, stop), seconds=POLL_SECONDS, what="mailing notifications")

    async def drain(self, stop: asyncio.Event | None = None) -> None:
        """Tries every due mail once. Raises StorageAway.

        A mail server that fails is left alone until the next round: one that hangs would delay other properties' mails.
        """
        put_off: set[str] = set()

        async def send(mail: NotificationMail) -> Sent:
            sent = await self._send(mail)
            if sent is Sent.LATER:
                put_off.add(mail.property_id)
            return sent

        while (stop is None or not stop.is_set()) and await self._outbox.send_next(send, besides=put_off):
            pass

    async def _send(self, mail: NotificationMail) -> Sent:
        channel = self._settings.channels_of(mail.property_id).email
        if channel.smtp_host is None or channel.from_address is None:
            return Sent.REFUSED  # taken out of the settings meanwhile
        try:
            composed = self._compose(mail, channel.from_address)
        except ValueError:
            logger.warning("a notification cannot be mailed: an address is not valid")
            return Sent.REFUSED
        outcome = await hand_over(channel, mail.address, composed)
        if outcome.result == "failed":
            logger.warning("a notification cannot be mailed: %s", outcome.reason)
            return Sent.REFUSED
        return Sent.GONE if outcome.result == "sent" else Sent.LATER

    def _compose(self, mail: NotificationMail, from_address: str) -> EmailMessage:
        hotel = self._settings.properties.get(mail.property_id)
        name = hotel.name if hotel is not None else mail.property_id
        composed = EmailMessage(SMTP_FORM)
        composed["From"] = mail_address(name, from_address)
        composed["To"] = mail_address(mail.name, mail.address)
        composed["Subject"] = f"{name}: {_SUBJECTS.get(mail.kind, 'news')}"
        composed["Date"] = format_datetime(datetime.now(UTC))
        domain = with_ascii_domain(from_address).rpartition("@")[2]
        composed["Message-ID"] = f"<note.{quote(mail.notification_id, safe='')}.{mail.staff_id}@{domain}>"
        composed["Auto-Submitted"] = "auto-generated"
        text = "\n\n".join(part for part in (mail.text, self._link(mail), _WHY) if part)
        composed.set_content(text)
        composed.add_alternative(html_of(text), subtype="html")
        return composed

    def _link(self, mail: NotificationMail) -> str:
        base = self._settings.server.public_url
        if base is None:
            return ""
        query = f"?conversation={mail.conversation_id}" if mail.conversation_id is not None else ""
        return f"{base.rstrip('/')}/staff{query}"


_WHY: Final = (
    "You chose to get notifications of this kind by e-mail; you can change that in your account. Please do not reply."
)
