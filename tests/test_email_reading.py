"""Mail as it comes in practice: every form, letter and machine, read without any I/O."""

from contextlib import suppress
from datetime import UTC, datetime
from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from activities.channels.email import Inbound, understand
from activities.channels.email_addresses import Marks, OurMessage, mail_address
from activities.channels.email_kinds import Kind
from activities.channels.email_providers import mailgun_mail, postmark_mail, read_form, sendgrid_mail
from activities.channels.email_reading import Unreadable, read_mail
from activities.channels.email_text import said_in
from contracts.messages import DeliveryState
from tests.mails import HOTEL_ADDRESS, PROVIDERS, mail_from, report_mail

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
HOTEL = "hotel"
MARKS = Marks("secret")
CONVERSATION = "abcdefghijklmnopqrstuvwxyz-0123abcd"
OURS = OurMessage(CONVERSATION, "our-message-1")
OUR_ID = MARKS.message_id(HOTEL, OURS, "hotel.test")
ANA = "ana@guest.test"


def _understood(mail: bytes | EmailMessage) -> Inbound:
    return understand(
        read_mail(bytes(mail)), property_id=HOTEL, our_address=HOTEL_ADDRESS, marks=MARKS, received_at=NOW
    )


# --- the visible words -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("Is there a pool?", "Is there a pool?"),
        (
            "Late checkout?\n\nOn Mon, 1 Jun 2026 at 10:00, Hotel <h@x.test> wrote:\n> hello\n> there\n",
            "Late checkout?",
        ),
        ("Gern\n\nAm 01.06.2026 um 10:00 schrieb Hotel:\n> hallo\n", "Gern"),
        ("Oui\n\nLe lun. 1 juin 2026 à 10:00, Hotel <h@x.test> a écrit :\n> bonjour\n", "Oui"),
        ("Sim\n\nEm seg., 1 de jun. de 2026 às 10:00, Hotel <h@x.test>\nescreveu:\n\n> olá\n", "Sim"),
        ("Sim\n\nEl lun, 1 jun 2026 a las 10:00, Hotel (<h@x.test>) escribió:\n> hola\n", "Sim"),
        ("Yes\n\n-----Original Message-----\nFrom: Hotel <h@x.test>\nSent: Monday\nTo: me\nSubject: x\n\nold", "Yes"),
        (
            "Yes\r\n\r\n" + "_" * 32 + "\r\nFrom: Hotel <h@x.test>\r\nSent: Monday\r\nTo: a\r\nSubject: b\r\n\r\nold",
            "Yes",
        ),
        ("Could we have towels?\n\n-- \nAna Souza\n+351 1\n", "Could we have towels?"),
        ("Could we have towels?\n\nBest regards,\nAna\nDirector\n", "Could we have towels?"),
        ("Yes please\n\nSent from my iPhone\n", "Yes please"),
        ("好的\n\nHotel <h@x.test> 于2026年6月1日周一 10:00写道\uff1a\n\n> 您好\n", "好的"),
        ("Sim\n\nDe: Hotel <h@x.test>\nEnviada: segunda\nPara: Ana\nAssunto: Reserva\n\nBem-vinda", "Sim"),
        ("Sim\n\n----- Mensagem original -----\nDe: Hotel\nPara: Ana\nAssunto: Reserva\n\nBem-vinda", "Sim"),
        ("Sí\n\nDe: Hotel <h@x.test>\nEnviado el: lunes\nPara: Ana\nAsunto: Reserva\n\nHola", "Sí"),
        ("はい\n\n差出人: Hotel <h@x.test>\n送信日時: 2026年6月1日\n宛先: Ana\n件名: 予約\n\nようこそ", "はい"),
        ("Да\n\nОт: Hotel <h@x.test>\nОтправлено: 1 июня\nКому: Ana\nТема: Номер\n\nЗдравствуйте", "Да"),
        (
            '好的\n\n-------- 原始邮件 --------\n发件人: "Hotel" <h@x.test>;\n收件人: Ana\n主题: 预订\n\n您好',
            "好的",
        ),
        ("De: 3 de maio\nPara: 5 de maio\nÉ possível?", "De: 3 de maio\nPara: 5 de maio\nÉ possível?"),
        ("Gern\n\nVon meinem iPhone gesendet", "Gern"),
        ("Oui\n\nEnvoyé de mon iPhone", "Oui"),
        ("Sim\n\nEnviado do meu iPhone", "Sim"),
        ("Sí\n\nObtener Outlook para Android <https://aka.ms/x>", "Sí"),
        ("好的\n\n发自我的iPhone", "好的"),
        ("It lies here:\nenviado ontem para o quarto", "It lies here:\nenviado ontem para o quarto"),
        ("On Mon, Hotel wrote:\n> Which room?\n\nThe blue one", "The blue one"),
        (
            "Hello\n\nOn Mon, Hotel wrote:\n> When?\nAt nine\n> Where?\nAt the desk",
            "Hello\nAt nine\nAt the desk",
        ),
        ("> only quoted", "> only quoted"),
        ("A room, please\nFrom: 12 June\nTo: 15 June\nfor two", "A room, please\nFrom: 12 June\nTo: 15 June\nfor two"),
        (
            "Hello\nThanks, one more: is there a gym?\nAnd parking",
            "Hello\nThanks, one more: is there a gym?\nAnd parking",
        ),
        ("I want\n- towels\n- soap\n", "I want\n- towels\n- soap"),
        ("", ""),
    ],
)
def test_the_words_of_this_mail_alone_are_seen(text: str, visible: str) -> None:
    assert said_in("", text, None) == visible


