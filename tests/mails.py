"""Mails as guests and machines write them, and the forms in which providers bring them."""

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from urllib.parse import urlencode

import httpx

from tests.api import Api

HOTEL_ADDRESS = "hello@hotel.test"
RAW_SECRET = "the raw secret"
MAILGUN_KEY = "key-of-mailgun"
POSTMARK_SECRET = "postmark secret"
SENDGRID_SECRET = "sendgrid secret"
CRASHING = ["a@[", '".@é\t,<', "(@[\t"]
"""Addresses over which Python's e-mail library stumbles: AttributeError, IndexError, UnboundLocalError."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A request that a provider makes."""

    content: bytes
    headers: dict[str, str]
    auth: httpx.Auth = httpx.Auth()  # noqa: RUF009 - it holds nothing


def mail_from(sender: str, text: str | None = "Is there a pool?", **headers: str) -> EmailMessage:
    """A mail of a guest. Headers by keyword, with `_` for `-`; an empty one is left out."""
    mail = EmailMessage()
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    usual = {
        "From": f"Ana Souza <{sender}>",
        "To": HOTEL_ADDRESS,
        "Subject": "A question",
        "Message-ID": f"<{uuid.uuid4().hex}@guest.test>",
        "Date": "Mon, 23 Nov 2026 10:00:00 +0000",
    }
    for name, value in {**usual, **given}.items():
        if value:
            mail[name] = value
    if text is not None:
        mail.set_content(text)
    return mail


def raw(mail: bytes, hotel: str = "") -> Parcel:
    return Parcel(mail, {"X-Gateway-Secret": RAW_SECRET, "Content-Type": "message/rfc822"})


def mailgun(mail: bytes) -> Parcel:
    """A route's `forward()`: the parsed mail as a form, with Mailgun's signature in it."""
    message = _parsed(mail)
    fields = {
        "recipient": _address(message["To"]),
        "sender": _address(message["From"]),
        "from": str(message["From"] or ""),
        "subject": str(message["Subject"] or ""),
        "body-plain": _text(message, "plain") or "",
        "stripped-text": "not read by us",
        "message-headers": json.dumps([[name, str(value)] for name, value in message.items()]),
        **mailgun_signature(),
    }
    if (html := _text(message, "html")) is not None:
        fields["body-html"] = html
    files = _files(message)
    if not files:
        return Parcel(urlencode(fields).encode(), {"Content-Type": "application/x-www-form-urlencoded"})
    fields["attachment-count"] = str(len(files))
    named = {f"attachment-{number}": file for number, file in enumerate(files, start=1)}
    return _multipart(fields, named)


def mailgun_signature(key: str = MAILGUN_KEY, at: datetime | None = None) -> dict[str, str]:
    timestamp, token = str(int((at or datetime.now(UTC)).timestamp())), uuid.uuid4().hex
    signature = hmac.new(key.encode(), f"{timestamp}{token}".encode(), hashlib.sha256).hexdigest()
    return {"timestamp": timestamp, "token": token, "signature": signature}


def postmark(mail: bytes) -> Parcel:
    """Postmark's inbound webhook: JSON, with the password of the URL."""
    message = _parsed(mail)
    named = ("from", "to", "cc", "subject", "date", "reply-to")
    body = {
        "FromName": "",
        "MessageStream": "inbound",
        "From": str(message["From"] or ""),
        "FromFull": {"Email": _address(message["From"]), "Name": "", "MailboxHash": ""},
        "To": str(message["To"] or ""),
        "Cc": str(message["Cc"] or ""),
        "OriginalRecipient": _address(message["To"]),
        "Subject": str(message["Subject"] or ""),
        "MessageID": str(uuid.uuid4()),
        "ReplyTo": str(message["Reply-To"] or ""),
        "MailboxHash": "",
        "Date": str(message["Date"] or ""),
        "TextBody": _text(message, "plain") or "",
        "HtmlBody": _text(message, "html") or "",
        "StrippedTextReply": "",
        "Tag": "",
        "Headers": [
            {"Name": name, "Value": str(value)} for name, value in message.items() if name.lower() not in named
        ],
        "Attachments": [
            {
                "Name": name,
                "Content": base64.b64encode(content).decode(),
                "ContentType": kind,
                "ContentLength": len(content),
                "ContentID": "",
            }
            for name, content, kind in _files(message)
        ],
    }
    headers = {"Content-Type": "application/json"}
    return Parcel(json.dumps(body).encode(), headers, httpx.BasicAuth("gateway", POSTMARK_SECRET))


