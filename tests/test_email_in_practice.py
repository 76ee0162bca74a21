"""Mail as people and their programs write it, where rules of thumb once misread it."""

import json
from datetime import UTC, datetime
from email import message_from_bytes, policy
from email.message import EmailMessage
from email.policy import compat32

import pytest

from activities.ai.text import own_words
from activities.channels.email import Inbound, understand
from activities.channels.email_addresses import Marks, OurMessage
from activities.channels.email_kinds import Kind
from activities.channels.email_providers import postmark_mail
from activities.channels.email_reading import Mail, read_mail
from activities.channels.email_sender import SMTP_FORM
from activities.channels.email_text import READ_LIMIT, said_in
from contracts.messages import DeliveryState
from contracts.names import GUEST_CONTENT_LIMIT
from tests.mails import HOTEL_ADDRESS, report_mail

MARKS = Marks("a secret")
CONVERSATION = "abcdefghijklmnopqrstuvwxyz-0123abcd"
EXCHANGE = "<DB9PR02MB7180F2C2A5D9B3B2E5E8D7A6C9A@DB9PR02MB7180.eurprd02.prod.outlook.com>"


def _understood(raw: bytes) -> Inbound:
    return understand(
        read_mail(raw), property_id="hotel", our_address=HOTEL_ADDRESS, marks=MARKS, received_at=datetime.now(UTC)
    )


def _mail(body: str = "Hello", **headers: str) -> bytes:
    usual = {"From": "Ana <ana@guest.test>", "To": HOTEL_ADDRESS, "Message-ID": "<1@guest.test>", "Subject": "Hi"}
    named = {**usual, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return "\r\n".join([*(f"{name}: {value}" for name, value in named.items()), "", body]).encode()


def _our_id(message_id: str) -> str:
    return MARKS.message_id("hotel", OurMessage(CONVERSATION, message_id), "hotel.test")


# --- words -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        "From: 3 May 2026\nTo: 5 May 2026\nGuests: 2",
        "Date: 5 May\nFrom: Airport\nTo: Hotel\nPassengers: 2",
        "Von: 3. Mai\nBis: 5. Mai\nAn: Familie X\nPersonen: 2",
    ],
)
def test_what_a_guest_lists_is_no_history(asked: str) -> None:
    seen = said_in("", f"Hello\n\n{asked}\n\nIs that possible?", None)
    assert [line for line in (*asked.split("\n"), "Is that possible?") if line not in seen] == []


@pytest.mark.parametrize(
    "header",
    [
        "From: The Hotel\nSent: Monday, 4 May 2026 10:00\nTo: Ana\nSubject: Re: Towels",
        "Von: Das Hotel\nGesendet: Montag, 4. Mai 2026 10:00\nAn: Ana\nBetreff: AW: Towels",
        "De : L'hôtel\nEnvoyé : lundi 4 mai 2026 10:00\nÀ : Ana\nObjet : RE: Towels",
    ],
)
def test_the_header_of_what_was_answered_is_history(header: str) -> None:
    assert said_in("", f"Thank you\n\n{header}\n\nThey are on their way.", None) == "Thank you"


@pytest.mark.parametrize("depth", [10, 260, 1500])
def test_html_of_any_depth_has_its_words(depth: int) -> None:
    html = f"{'<div>' * depth}Need towels in 12{'</div>' * depth}"
    assert said_in("", None, html).strip() == "Need towels in 12"


