"""What leaves by SMTP, and what a mail server may make of it."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from activities.channels.email_sender import EmailSender
from activities.media.store import MediaStore
from contracts.events import SendResult
from contracts.media import MEDIA_PATH
from contracts.messages import Attachment, Author, OutboundMessage
from embedded.service import free_port
from settings import Settings
from tests.certificates import self_signed
from tests.fakes.smtp import FakeSmtp, mail_server
from tests.mails import CRASHING

CONVERSATION = "abcdefghijklmnopqrstuvwxyz-0123abcd"


def _message(**changes: object) -> OutboundMessage:
    values = {
        "message_id": "message-1",
        "conversation_id": CONVERSATION,
        "recipient_id": "ana@guest.test",
        "channel_id": "hello@hotel.test",
        "channel_type": "email",
        "content": "The pool is heated.",
        **changes,
    }
    return OutboundMessage.model_validate(values)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost that signs itself, with its key, in one file."""
    path = tmp_path_factory.mktemp("certificate") / "localhost.pem"
    issued = self_signed("localhost")
    path.write_bytes(issued.key + issued.certificate)
    return path


@pytest.fixture
def media(settings: Settings, tmp_path: Path) -> MediaStore:
    settings.media.url = tmp_path.as_uri()
    return MediaStore(settings)


@pytest.fixture
async def sender(smtp: FakeSmtp, settings: Settings, media: MediaStore) -> AsyncIterator[EmailSender]:
    sender = EmailSender(settings, media)
    yield sender
    await sender.close()


async def test_a_repeat_is_recognisable(sender: EmailSender, smtp: FakeSmtp, hotel: str) -> None:
    for _ in range(2):
        assert (await sender.send(hotel, _message())).result == "sent"
    assert (len(smtp.attempts), len(smtp.received)) == (2, 1)
    await sender.send(hotel, _message(message_id="message-2"))
    assert len(smtp.received) == 2


@pytest.mark.parametrize(
    ("author", "mark"), [(Author.AI, "auto-replied"), (Author.SYSTEM, "auto-replied"), (Author.STAFF, None)]
)
async def test_only_people_s_mail_is_not_marked(
    sender: EmailSender, smtp: FakeSmtp, hotel: str, author: Author, mark: str | None
) -> None:
    await sender.send(hotel, _message(author=author))
    assert smtp.attempts[0]["Auto-Submitted"] == mark


@pytest.mark.parametrize(
    ("subject", "answer"),
    [
        ("Pool", "Re: Pool"),
        ("Re: Pool", "Re: Pool"),
        ("AW: RE[2]: Pool", "Re: Pool"),
        ("回复\uff1a房间", "Re: 房间"),
        ("Pool\r\nBcc: eve@x.test", "Re: Pool Bcc: eve@x.test"),
        ("Água às 10? 🏊 " + "x" * 200, "Re: Água às 10? 🏊 " + "x" * 200),
        ("", "A message from Test Hotel"),
    ],
)
async def test_the_subject_is_the_thread_s(
    sender: EmailSender, smtp: FakeSmtp, hotel: str, subject: str, answer: str
) -> None:
    await sender.send(hotel, _message(context={"subject": subject} if subject else {}))
    assert smtp.attempts[0]["Subject"] == answer
    assert smtp.recipients == ["ana@guest.test"]


async def test_replies_go_where_the_guest_wants_them(sender: EmailSender, smtp: FakeSmtp, hotel: str) -> None:
    await sender.send(hotel, _message(context={"replyTo": "desk@guest.test"}))
    await sender.send(hotel, _message(message_id="2", recipient_id="jörg@guest.test"))
    assert smtp.recipients == ["desk@guest.test", "jörg@guest.test"]


@pytest.mark.parametrize("address", CRASHING)
async def test_an_address_that_the_library_stumbles_over_is_told(
    sender: EmailSender, smtp: FakeSmtp, hotel: str, address: str
) -> None:
    result = await sender.send(hotel, _message(recipient_id=address))
    assert (result.result, result.reason) == (
        "failed",
        "the guest's address or fromAddress cannot be used in an e-mail",
    )
    assert smtp.attempts == []


async def test_no_mail_leaves_without_a_file_that_it_speaks_of(
    sender: EmailSender, media: MediaStore, smtp: FakeSmtp, hotel: str
) -> None:
    others = await media.put("another", b"%PDF-1.4 map", name="map.pdf", content_type="application/pdf")
    gone = others.attachment.model_copy(update={"url": f"{MEDIA_PATH}{'0' * 32}"})
    for attachment in (others.attachment, gone):
        result = await sender.send(hotel, _message(attachments=[attachment]))
        assert (result.result, result.reason) == ("failed", f"The attachment {attachment.id} does not exist")
    assert smtp.attempts == []


async def test_a_mail_that_staff_enclose_arrives_as_it_is(
    sender: EmailSender, media: MediaStore, smtp: FakeSmtp, hotel: str
) -> None:
    enclosed = b"From: ana@guest.test\r\nSubject: Pool\r\n\r\nIs it heated?\r\n"
    kept = await media.put(hotel, enclosed, name="pool.eml", content_type="message/rfc822")
    await sender.send(hotel, _message(attachments=[kept.attachment]))
    [file] = smtp.attempts[0].iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("pool.eml", enclosed)