@pytest.mark.parametrize(
    ("html", "visible"),
    [
        ("<p>Is there&nbsp;a <b>pool</b>?</p><style>p{}</style><script>x()</script>", "Is there a pool?"),
        (
            "<div>Yes</div><div class='gmail_quote'><div class='gmail_attr'>On x wrote:</div>"
            "<blockquote class='gmail_quote'>old</blockquote></div>",
            "Yes",
        ),
        ("<p>Yes</p><div id='divRplyFwdMsg'><b>From:</b> x</div><div>old</div>", "Yes"),
        ("<p>Yes</p><blockquote type='cite'>old</blockquote>", "Yes"),
        ("<blockquote type='cite'>only this</blockquote>", "only this"),
        ('<?xml version="1.0" encoding="utf-8"?><html><body>Olá</body></html>', "Olá"),
        ("<ul><li>towels<li>soap</ul>", "* towels\n* soap"),
        ("<", "<"),
    ],
)
def test_html_alone_becomes_text(html: str, visible: str) -> None:
    assert said_in("", None, html) == visible


@pytest.mark.parametrize(
    "form",
    [
        "New message\n\nFrom: Ana <ana@guest.test>\nSubject: Room\n\nA double, please",
        "Neue Anfrage\n\nVon: Ana <ana@guest.test>\nBetreff: Zimmer\n\nEin Doppelzimmer bitte",
        "Nova mensagem\n\nDe: Ana\nTelefone: +351\nAssunto: Quarto\n\nUm quarto duplo, por favor",
    ],
)
def test_what_a_website_writes_above_a_message_is_no_history(form: str) -> None:
    assert said_in("", form, None).split() == form.split()


def test_history_is_found_in_bounded_time() -> None:
    for hostile in ("\n" * 20_000, "On " * 10_000, ("On " * 60 + "\n") * 200, "From: a\n" * 5_000, "a\n" * 20_000):
        said_in("", hostile, None)
    for hostile in ("<div>" * 50_000, "<table><tr><td>" * 20_000, "<blockquote type=cite>" * 20_000):
        said_in("", None, hostile)


# --- letters and parts -----------------------------------------------------------------------------------------------


def test_a_mail_without_an_id_is_known_by_its_content() -> None:
    one = _understood(mail_from(ANA, Message_ID="")).message
    again = _understood(mail_from(ANA, Message_ID="")).message
    other = _understood(mail_from(ANA, "Another", Message_ID="")).message
    assert one is not None
    assert again is not None
    assert other is not None
    assert one.id == again.id != other.id
    assert "guest.test" not in one.id


def test_an_over_long_mail_is_cut_and_attached_whole() -> None:
    inbound = _understood(mail_from(ANA, "a long story " * 3_000))
    assert inbound.message is not None
    assert len(inbound.message.content) < 17_000
    assert [each.name for each in inbound.files] == ["message.txt"]


def test_the_subject_speaks_where_the_mail_has_no_words() -> None:
    message = _understood(mail_from(ANA, "", Subject="Late check-out?")).message
    assert message is not None
    assert message.content == "Late check-out?"