def test_a_mail_longer_than_what_is_read_goes_along_whole() -> None:
    lines = "\r\n".join(f"Guest {number} of the wedding" for number in range(READ_LIMIT // 20))
    inbound = _understood(_mail(f"{lines}\r\nThe last of them"))
    assert inbound.message is not None
    assert len(inbound.message.content) <= GUEST_CONTENT_LIMIT + 2
    assert inbound.files[0].content.rstrip().endswith(b"The last of them")


@pytest.mark.parametrize(
    "body",
    ["", "Thanks,\r\nAna", "Sent from my iPhone", "Dear Sir or Madam,\r\n\r\nKind regards,\r\nAna", "-- \r\nAna"],
)
def test_the_subject_speaks_where_there_are_but_polite_forms_beside_it(body: str) -> None:
    inbound = _understood(_mail(body, Subject="Late check-out on Friday?"))
    assert inbound.message is not None
    assert inbound.message.content.split("\n")[0] == "Late check-out on Friday?"


@pytest.mark.parametrize("subject", ["Re: Late check-out?", "AW: Late check-out?", "Is this right?"])
def test_the_subject_of_an_answer_is_of_an_earlier_mail(subject: str) -> None:
    inbound = _understood(_mail("Is this right?" if subject.startswith("Is") else "Thanks,\r\nAna", Subject=subject))
    assert inbound.message is not None
    assert "Late check-out?" not in inbound.message.content
    assert inbound.message.content.count("Is this right?") <= 1


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ("Booking 4711", "[Subject: Booking 4711]\n\nIs it possible?"),
        ("[Hotel]  Late\tcheck-out", "[Subject: Hotel Late check-out]\n\nIs it possible?"),
        ("possible?", "Is it possible?"),
        ("", "Is it possible?"),
    ],
)
def test_the_subject_of_a_first_mail_stands_apart_above_its_words(subject: str, told: str) -> None:
    inbound = _understood(_mail("Is it possible?", Subject=subject))
    assert inbound.message is not None
    assert inbound.message.content == told
    assert own_words(told) == "Is it possible?"


def test_the_subject_speaks_beside_files() -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ana@guest.test", HOTEL_ADDRESS, "Passport for booking 4711"
    mail.add_attachment(b"%PDF-1.4", maintype="application", subtype="pdf", filename="passport.pdf")
    inbound = _understood(bytes(mail))
    assert inbound.message is not None
    assert (inbound.message.content, len(inbound.files)) == ("Passport for booking 4711", 1)


@pytest.mark.parametrize("prefix", ["Fwd", "FW", "WG", "TR", "RV"])
def test_what_a_guest_forwards_is_read(prefix: str) -> None:
    header = "From: Booking <b@x.test>\r\nSent: Monday, 4 May 2026 10:00\r\nTo: Ana\r\nSubject: Your booking"
    inbound = _understood(_mail(f"Is this right?\r\n\r\n{header}\r\n\r\nRoom 12", Subject=f"{prefix}: Your booking"))
    assert inbound.message is not None
    assert (inbound.message.content.startswith("Is this right?"), "Room 12" in inbound.message.content) == (True, True)


@pytest.mark.parametrize("kind", ["pkcs7-signature", "x-pkcs7-signature", "pgp-signature", "octet-stream"])
def test_a_signature_of_machines_is_no_file(kind: str) -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "ana@guest.test", HOTEL_ADDRESS, "pool"
    mail.set_content("Is there a pool?")
    mail.add_attachment(b"0\x80", maintype="application", subtype=kind, filename="smime.p7s")
    inbound = _understood(bytes(mail))
    assert inbound.message is not None
    assert (inbound.message.content, inbound.files) == ("Is there a pool?", ())


def test_an_empty_message_id_makes_no_repeats() -> None:
    one, other = (_understood(_mail(body, Message_ID="<>")).message for body in ("One", "Another"))
    assert one is not None
    assert other is not None
    assert one.id != other.id


def test_null_in_postmark_s_form_says_nothing() -> None:
    nulls = {"Headers": [{"Name": "X-Spam", "Value": None}], "Attachments": None, "Cc": None}
    mail = postmark_mail(json.dumps({"From": "ana@guest.test", "TextBody": "Hello", **nulls}).encode())
    assert (mail.sender[1], mail.text) == ("ana@guest.test", "Hello")


# --- who wrote -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("=?utf-8?Q?Zo=C3=AB_=3Ceve=40evil=2Etest=3E?=", "Zoë <eve@evil.test>"),
        ("=?utf-8?Q?ana=40gmail.com_via_Portal?=", "ana@gmail.com via Portal"),
        ("=?utf-8?Q?M=C3=BCller=2C_Hans?=", "Müller, Hans"),
        ("=?utf-8?Q?M=C3=BCller,_Hans?=", "Müller, Hans"),
        ("=?utf-8?Q?Zo=C3=AB?=\r\n =?utf-8?Q?_Z?=", "Zoë Z"),
        ("=?utf-8?Q?Zo=C3=AB_=22Z=22_=5C?=", 'Zoë "Z" \\'),
        ("=?utf-8?Q?Zo=C3=AB_=3A=28?=", "Zoë :("),
        ('"=?utf-8?Q?Zo=C3=AB?="', "Zoë"),
        ("=?utf-8?Q?=EE=80=80?=", "\ue000"),
    ],
)
def test_what_a_name_is_encoded_from_is_no_address(written: str, name: str) -> None:
    mail = read_mail(_mail(From=f"{written} <ana@guest.test>", Reply_To=f"{written} <ana@reply.test>"))
    assert mail.sender == (name, "ana@guest.test")
    assert list(mail.correspondents("reply-to")) == [(name, "ana@reply.test")]


