"""Normalises addresses to the networks' own form, so that somebody we write to first is recognised when they answer."""

import re
from typing import Final

from activities.channels import email, twilio, whatsapp
from activities.channels.email_addresses import can_be_written_to, settled
from contracts.problems import Invalid

_BETWEEN: Final = str.maketrans("", "", " -.()/\u00a0")
_NUMBER: Final = re.compile(r"(?:\+|00)([1-9][0-9]{6,14})", re.ASCII)
_DIGITS: Final = re.compile(r"[1-9][0-9]{6,14}", re.ASCII)
_USER_ID: Final = re.compile(r"[A-Z]{2}\.[A-Za-z0-9.]{1,128}", re.ASCII)


def address(adapter: str, recipient_id: str) -> str:
    """A recipient in the form of the adapter's network. Raises Invalid if it is not an address there."""
    if adapter == email.ADAPTER:
        return _mail_address(recipient_id)
    if adapter not in (whatsapp.ADAPTER, twilio.ADAPTER) or _is_settled(adapter, recipient_id):
        return recipient_id
    number = _NUMBER.fullmatch(recipient_id.translate(_BETWEEN))
    if number is None:
        raise Invalid("recipientId: must be a number in international form, such as +351910000000", field="recipientId")
    return number[1] if adapter == whatsapp.ADAPTER else f"+{number[1]}"


def _mail_address(written: str) -> str:
    known_as = settled(written)
    if not can_be_written_to(known_as):
        raise Invalid("recipientId: must be an e-mail address", field="recipientId")
    return known_as


def _is_settled(adapter: str, recipient_id: str) -> bool:
    """Whether it already has a network's own form: a user id, WhatsApp's bare digits, or a Twilio WhatsApp address."""
    if adapter == twilio.ADAPTER:
        return recipient_id.startswith(twilio.WHATSAPP)
    return (
        bool(_USER_ID.fullmatch(recipient_id)) or re.fullmatch(r"[1-9][0-9]{6,14}", recipient_id, re.ASCII) is not None
    )