def test_a_thread_is_kept_short_and_clean() -> None:
    references = " ".join(f"<{number}@guest.test>" for number in range(30))
    mail = mail_from(ANA, References=f"{references} no-id <ü@x>")
    message = _understood(mail).message
    assert message is not None
    kept = message.route.context["references"].split()
    assert (len(kept), kept[0], kept[-1]) == (10, "<0@guest.test>", "<29@guest.test>")


@pytest.mark.parametrize("form", ["form@website.test", HOTEL_ADDRESS])
def test_what_a_form_brings_is_of_the_guest_whom_it_names(form: str) -> None:
    mail = mail_from(form, From=f"The website <{form}>", Reply_To=f"Hotel <{HOTEL_ADDRESS}>, Ana <{ANA}>")
    inbound = _understood(mail)
    assert inbound.message is not None
    assert (inbound.kind, inbound.message.route.sender_id, inbound.message.guest_name) == (Kind.GUEST, ANA, "Ana")


def test_an_answer_to_a_guest_who_names_us_goes_to_the_guest() -> None:
    message = _understood(mail_from(ANA, Reply_To="Hotel <hello+x@hotel.test>")).message
    assert message is not None
    assert (message.route.sender_id, message.route.context.get("replyTo")) == (ANA, None)


# --- what nobody answers ---------------------------------------------------------------------------------------------

DSN = "Reporting-MTA: dns; mx.guest.test\n\nFinal-Recipient: rfc822; ana@guest.test\nAction: {}\nStatus: {}\n"
ORIGINAL = f"Message-ID: {OUR_ID}\nFrom: {HOTEL_ADDRESS}\nTo: {ANA}\nSubject: Re: x\n\nHi"
MDN = "Final-Recipient: rfc822;ana@guest.test\nDisposition: manual-action/MDN-sent-manually; {}\n"


def _reaction(emoji: str = "👍") -> bytes:
    mail = mail_from(ANA, "👍 Ana reacted via Gmail", Subject="Re: Pool", In_Reply_To=OUR_ID)
    mail.add_alternative("<p>👍 Ana reacted via Gmail</p>", subtype="html")
    part = EmailMessage()
    part.set_content(f'{{"emoji": "{emoji}", "version": 1}}', subtype="vnd.google.email-reaction+json")
    mail.attach(part)
    return bytes(mail)