def test_a_sender_who_encodes_all_of_it_is_known() -> None:
    assert read_mail(_mail(From="=?utf-8?Q?Zo=C3=AB_=3Cana=40guest=2Etest=3E?=")).sender == ("Zoë", "ana@guest.test")


# --- what kind of mail -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "subject",
    [
        "I am out of towels",
        "Auto: Parkplatz?",
        "On holiday with kids, question re: cots",
        "Automaattinen ovi ei toimi",
        "Fuori sede? No, camera 12",
    ],
)
def test_a_guests_subject_is_no_out_of_office_answer(subject: str) -> None:
    assert _understood(_mail(Subject=subject)).kind is Kind.GUEST


@pytest.mark.parametrize("subject", ["I am out of office", "Fuori sede: Re: x", "Automaattinen vastaus: x"])
def test_an_out_of_office_answer_is_one(subject: str) -> None:
    assert _understood(_mail(Subject=subject)).kind is Kind.AWAY


def test_a_bounce_is_of_what_came_back_and_not_of_what_went_before() -> None:
    earlier, returned = _our_id("m1"), _our_id("m2")
    original = f"Message-ID:\n {returned}\nReferences: <g1@guest.test>\n {earlier}\n <g2@guest.test>\n\nHello"
    inbound = _understood(report_mail("delivery-status", "Action: failed\nStatus: 5.2.2", original))
    assert inbound.kind is Kind.BOUNCE
    assert [(each.about.message_id, each.state) for each in inbound.reports] == [("m2", DeliveryState.FAILED)]


def test_a_receipt_names_what_was_read() -> None:
    machine = f"Original-Message-ID: {_our_id('m2')}\nDisposition: manual-action/MDN-sent-manually; displayed"
    inbound = _understood(report_mail("disposition-notification", machine, "Subject: x\n\nx", References=_our_id("m1")))
    assert [(each.about.message_id, each.state) for each in inbound.reports] == [("m2", DeliveryState.READ)]


# --- what breaks the rules -------------------------------------------------------------------------------------------


def test_mails_in_mails_of_any_depth_are_read() -> None:
    nested = "Content-Type: message/rfc822\r\n\r\n"
    mail = read_mail(_mail(f"{nested * 300}Subject: x\r\n\r\nx", Content_Type="message/rfc822"))
    assert (mail.sender[1], [each.name for each in mail.files]) == ("ana@guest.test", ["message.eml"])


def test_a_charset_that_is_none_stops_nothing() -> None:
    assert _words(read_mail(_mail("Hello", Content_Type="text/plain; charset*=a\0b''utf-8"))) == "Hello"


def _words(mail: Mail) -> str:
    return (mail.text or "").strip()


# --- the thread that leaves ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("known", [[EXCHANGE], [_our_id("message-1" * 4)], ["<x@y>", _our_id("m1"), EXCHANGE]])
def test_ids_of_a_thread_leave_as_they_are(known: list[str]) -> None:
    mail = EmailMessage(SMTP_FORM)
    mail["In-Reply-To"], mail["References"] = known[-1], " ".join(known)
    mail.set_content("Hello")
    raw = mail.as_bytes()
    assert max(len(line) for line in raw.split(b"\r\n")) < 998
    for reader in (compat32, policy.default):
        read = message_from_bytes(raw, policy=reader)
        assert (str(read["In-Reply-To"]).split(), str(read["References"]).split()) == (known[-1:], known)
    assert b"=?" not in raw


def test_half_a_character_from_postmark_stops_nothing() -> None:
    body = b'{"From": "ana@guest.test", "TextBody": "Is it heated? \\ud83c", "StrippedTextReply": null}'
    assert _words(postmark_mail(body)) == "Is it heated?"