async def test_our_files_are_attached_and_others_linked(
    sender: EmailSender, media: MediaStore, smtp: FakeSmtp, hotel: str
) -> None:
    map_ = await media.put(hotel, b"%PDF-1.4 map", name="map.pdf", content_type="application/pdf")
    other = Attachment(id="2", name="menu", content_type="text/html", url="https://hotel.test/menu")
    await sender.send(hotel, _message(attachments=[map_.attachment, other]))
    [mail] = smtp.attempts
    [file] = mail.iter_attachments()
    assert (file.get_filename(), file.get_content()) == ("map.pdf", b"%PDF-1.4 map")
    text = mail.get_body(("plain",))
    assert text is not None
    assert text.get_content().split() == ["The", "pool", "is", "heated.", "menu:", "https://hotel.test/menu"]


@pytest.mark.parametrize(
    ("recipient", "data", "result", "reason"),
    [
        ("450 4.2.1 ana@guest.test greylisted", None, "retry", "the mail server answered 450 4.2.1"),
        ("550 5.1.1 no ana@guest.test here", None, "failed", "the mail server answered 550 5.1.1"),
        ("552 full", None, "failed", "the mail server answered 552"),
        (None, "451 4.3.0 later", "retry", "the mail server answered 451 4.3.0"),
        (None, "554 5.7.1 spam", "failed", "the mail server answered 554 5.7.1"),
        (None, "421 4.3.2 going down", "retry", "the mail server answered 421 4.3.2"),
    ],
)
async def test_what_the_mail_server_says_is_understood_and_names_nobody(
    sender: EmailSender, smtp: FakeSmtp, hotel: str, recipient: str | None, data: str | None, result: str, reason: str
) -> None:
    if recipient is not None:
        smtp.answer_recipient = lambda address: recipient
    if data is not None:
        smtp.answer_data = lambda mail: data
    outcome = await sender.send(hotel, _message())
    assert (outcome.result, outcome.reason, outcome.unsure) == (result, reason, False)
    assert outcome.message_id == "message-1"


async def test_a_connection_lost_after_the_mail_was_given_leaves_us_unsure(
    sender: EmailSender, smtp: FakeSmtp, hotel: str
) -> None:
    smtp.drops = 1
    outcome = await sender.send(hotel, _message())
    assert (outcome.result, outcome.unsure) == ("retry", True)
    assert (await sender.send(hotel, _message(unsure=True))).result == "sent"
    assert (len(smtp.attempts), len(smtp.received)) == (2, 1)


async def test_a_mail_server_that_is_away_is_tried_again(sender: EmailSender, settings: Settings, hotel: str) -> None:
    settings.channels.email.smtp_port = free_port()
    outcome = await sender.send(hotel, _message())
    assert (outcome.result, outcome.unsure) == ("retry", False)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"smtp_host": None}, "channels.email.smtpHost: not set"),
        ({"from_address": None, "smtp_host": None}, "channels.email.smtpHost, channels.email.fromAddress: not set"),
        ({"from_address": "nonsense"}, "the guest's address or fromAddress cannot be used in an e-mail"),
        (
            {"smtp_host": "mx.test", "smtp_tls": "none", "smtp_password": SecretStr("x")},
            "channels.email.smtpTls: `none` would send the password unencrypted; use `starttls` or `implicit`",
        ),
    ],
)
async def test_what_is_not_set_right_is_named(
    sender: EmailSender, settings: Settings, hotel: str, changes: dict[str, object], reason: str
) -> None:
    settings.channels.email = settings.channels.email.model_copy(update=changes)
    assert await sender.send(hotel, _message()) == SendResult(message_id="message-1", result="failed", reason=reason)


async def test_a_password_is_sent_and_a_wrong_one_told(settings: Settings, media: MediaStore, hotel: str) -> None:
    fake = FakeSmtp(login=("hotel", "right"))
    email = settings.channels.email
    email.from_address, email.smtp_host, email.smtp_user = "hello@hotel.test", "127.0.0.1", "hotel"
    async with mail_server(fake) as email.smtp_port:
        email.smtp_password = SecretStr("right")
        assert (await EmailSender(settings, media).send(hotel, _message())).result == "sent"
        email.smtp_password = SecretStr("wrong")
        refused = await EmailSender(settings, media).send(hotel, _message())
    assert (refused.result, refused.reason) == ("failed", "the mail server answered 535 5.7.8")


async def test_a_certificate_that_nobody_trusts_is_not_sent_to(
    settings: Settings, media: MediaStore, hotel: str, certificate: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    fake = FakeSmtp(tls=context)
    email = settings.channels.email
    email.from_address, email.smtp_host = "hello@hotel.test", "127.0.0.1"
    async with mail_server(fake) as email.smtp_port:
        outcome = await EmailSender(settings, media).send(hotel, _message())
    assert (outcome.result, fake.attempts) == ("retry", [])


async def test_mail_leaves_by_tls_begun_or_implicit(
    settings: Settings, media: MediaStore, hotel: str, certificate: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    email = settings.channels.email
    email.from_address, email.smtp_host = "hello@hotel.test", "localhost"
    begun, implicit = FakeSmtp(tls=context), FakeSmtp()
    async with mail_server(begun) as email.smtp_port:
        assert (await EmailSender(settings, media).send(hotel, _message())).reason is None
    email.smtp_tls = "implicit"
    async with mail_server(implicit, implicit_tls=context) as email.smtp_port:
        assert (await EmailSender(settings, media).send(hotel, _message())).reason is None
    assert (len(begun.received), len(implicit.received)) == (1, 1)