KINDS: dict[str, tuple[bytes, Kind]] = {
    "guest": (bytes(mail_from(ANA)), Kind.GUEST),
    "guest, said not to be automatic": (bytes(mail_from(ANA, Auto_Submitted="no")), Kind.GUEST),
    "guest, about an office": (bytes(mail_from(ANA, Subject="Re: out of office hours")), Kind.GUEST),
    "own address": (bytes(mail_from(HOTEL_ADDRESS)), Kind.OWN),
    "own address with a token": (bytes(mail_from("hello+x@hotel.test")), Kind.OWN),
    "automatic mail": (bytes(mail_from(ANA, Auto_Submitted="auto-generated")), Kind.AUTOMATIC),
    "bulk mail": (bytes(mail_from(ANA, Precedence="bulk")), Kind.AUTOMATIC),
    "Exchange's mark": (bytes(mail_from(ANA, X_Auto_Response_Suppress="All")), Kind.AUTOMATIC),
    "nobody's address": (bytes(mail_from("noreply@shop.test")), Kind.AUTOMATIC),
    "nobody's address for somebody": (bytes(mail_from("noreply@ota.test", Reply_To=ANA)), Kind.GUEST),
    "nobody's address for ourselves": (
        bytes(mail_from("noreply@form.test", Reply_To=HOTEL_ADDRESS)),
        Kind.AUTOMATIC,
    ),
    "somebody's address for nobody": (bytes(mail_from(ANA, Reply_To="noreply@guest.test")), Kind.AUTOMATIC),
    "a form in the hotel's name": (bytes(mail_from(HOTEL_ADDRESS, Reply_To=ANA)), Kind.GUEST),
    "what the hotel wrote to a guest": (bytes(mail_from(HOTEL_ADDRESS, To=ANA, Reply_To="desk@other.test")), Kind.OWN),
    "no return path": (bytes(mail_from(ANA, Return_Path="<>")), Kind.AUTOMATIC),
    "out of office": (bytes(mail_from(ANA, Auto_Submitted="auto-replied")), Kind.AWAY),
    "out of office, Exchange": (
        bytes(mail_from(ANA, Auto_Submitted="auto-generated", Subject="Automatic reply: Hi", Return_Path="<>")),
        Kind.AWAY,
    ),
    "out of office, older": (bytes(mail_from(ANA, X_Autoreply="yes")), Kind.AWAY),
    "out of office, other languages": (bytes(mail_from(ANA, Subject="Abwesenheitsnotiz: Ihre Anfrage")), Kind.AWAY),
    "out of office, Russian": (bytes(mail_from(ANA, Subject="Автоматический ответ: Номер")), Kind.AWAY),
    "out of office, Chinese": (bytes(mail_from(ANA, Subject="自动答复: 房间")), Kind.AWAY),
    "out of office that speaks of delivery": (
        bytes(mail_from(ANA, "Undeliverable until Monday", Subject="Out of office", Return_Path="<>")),
        Kind.AWAY,
    ),
    "reaction": (_reaction(), Kind.REACTION),
    "list": (bytes(mail_from(ANA, List_Id="<news.guest.test>")), Kind.LIST),
    "list by precedence": (bytes(mail_from(ANA, Precedence="list")), Kind.LIST),
    "newsletter": (bytes(mail_from(ANA, List_Unsubscribe="<https://x.test>")), Kind.LIST),
    "bounce": (report_mail("delivery-status", DSN.format("failed", "5.1.1"), ORIGINAL), Kind.BOUNCE),
    "bounce that says it is automatic": (
        report_mail("delivery-status", DSN.format("failed", "5.1.1"), ORIGINAL, Auto_Submitted="auto-replied"),
        Kind.BOUNCE,
    ),
    "bounce without a report": (
        bytes(mail_from("mailer-daemon@mx.test", Subject="Undelivered Mail Returned to Sender")),
        Kind.BOUNCE,
    ),
    "bounce of Exim": (bytes(mail_from(ANA, X_Failed_Recipients="bob@guest.test")), Kind.BOUNCE),
    "delay note": (report_mail("delivery-status", DSN.format("delayed", "4.4.1"), ORIGINAL), Kind.DELAY),
    "delay note without a report": (
        bytes(mail_from("postmaster@mx.test", Subject="Warning: message delayed 24 hours")),
        Kind.DELAY,
    ),
    "delivery receipt": (report_mail("delivery-status", DSN.format("delivered", "2.0.0"), ORIGINAL), Kind.DELIVERED),
    "read receipt": (report_mail("disposition-notification", MDN.format("displayed"), ORIGINAL), Kind.RECEIPT),
    "delay note in UTF-8": (
        report_mail("global-delivery-status", DSN.format("delayed", "4.4.1"), ORIGINAL),
        Kind.DELAY,
    ),
    "read receipt in UTF-8": (
        report_mail("global-disposition-notification", MDN.format("displayed"), ORIGINAL),
        Kind.RECEIPT,
    ),
    "taken for no junk": (report_mail("feedback-report", "Feedback-Type: not-spam\n", ORIGINAL), Kind.AUTOMATIC),
    "DMARC failure": (report_mail("feedback-report", "Feedback-Type: auth-failure\n", ORIGINAL), Kind.AUTOMATIC),
    "complaint": (report_mail("feedback-report", "Feedback-Type: abuse\nVersion: 1\n", ORIGINAL), Kind.COMPLAINT),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_mail_is_known(name: str) -> None:
    mail, kind = KINDS[name]
    inbound = _understood(mail)
    assert inbound.kind is kind
    if inbound.message is not None:
        assert inbound.message.suppressed == (None if kind is Kind.GUEST else kind.value)


def test_a_reaction_is_shown_as_one_in_its_conversation() -> None:
    for emoji, shown in (("👍", "👍"), ("\\ud83d\\u0000🏊", "🏊")):
        inbound = _understood(_reaction(emoji))
        assert inbound.message is not None
        assert (inbound.message.content, inbound.files) == (f"[Reacted {shown} to a message]", ())
        assert inbound.contact_key == CONVERSATION.partition("-")[0]


@pytest.mark.parametrize("provider", [each for each in PROVIDERS if each != "raw"])
@pytest.mark.parametrize("name", KINDS)
def test_every_kind_is_known_whoever_brings_it(name: str, provider: str) -> None:
    mail, kind = KINDS[name]
    parcel = PROVIDERS[provider](mail)
    if provider == "postmark":
        read = postmark_mail(parcel.content)
    else:
        form = read_form(parcel.headers["Content-Type"], parcel.content)
        read = mailgun_mail(form) if provider == "mailgun" else sendgrid_mail(form)
    inbound = understand(read, property_id=HOTEL, our_address=HOTEL_ADDRESS, marks=MARKS, received_at=NOW)
    assert inbound.kind is kind
    assert inbound.reports == _understood(mail).reports


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("bounce", DeliveryState.FAILED),
        ("bounce that says it is automatic", DeliveryState.FAILED),
        ("delivery receipt", DeliveryState.DELIVERED),
        ("read receipt", DeliveryState.READ),
    ],
)
def test_a_report_names_our_message(name: str, state: DeliveryState) -> None:
    inbound = _understood(KINDS[name][0])
    assert inbound.message is None
    assert [(each.about, each.state) for each in inbound.reports] == [(OURS, state)]


