"""Domains in letters of any language: one contact by either form, and mail by any server."""

from email.message import EmailMessage

import pytest

from activities.channels.email_addresses import plain, settled
from contracts.conversations import ConversationState
from settings import Settings
from tests.api import Api, running_api
from tests.fakes.smtp import FakeSmtp
from tests.mails import HOTEL_ADDRESS, bring, mail_from
from tests.support import Guest, Stack, eventually

ASCII, LETTERS = "ana@xn--bcher-kva.test", "Ana@Bücher.test"
OURS, OURS_IN_ASCII = "hallo@hôtel.test", "hallo@xn--htel-vqa.test"


@pytest.fixture
def ana(smtp: FakeSmtp, stack: Stack) -> Guest:
    smtp.speaks_utf8 = False
    return stack.guest(adapter="email", channel_type="email", sender_id=ASCII)


async def _answers(smtp: FakeSmtp, count: int) -> list[EmailMessage]:
    async def look() -> list[EmailMessage] | None:
        return list(smtp.received.values()) if len(smtp.received) >= count else None

    return await eventually(look, what=f"{count} mails")


@pytest.mark.parametrize(
    ("address", "known_as"),
    [
        (LETTERS, ASCII),
        (ASCII.upper(), ASCII),
        ("ana@straße.test", "ana@xn--strae-oqa.test"),
        ("ana@例え。テスト", "ana@xn--r8jz45g.xn--zckzah"),
        ("José@guest.test", "josé@guest.test"),
        ("ana@a_ü.test", "ana@a_ü.test"),
    ],
)
def test_an_address_is_known_by_one_form(address: str, known_as: str) -> None:
    assert settled(f" {address}") == known_as
    assert plain(address.replace("@", "+x@")) == known_as


async def test_a_guest_is_one_whichever_form_their_program_writes(
    smtp: FakeSmtp, api: Api, working: None, ana: Guest, hotel: str
) -> None:
    spelled = f"From: Ana <{LETTERS}>\r\nTo: {HOTEL_ADDRESS}\r\nMessage-ID: <2@x>\r\n\r\nIs it heated?\r\n".encode()
    for mail in (mail_from(ASCII), spelled):
        outcome = await ana.outcome((await bring(api, hotel, mail)).json()["messageId"])
        assert outcome.outcome == "answered"
    answers = await _answers(smtp, 2)
    assert smtp.recipients == [ASCII, ASCII]
    assert {str(each["To"]) for each in answers} == {ASCII}


async def test_who_is_written_to_first_is_known_when_they_answer(
    smtp: FakeSmtp, api: Api, working: None, ana: Guest, hotel: str
) -> None:
    agent = await api.person(hotel)
    opening = {"propertyId": hotel, "channelType": "email", "recipientId": LETTERS, "content": "Welcome!"}
    opened = await agent.http.post("/api/v1/conversations", json=opening)
    assert opened.status_code == 201, opened.text
    await _answers(smtp, 1)
    await ana.outcome((await bring(api, hotel, mail_from(ASCII))).json()["messageId"])
    assert (await ana.conversation()).conversation_id == opened.json()["conversationId"]
    await _answers(smtp, 2)
    assert smtp.recipients == [ASCII, ASCII]


async def test_the_hotel_s_own_domain_may_have_any_letters(
    smtp: FakeSmtp, settings: Settings, working: None, ana: Guest, hotel: str
) -> None:
    settings.properties[hotel].channels.email.from_address = OURS
    async with running_api(settings) as api:
        accepted = await bring(api, hotel, mail_from(ASCII, Reply_To=f"{OURS_IN_ASCII}, {ASCII}", To=OURS_IN_ASCII))
    assert (await ana.outcome(accepted.json()["messageId"])).outcome == "answered"
    [answer] = await _answers(smtp, 1)
    assert smtp.senders == [OURS_IN_ASCII]
    assert str(answer["From"]).endswith(f"<{OURS_IN_ASCII}>")
    assert str(answer["Reply-To"]).endswith("@xn--htel-vqa.test>")
    assert str(answer["Message-ID"]).endswith("@xn--htel-vqa.test>")


@pytest.mark.parametrize("speaks_utf8", [True, False])
async def test_letters_before_the_at_take_a_server_that_knows_them(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, hotel: str, speaks_utf8: bool
) -> None:
    smtp.speaks_utf8 = speaks_utf8
    jose = stack.guest(adapter="email", channel_type="email", sender_id="josé@xn--bcher-kva.test")
    asked = f"From: josé@bücher.test\r\nTo: {HOTEL_ADDRESS}\r\nMessage-ID: <3@x>\r\n\r\nIs it heated?\r\n".encode()
    accepted = await bring(api, hotel, asked)
    if speaks_utf8:
        await _answers(smtp, 1)
        assert smtp.recipients == ["josé@xn--bcher-kva.test"]
    else:
        await jose.reaches(lambda each: each.state is ConversationState.ESCALATED, "staff to be asked")
        assert (await jose.outcome(accepted.json()["messageId"])).outcome == "handed"
