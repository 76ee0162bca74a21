"""Whatever comes as a mail, or as a provider's form of one, is read or told to be unreadable."""

import contextlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from activities.channels.email import understand
from activities.channels.email_addresses import Marks
from activities.channels.email_providers import mailgun_mail, postmark_mail, read_form, sendgrid_mail
from activities.channels.email_reading import Mail, Unreadable, read_mail
from tests.mails import HOTEL_ADDRESS

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOTEL = "hotel"
MARKS = Marks("secret")
ANA = "ana@guest.test"

_NAMES = ("From", "To", "Cc", "Subject", "Message-ID", "References", "Reply-To", "Return-Path", "List-Id", "X-Other")
_MIME_NAMES = ("Content-Type", "Content-Transfer-Encoding", "Content-Disposition", "MIME-Version", "Auto-Submitted")
_WORDS = (ANA, f"Ana <{ANA}>", "=?utf-8?b?!!?=", "=?x?q?=ff?=", "<>", "=", "base64", "quoted-printable", "x-uuencode")
_TYPES = ("multipart/mixed; boundary=b", "multipart/report", "message/rfc822", "text/html; charset=idna")
_PARAMETERS = ("attachment; filename*=x'y'%ff", "attachment; filename*0*=utf-8''%e", 'text/plain; charset="')
_HEADER = st.sampled_from((*_NAMES, *_MIME_NAMES))
_VALUE = st.text(max_size=80) | st.sampled_from((*_WORDS, *_TYPES, *_PARAMETERS, "message/delivery-status"))
_BODY = st.one_of(
    st.binary(max_size=400),
    st.text(max_size=400).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.lists(st.sampled_from([b"--b", b"--b--", b"Content-Type: message/rfc822", b"", b"From: x@y.z", b"> a"])).map(
        b"\n".join
    ),
)
ANY_MAIL = st.one_of(
    st.binary(max_size=500),
    st.builds(
        lambda headers, body: (
            "".join(f"{name}: {value}\n" for name, value in headers).encode("utf-8", "surrogatepass") + b"\n" + body
        ),
        st.lists(st.tuples(_HEADER, _VALUE), max_size=8),
        _BODY,
    ),
)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.text(), each),
)
_FIELDS = st.dictionaries(
    st.sampled_from(["from", "to", "subject", "text", "html", "headers", "envelope", "charsets", "email", "body-plain"])
    | st.sampled_from(["message-headers", "recipient", "body-mime", "sender", "body-html"]),
    st.text(max_size=200).map(str)
    | st.sampled_from(["[[1]]", '{"to": 1}', "[]", '[["From", "a@b.c"]]', f"From: {ANA}\n"]),
)


def _reads(raw: bytes) -> None:
    _is_read_or_told(lambda: read_mail(raw))


def _reads_forms(fields: dict[str, str], postmark: object, body: bytes) -> None:
    encoded = urlencode(fields, errors="replace").encode()
    forms = (("application/x-www-form-urlencoded", encoded), ("multipart/form-data; boundary=b", body))
    for content_type, content in forms:
        _is_read_or_told(lambda: mailgun_mail(read_form(content_type, content)))  # noqa: B023 - called at once
        _is_read_or_told(lambda: sendgrid_mail(read_form(content_type, content)))  # noqa: B023
    _is_read_or_told(lambda: postmark_mail(json.dumps(postmark).encode()))
    _is_read_or_told(lambda: postmark_mail(body))


def _is_read_or_told(read: Callable[[], Mail]) -> None:
    with contextlib.suppress(Unreadable):
        understand(read(), property_id=HOTEL, our_address=HOTEL_ADDRESS, marks=MARKS, received_at=NOW)


_POSTMARK = _JSON | st.fixed_dictionaries(
    {"From": _VALUE}, optional={"Headers": _JSON, "Attachments": _JSON, "TextBody": st.text(), "RawEmail": st.text()}
)
_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]


@settings(max_examples=200, deadline=None, suppress_health_check=_SLOW)
@given(raw=ANY_MAIL)
def test_any_mail_is_read_or_told(raw: bytes) -> None:
    _reads(raw)


@settings(max_examples=200, deadline=None, suppress_health_check=_SLOW)
@given(fields=_FIELDS, postmark=_POSTMARK, body=_BODY)
def test_any_form_is_read_or_told(fields: dict[str, str], postmark: object, body: bytes) -> None:
    _reads_forms(fields, postmark, body)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@settings(max_examples=10_000, deadline=None, suppress_health_check=_SLOW)
@given(raw=ANY_MAIL)
def test_any_of_many_mails_is_read_or_told(raw: bytes) -> None:
    _reads(raw)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@settings(max_examples=10_000, deadline=None, suppress_health_check=_SLOW)
@given(fields=_FIELDS, postmark=_POSTMARK, body=_BODY)
def test_any_of_many_forms_is_read_or_told(fields: dict[str, str], postmark: object, body: bytes) -> None:
    _reads_forms(fields, postmark, body)