def test_a_forged_bounce_fails_nothing() -> None:
    forged = Marks("another secret").message_id(HOTEL, OURS, "hotel.test")
    mail = report_mail("delivery-status", DSN.format("failed", "5.1.1"), ORIGINAL.replace(OUR_ID, forged))
    inbound = _understood(mail)
    assert (inbound.kind, inbound.reports) == (Kind.BOUNCE, ())


def test_a_complaint_opts_its_guest_out() -> None:
    inbound = _understood(KINDS["complaint"][0])
    assert inbound.message is not None
    assert (inbound.message.opts, inbound.contact_key) == ("out", CONVERSATION[:26])
    told = report_mail("feedback-report", "Feedback-Type: abuse\nOriginal-Rcpt-To: <Ana@guest.test>\n", "From: x\n\nHi")
    inbound = _understood(told)
    assert inbound.message is not None
    assert (inbound.message.opts, inbound.contact_address) == ("out", ANA)


def test_a_delay_note_is_shown_in_the_conversation_that_it_concerns() -> None:
    inbound = _understood(KINDS["delay note"][0])
    assert inbound.message is not None
    assert (inbound.contact_key, inbound.message.suppressed) == (CONVERSATION[:26], "delay notice")


# --- tokens ----------------------------------------------------------------------------------------------------------


def test_a_token_is_its_conversation_s_and_its_property_s_alone() -> None:
    address = MARKS.reply_address(HOTEL, HOTEL_ADDRESS, CONVERSATION)
    assert len(address.partition("@")[0]) <= 64
    assert MARKS.conversation_of(HOTEL, ["x@y.test", address.upper()]) == CONVERSATION
    assert MARKS.conversation_of("another", [address]) is None
    assert Marks("another").conversation_of(HOTEL, [address]) is None
    assert MARKS.reply_address(HOTEL, f"{'x' * 40}@hotel.test", CONVERSATION) == f"{'x' * 40}@hotel.test"


@given(message_id=st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=128))
def test_our_message_ids_are_read_back(message_id: str) -> None:
    ours = OurMessage(CONVERSATION, message_id)
    text = f"> Message-ID: {MARKS.message_id(HOTEL, ours, 'hotel.test')} and more"
    assert MARKS.messages_in(HOTEL, text) == [ours]
    assert MARKS.messages_in("another", text) == []


# --- addresses that the library stumbles over ------------------------------------------------------------------------


def test_who_cannot_be_written_to_is_passed_over() -> None:
    bad = '<"@[">'
    mail = f"From: {bad}, Ana <{ANA}>\nReply-To: {bad}, desk@guest.test\nTo: hello@hotel.test\n\nHello?"
    message = _understood(mail.encode()).message
    assert message is not None
    assert message.route.sender_id == "desk@guest.test"
    message = _understood(f"From: {bad}\nReply-To: {bad}\nSender: {ANA}\n\nHello?".encode()).message
    assert message is not None
    assert (message.route.sender_id, message.route.context) == (ANA, {})


@pytest.mark.parametrize("sender", ['<"@[">', "(" * 9_000 + "a@guest.test"])
def test_a_mail_that_nobody_could_answer_is_unreadable(sender: str) -> None:
    with pytest.raises(Unreadable):
        _understood(f"From: {sender}\nTo: hello@hotel.test\n\nHello?".encode())


@given(st.text('ab@.[](),;:<>"\\ \té', max_size=12))
def test_any_address_can_be_written_or_is_refused(address: str) -> None:
    with suppress(ValueError):
        EmailMessage()["To"] = mail_address("", address)