def sendgrid(mail: bytes) -> Parcel:
    """SendGrid's Inbound Parse: a multipart form, texts in the charsets that it names."""
    message = _parsed(mail)
    files = _files(message)
    fields = {
        "headers": "".join(f"{name}: {value}\n" for name, value in message.items()),
        "dkim": "none",
        "to": str(message["To"] or ""),
        "from": str(message["From"] or ""),
        "subject": str(message["Subject"] or ""),
        "text": _text(message, "plain") or "",
        "sender_ip": "192.0.2.1",
        "envelope": json.dumps({"to": [_address(message["To"])], "from": _address(message["From"])}),
        "attachments": str(len(files)),
        "charsets": json.dumps({"to": "UTF-8", "from": "UTF-8", "subject": "UTF-8", "text": "utf-8"}),
        "SPF": "pass",
    }
    if (html := _text(message, "html")) is not None:
        fields["html"] = html
    parcel = _multipart(fields, {f"attachment{number}": file for number, file in enumerate(files, start=1)})
    return Parcel(parcel.content, parcel.headers, httpx.BasicAuth("gateway", SENDGRID_SECRET))


PROVIDERS: dict[str, Callable[[bytes], Parcel]] = {
    "raw": raw,
    "mailgun": mailgun,
    "postmark": postmark,
    "sendgrid": sendgrid,
}


async def bring(api: Api, hotel: str, mail: EmailMessage | bytes, provider: str = "raw") -> httpx.Response:
    """Posts a mail as the provider does."""
    return await post(api, hotel, provider, PROVIDERS[provider](bytes(mail)))


async def post(api: Api, hotel: str, provider: str, parcel: Parcel) -> httpx.Response:
    return await api.http.post(
        f"/webhooks/email/{provider}/{hotel}", content=parcel.content, headers=parcel.headers, auth=parcel.auth
    )


def report_mail(kind: str, machine: str, original: str, **headers: str) -> bytes:
    """A `multipart/report`: words for people, fields for machines, and the headers of the mail it is about."""
    usual = {
        "From": "Mail Delivery Subsystem <mailer-daemon@mx.guest.test>",
        "To": HOTEL_ADDRESS,
        "Subject": "Report",
        "Message-ID": f"<{uuid.uuid4().hex}@mx.guest.test>",
        "MIME-Version": "1.0",
        "Content-Type": f'multipart/report; report-type={kind}; boundary="b"',
    }
    lines = [
        f"{name}: {value}" for name, value in {**usual, **{k.replace("_", "-"): v for k, v in headers.items()}}.items()
    ]
    parts = [
        "Content-Type: text/plain\n\nThis is about a mail of yours.\n",
        f"Content-Type: message/{kind}\n\n{machine}\n",
        f"Content-Type: message/rfc822\n\n{original}\n",
    ]
    body = "".join(f"--b\n{part}" for part in parts)
    return ("\n".join(lines) + f"\n\n{body}--b--\n").encode()


def _multipart(fields: dict[str, str], files: dict[str, tuple[str, bytes, str]]) -> Parcel:
    request = httpx.Request(
        "POST",
        "http://x",
        files=[
            *((name, (None, value.encode())) for name, value in fields.items()),
            *((field, (name, content, kind)) for field, (name, content, kind) in files.items()),
        ],
    )
    return Parcel(request.read(), {"Content-Type": request.headers["content-type"]})


def _parsed(mail: bytes) -> EmailMessage:
    message = message_from_bytes(mail, policy=policy.default)
    assert isinstance(message, EmailMessage)
    return message


def _text(message: EmailMessage, kind: str) -> str | None:
    body = message.get_body((kind,))
    return str(body.get_content()) if body is not None else None


def _files(message: EmailMessage) -> list[tuple[str, bytes, str]]:
    found = []
    for part in message.walk():
        kind = part.get_content_type()
        is_text = kind in ("text/plain", "text/html") or part.is_multipart()
        if part.get_content_disposition() == "attachment" or kind.startswith("message/") or not is_text:
            content = part.get_payload(decode=True)
            if not isinstance(content, bytes):
                content = b"\n".join(bytes(each) for each in part.get_payload() if isinstance(each, EmailMessage))
            charset = part.get_content_charset()
            declared = f"{kind}; charset={charset}" if charset else kind
            found.append((part.get_filename() or kind.replace("/", "."), content, declared))
    return found


def _address(value: object) -> str:
    return str(value or "").rpartition("<")[2].rstrip(">").strip()
