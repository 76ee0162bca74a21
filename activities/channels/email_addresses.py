"""Checks mail addresses, and creates and reads the tokens in ours.

Tokens are part of the hotel's address and of our Message-IDs, and lead replies and bounces to their conversation. They
contain a keyed hash, so that nobody can write into a conversation, or mark a message as failed, by guessing.
"""

import base64
import hashlib
import hmac
import re
from dataclasses import dataclass
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP as SMTP_FORM
from typing import Final

import idna

_CONVERSATION: Final = r"[a-z2-7]{26}-[0-9a-f]{8}"
_TOKEN: Final = re.compile(r"(?P<contact>[a-z2-7]{26})(?P<run>[0-9a-f]{8})(?P<mark>[a-z2-7]{10})")
_MESSAGE_ID: Final = re.compile(
    rf"gw\.(?P<conversation>{_CONVERSATION})\.(?P<message>[A-Za-z0-9_-]{{1,180}})\.(?P<mark>[a-z2-7]{{16}})@"
)
LOCAL_PART: Final = 64
"""How many characters an address may have before the @ (RFC 5321)."""


@dataclass(frozen=True, slots=True)
class OurMessage:
    """The ids of a message that we sent."""

    conversation_id: str
    message_id: str


class Marks:
    """Creates and reads tokens under the gateway's identity secret. A property's tokens are invalid at others."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def reply_address(self, property_id: str, address: str, conversation_id: str) -> str:
        """The hotel's address with the conversation's token, or without if it would be too long for an address."""
        local, _, domain = address.rpartition("@")
        token = conversation_id.replace("-", "") + self._mark("reply", property_id, conversation_id)[:10]
        marked = f"{local}+{token}"
        return f"{marked}@{domain}" if len(marked) <= LOCAL_PART else address

    def conversation_of(self, property_id: str, addresses: list[str]) -> str | None:
        """The conversation of the first valid token in the addresses."""
        for address in addresses:
            local = address.lower().rpartition("@")[0] or address.lower()
            found = _TOKEN.fullmatch(local.rpartition("+")[2])
            if found is None:
                continue
            conversation_id = f"{found['contact']}-{found['run']}"
            if hmac.compare_digest(self._mark("reply", property_id, conversation_id)[:10], found["mark"]):
                return conversation_id
        return None

    def message_id(self, property_id: str, message: OurMessage, domain: str) -> str:
        """The Message-ID of our message: the same on every attempt, so that mail systems can drop repeats."""
        name = base64.urlsafe_b64encode(message.message_id.encode()).decode().rstrip("=")
        mark = self._mark("message", property_id, f"{message.conversation_id}.{name}")[:16]
        return f"<gw.{message.conversation_id}.{name}.{mark}@{domain}>"

    def messages_in(self, property_id: str, text: str) -> list[OurMessage]:
        """Our messages whose Message-IDs appear in a text."""
        return [
            OurMessage(found["conversation"], _unpadded(found["message"]))
            for found in _MESSAGE_ID.finditer(text)
            if hmac.compare_digest(
                self._mark("message", property_id, f"{found['conversation']}.{found['message']}")[:16], found["mark"]
            )
        ]

    def _mark(self, purpose: str, property_id: str, text: str) -> str:
        message = "\x1f".join(("email", purpose, property_id, text)).encode()
        return base64.b32encode(hmac.new(self._secret, message, hashlib.sha256).digest()).decode().lower()


def settled(address: str) -> str:
    """The form by which an address is known: in lower case, since no mail system today distinguishes Ana@ from ana@."""
    return with_ascii_domain(address.strip().lower())


def with_ascii_domain(address: str) -> str:
    """An address with its domain in ASCII (IDNA), as every mail server knows it. What is no domain stays as it is."""
    local, at, domain = address.rpartition("@")
    try:
        return f"{local}{at}{domain if domain.isascii() else idna.encode(domain, uts46=True).decode()}"
    except idna.IDNAError:
        return address


def is_address(address: str) -> bool:
    """Whether this has the form of an address. The standard library may still fail to parse it."""
    local, at, domain = address.strip().rpartition("@")
    return bool(local and at and domain) and len(address) <= 254 and address.isprintable() and " " not in address


def can_be_written_to(address: str) -> bool:
    """Whether this can be the recipient of a mail."""
    try:
        mail_address("", address)
    except ValueError:
        return False
    return is_address(address)


def mail_address(name: str, address: str) -> Address:
    """An address for a header. Raises ValueError if it is none."""
    local, _, domain = with_ascii_domain(address).rpartition("@")
    if not local or not domain:
        raise ValueError("an address must have a name, an @ and a domain")
    try:
        written = Address(one_line(name), username=local, domain=domain)
        EmailMessage(SMTP_FORM)["To"] = written
    except Exception:  # the library raises anything here, AttributeError, IndexError and UnboundLocalError among it
        raise ValueError("the address cannot be used in an e-mail") from None
    return written


def one_line(text: str) -> str:
    return " ".join(text.split())


def plain(address: str) -> str:
    """An address without its `+` suffix."""
    local, _, domain = settled(address).rpartition("@")
    return f"{local.partition('+')[0]}@{domain}"


def _unpadded(name: str) -> str:
    return base64.urlsafe_b64decode(name + "=" * (-len(name) % 4)).decode()
