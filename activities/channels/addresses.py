"""Addresses as the networks themselves write them, so that who is written to first is known when they answer."""

import re
from typing import Final

from activities.channels import email, twilio, whatsapp
from activities.channels.email_addresses import can_be_written_to
from contracts.problems import Invalid

_BETWEEN: Final = str.maketrans("", "", " -.()/\u00a0")
_NUMBER: Final = re.compile(r"(?:\+|00)([1-9][0-9]{6,14})", re.ASCII)
_DIGITS: Final = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
_USER_ID: Final = re.compile(r"[A-Z]{2}\.[A-Za-z0-9.]{1,128}", re.ASCII)


def address(adapter: str, recipient_id: str) -> str:
    """A recipient as the adapter's network names them. Raises Invalid for what is none there."""
    if adapter == email.ADAPTER:
        return _mail_address(recipient_id.strip().lower())
    if adapter not in (whatsapp.ADAPTER, twilio.ADAPTER) or _is_settled(adapter, recipient_id):
        return recipient_id
    number = _NUMBER.fullmatch(recipient_id.translate(_BETWEEN))
    if number is None:
        raise Invalid("recipientId: must be a number in international form, such as +351910000000", field="recipientId")
    return number[1] if adapter == whatsapp.ADAPTER else f"+{number[1]}"


def _mail_address(written: str) -> str:
    """In small letters, as the sender of a mail is known: no mail system of today tells Ana@ from ana@."""
    if not can_be_written_to(written):
        raise Invalid("recipientId: must be an address that a mail can go to", field="recipientId")
    return written


def _is_settled(adapter: str, recipient_id: str) -> bool:
    """What a network wrote itself: a user id, WhatsApp's bare digits, or Twilio's address of a WhatsApp guest."""
    if adapter == twilio.ADAPTER:
        return recipient_id.startswith(twilio.WHATSAPP)
    return (
        bool(_USER_ID.fullmatch(recipient_id)) or re.fullmatch(r"[1-9][0-9]{6,14}", recipient_id, re.ASCII) is not None
    )
