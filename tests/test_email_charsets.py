"""The letters of mails: charsets as they are meant, encoded words, and headers without any encoding."""

import base64
from datetime import UTC, datetime

import pytest

from activities.channels.email import Inbound, understand
from activities.channels.email_addresses import Marks
from activities.channels.email_reading import read_mail
from tests.mails import HOTEL_ADDRESS

ANA = "ana@guest.test"


def _understood(mail: bytes) -> Inbound:
    at = datetime(2026, 11, 24, 12, tzinfo=UTC)
    return understand(
        read_mail(mail), property_id="hotel", our_address=HOTEL_ADDRESS, marks=Marks("secret"), received_at=at
    )


@pytest.mark.parametrize(
    ("charset", "body", "text"),
    [
        ("utf-8", "Olá, às 10?".encode(), "Olá, às 10?"),
        ("iso-8859-1", "Olá – às 10?".encode("cp1252"), "Olá – às 10?"),
        ("windows-1251", "Есть ли бассейн?".encode("cp1251"), "Есть ли бассейн?"),
        ("iso-2022-jp", "プールはありますか".encode("iso2022_jp"), "プールはありますか"),
        ("gb2312", "有游泳池吗".encode("gb2312"), "有游泳池吗"),
        ("koi8-r", "Есть ли бассейн?".encode("koi8-r"), "Есть ли бассейн?"),
        ("big5", "有游泳池嗎".encode("big5"), "有游泳池嗎"),
        ("unknown-8bit", "Olá, às 10?".encode(), "Olá, às 10?"),
        ("x-nonsense", b"plain", "plain"),
        ("punycode", b"plain", "plain"),
        ("us-ascii", "Olá, às 10?".encode("cp1252"), "Olá, às 10?"),
        ("unknown-8bit", "Olá, às 10?".encode("cp1252"), "Olá, às 10?"),
        ("utf-8", "Olá, há água?".encode() + b"\xe1", "Olá, há água?\ufffd"),
        ("gb2312", "陶喆，有游泳池吗？€".encode("gb18030"), "陶喆，有游泳池吗？€"),
        ("x-gbk", "有游泳池吗".encode("gbk"), "有游泳池吗"),
        ("big5", "早餐裏恒碁銹".encode("cp950"), "早餐裏恒碁銹"),
        ("ks_c_5601-1987", "똠방각하 수영장".encode("cp949"), "똠방각하 수영장"),
        ("shift_jis", "①髙橋です".encode("cp932"), "①髙橋です"),
        ("x-sjis", "プールは".encode("cp932"), "プールは"),
        ("tis-620", "“สระ”".encode("cp874"), "“สระ”"),
        ("iso-8859-9", "“havuz” şık".encode("cp1254"), "“havuz” şık"),
        ("iso-8859-8-i", "יש בריכה".encode("iso8859_8"), "יש בריכה"),
        ("windows1252", "Olá “café”".encode("cp1252"), "Olá “café”"),
        ("x-mac-roman", "Olá café".encode("mac_roman"), "Olá café"),
    ],
)
def test_every_charset_is_read(charset: str, body: bytes, text: str) -> None:
    head = f"From: {ANA}\nTo: {HOTEL_ADDRESS}\nContent-Type: text/plain; charset={charset}\n"
    raw = head.encode() + b"Content-Transfer-Encoding: 8bit\n\n" + body
    message = _understood(raw).message
    assert message is not None
    assert message.content == text


@pytest.mark.parametrize(
    ("charset", "codec", "name"),
    [
        ("gb2312", "gb18030", "陶喆"),
        ("ks_c_5601-1987", "cp949", "똠방"),
        ("x-sjis", "cp932", "髙橋"),
        ("big5", "cp950", "恒碁"),
    ],
)
def test_encoded_words_are_read_in_the_charset_that_is_meant(charset: str, codec: str, name: str) -> None:
    word = f"=?{charset}?B?{base64.b64encode(name.encode(codec)).decode()}?="
    mail = read_mail(f"From: {word} <{ANA}>\nSubject: {word}\n\nHi\n".encode())
    assert (mail.sender, mail.header("subject")) == ((name, ANA), name)


@pytest.mark.parametrize("codec", ["utf-8", "cp1252"])
def test_headers_that_are_not_encoded_are_read(codec: str) -> None:
    """So do mails with SMTPUTF8 write, and some forms on websites."""
    raw = "From: José <josé@guest.test>\nSubject: Água =?utf-8?q?quente=3F?=\nMessage-ID: <1@guest.test>\n\nHi\n"
    mail = read_mail(raw.encode(codec))
    assert (mail.sender, mail.header("subject")) == (("José", "josé@guest.test"), "Água quente?")


def test_a_broken_encoded_word_stops_nothing() -> None:
    mail = read_mail(f"From: {ANA}\nSubject: =?utf-8?B?a?= pool\n\nHi\n".encode())
    assert mail.header("subject") == "=?utf-8?B?a?= pool"


def test_encoded_words_are_read_wherever_they_stand() -> None:
    raw = (
        "From: =?utf-8?q?Ana_S=C3=B3?= <Ana@Guest.test>\nTo: hello@hotel.test\n"
        "Subject: =?iso-8859-1?q?=C1gua?= =?x-nonsense?q?=41?=\nMessage-ID: <1@guest.test>\n\nHi\n"
    )
    message = _understood(raw.encode()).message
    assert message is not None
    assert (message.guest_name, message.route.sender_id) == ("Ana Só", ANA)
    assert message.route.context["messageId"] == "<1@guest.test>"
