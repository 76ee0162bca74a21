"""E-mail from the providers' endpoints into Temporal and out by SMTP."""

from datetime import UTC, datetime, timedelta
from email.message import EmailMessage

import pytest

from contracts.conversations import Outcome
from contracts.messages import Author
from settings import Settings
from tests.api import Api, problem, running_api
from tests.fakes.ai import FakeAI
from tests.fakes.smtp import FakeSmtp
from tests.mails import (
    CRASHING,
    HOTEL_ADDRESS,
    PROVIDERS,
    RAW_SECRET,
    Parcel,
    bring,
    mail_from,
    mailgun_signature,
    post,
)
from tests.support import Guest, Stack, eventually, reply

ANA = "ana@guest.test"


@pytest.fixture
def ana(smtp: FakeSmtp, stack: Stack) -> Guest:
    return stack.guest(adapter="email", channel_type="email", sender_id=ANA)


async def _answers(smtp: FakeSmtp, count: int) -> list[EmailMessage]:
    async def look() -> list[EmailMessage] | None:
        return list(smtp.received.values()) if len(smtp.received) >= count else None

    return await eventually(look, what=f"{count} mails")


async def _outcomes(guest: Guest, count: int) -> list[Outcome]:
    async def look() -> list[Outcome] | None:
        found = list((await guest.outcomes()).values())
        return found if len(found) >= count else None

    return await eventually(look, what=f"{count} outcomes")


SUBJECT = "[Subject: A question]\n\n"
"""What stands above the words of `mail_from`."""

# --- there and back --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_mail_is_answered_in_its_thread(
    smtp: FakeSmtp, api: Api, working: None, ana: Guest, hotel: str, provider: str
) -> None:
    mail = mail_from(ANA, "When is breakfast?\n\nOn Monday, Hotel wrote:\n> Welcome\n", References="<first@guest.test>")
    accepted = await bring(api, hotel, mail, provider)
    assert accepted.status_code == (202 if provider == "raw" else 200)
    [answer] = await _answers(smtp, 1)
    assert smtp.recipients == [ANA]
    assert answer["Subject"] == "Re: A question"
    assert answer["In-Reply-To"] == mail["Message-ID"]
    assert answer["References"] == f"<first@guest.test> {mail['Message-ID']}"
    assert answer["Auto-Submitted"] == "auto-replied"
    assert (answer["From"], HOTEL_ADDRESS in str(answer["From"])) == (f"Test Hotel <{HOTEL_ADDRESS}>", True)
    assert str(answer["Reply-To"]).startswith("Test Hotel <hello+")
    text, html = answer.get_body(("plain",)), answer.get_body(("html",))
    assert text is not None
    assert html is not None
    assert text.get_content().split() == f"Answer to {SUBJECT}When is breakfast?".split()
    assert "When is breakfast?</p>" in html.get_content()
    question = (await ana.messages())[0]
    assert (question.author, question.content, question.author_name) == (
        Author.GUEST,
        f"{SUBJECT}When is breakfast?",
        "Ana Souza",
    )
    assert (await ana.outcome(accepted.json()["messageId"])).outcome == "answered"


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_letters_of_any_language_are_taken_in(
    smtp: FakeSmtp, api: Api, working: None, ana: Guest, hotel: str, provider: str
) -> None:
    mail = mail_from(ANA, "Há água quente? 早餐几点", Subject="Início", From=f"José Núñez <{ANA}>")
    assert (await bring(api, hotel, mail, provider)).is_success
    await _outcomes(ana, 1)
    question = (await ana.messages())[0]
    assert (question.content, question.author_name) == ("[Subject: Início]\n\nHá água quente? 早餐几点", "José Núñez")


async def test_a_repeat_is_acknowledged_and_handled_once(
    smtp: FakeSmtp, api: Api, working: None, ana: Guest, hotel: str
) -> None:
    mail = mail_from(ANA)
    for provider in (*PROVIDERS, *PROVIDERS):
        assert (await bring(api, hotel, mail, provider)).is_success
    unnamed = mail_from(ANA, "Without an id", Message_ID="")
    for provider in ("raw", "raw"):
        assert (await bring(api, hotel, unnamed, provider)).is_success
    assert len(await _outcomes(ana, 2)) == 2
    assert [each.content for each in await ana.messages() if each.author is Author.GUEST] == [
        f"{SUBJECT}Is there a pool?",
        f"{SUBJECT}Without an id",
    ]


async def test_a_token_leads_to_its_conversation_whoever_writes_and_the_subject_never_does(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, ana: Guest, hotel: str
) -> None:
    await bring(api, hotel, mail_from(ANA, "One"))
    [answer] = await _answers(smtp, 1)
    token = str(answer["Reply-To"]).rpartition("<")[2].rstrip(">")
    await bring(api, hotel, mail_from("ana@work.test", "Two", To=token, Subject="Something else"), "mailgun")
    assert len(await _outcomes(ana, 2)) == 2
    await _answers(smtp, 2)
    assert smtp.recipients == [ANA, "ana@work.test"]
    other = stack.guest(adapter="email", channel_type="email", sender_id="ben@guest.test")
    await bring(
        api,
        hotel,
        mail_from("ben@guest.test", "Three", Subject="Re: A question", In_Reply_To=str(answer["Message-ID"])),
    )
    await _outcomes(other, 1)
    forged = token.replace("hello+", "hello+b" if token[6] != "b" else "hello+c", 1)[: len(token)]
    assert (await bring(api, hotel, mail_from("eve@guest.test", "Four", To=forged))).is_success
    assert len(await ana.outcomes()) == 2


async def test_guests_of_one_form_have_a_conversation_each(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, ana: Guest, hotel: str
) -> None:
    ben = "ben@guest.test"
    asked = {ANA: "Is there a pool?", ben: "Where can we park?"}
    for guest, question in asked.items():
        await bring(api, hotel, mail_from("form@website.test", question, Reply_To=guest))
    answers = await _answers(smtp, 2)
    assert {str(each["To"]) for each in answers} == {*asked}
    assert all(asked[each["To"]] in each.as_string() for each in answers)
    other = stack.guest(adapter="email", channel_type="email", sender_id=ben)
    assert [len(await each.outcomes()) for each in (ana, other)] == [1, 1]


async def test_staff_write_as_people(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, ana: Guest, hotel: str
) -> None:
    await bring(api, hotel, mail_from(ANA, "One"))
    await _answers(smtp, 1)
    await stack.conversations.reply(reply(await ana.conversation(), "Of course <3\n\nhttps://hotel.test/a?b=1&c=2."))

    async def written() -> EmailMessage | None:
        return next((each for each in await _answers(smtp, 2) if "Of course" in each.as_string()), None)

    answer = await eventually(written, what="the mail of a person")
    assert answer["Auto-Submitted"] is None
    html = answer.get_body(("html",))
    assert html is not None
    assert "Of course &lt;3</p>" in html.get_content()
    assert '<a href="https://hotel.test/a?b=1&amp;c=2">' in html.get_content()


async def test_a_guest_s_files_are_kept_by_reference(
    smtp: FakeSmtp, api: Api, working: None, ana: Guest, hotel: str
) -> None:
    for number, provider in enumerate(PROVIDERS):
        mail = mail_from(ANA, f"My passport {number}")
        mail.add_attachment(b"%PDF-1.4 passport", maintype="application", subtype="pdf", filename="../été.pdf")
        mail.add_attachment(b"MZ\x90\0", maintype="application", subtype="pdf", filename="virus.pdf")
        assert (await bring(api, hotel, mail, provider)).is_success
    await _outcomes(ana, 4)
    messages = [each for each in await ana.messages() if each.author is Author.GUEST]
    for message in messages:
        [file] = message.attachments
        assert (file.name, file.content_type, file.size) == ("été.pdf", "application/pdf", 17)
        found = await api.state.media.find(file.id)
        assert found is not None
        assert await api.state.media.content(found) == b"%PDF-1.4 passport"
        assert message.content.endswith("[virus.pdf: this file is not accepted]")


# --- what is never answered ------------------------------------------------------------------------------------------

AUTOMATIC = {
    "out of office": (
        {"Auto-Submitted": "auto-replied", "Subject": "Automatic reply: A question"},
        "out-of-office reply",
    ),
    "out of office without a return path": (
        {"Return-Path": "<>", "Subject": "Abwesenheitsnotiz"},
        "out-of-office reply",
    ),
    "list": ({"List-Id": "<news.guest.test>"}, "mailing list"),
    "bulk": ({"Precedence": "bulk"}, "automatic mail"),
    "automatic": ({"Auto-Submitted": "auto-generated"}, "automatic mail"),
    "no reply": ({"From": "no-reply@shop.test"}, "automatic mail"),
    "our own address": ({"From": HOTEL_ADDRESS}, "mail from our own address"),
}


@pytest.mark.parametrize("name", AUTOMATIC)
async def test_a_machine_s_mail_is_shown_and_never_answered(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, ai: FakeAI, hotel: str, name: str
) -> None:
    changes, reason = AUTOMATIC[name]
    headers = {key.replace("-", "_"): value for key, value in changes.items()}
    mail = mail_from(ANA, "I am away", **headers)
    accepted = await bring(api, hotel, mail)
    sender = str(mail["From"]).rpartition("<")[2].rstrip(">").lower()
    guest = stack.guest(adapter="email", channel_type="email", sender_id=sender)
    outcome = await guest.outcome(accepted.json()["messageId"])
    assert (outcome.outcome, outcome.reason) == ("suppressed", reason)
    assert [each.content for each in await guest.messages()] == [f"[Subject: {mail['Subject']}]\n\nI am away"]
    assert [each for each in ai.requests if "I am away" in each.message.content] == []
    assert [each for each in smtp.recipients if each == sender] == []


async def test_a_loop_is_stopped(settings: Settings, smtp: FakeSmtp, working: None, ana: Guest, hotel: str) -> None:
    settings.properties[hotel].channels.email.hourly_answers = 3
    async with running_api(settings) as api:
        for number in range(6):
            await bring(api, hotel, mail_from(ANA, f"Round {number}"))
    outcomes = await _outcomes(ana, 6)
    assert sorted(each.outcome for each in outcomes) == ["answered"] * 3 + ["suppressed"] * 3
    assert {each.reason for each in outcomes if each.outcome == "suppressed"} == {
        "too many e-mails in an hour, as in a loop of automatic replies"
    }


# --- what nobody can read --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("provider", "status"), [("mailgun", 406), ("postmark", 403), ("sendgrid", 200), ("raw", 422)])
async def test_what_cannot_be_read_is_kept_and_the_provider_told_to_stop(
    smtp: FakeSmtp, api: Api, hotel: str, provider: str, status: int
) -> None:
    person = await api.person(hotel, role="admin")
    for _ in range(2):
        answer = await bring(api, hotel, mail_from(ANA, From="nobody", Message_ID="<1@x>"), provider)
        assert answer.status_code == status
    items = (await person.http.get("/api/v1/quarantine")).json()["items"]
    assert {(each["adapter"], "sender" in each["reason"]) for each in items} == {(f"email-{provider}", True)}
    again = await person.http.post(f"/api/v1/quarantine/{items[0]['id']}/retry")
    assert "sender" in again.json()["reason"]


# --- who may bring mail ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_wrong_secret_is_refused_and_leaves_nothing(
    smtp: FakeSmtp, api: Api, ana: Guest, stack: Stack, hotel: str, provider: str
) -> None:
    parcel = PROVIDERS[provider](bytes(mail_from(ANA)))
    content = parcel.content.replace(b"signature=", b"signature=0")
    for wrong in (Parcel(content, {**parcel.headers, "X-Gateway-Secret": "wrong"}), Parcel(b"", {})):
        assert problem(await post(api, hotel, provider, wrong)) == (401, "bad_signature")
    found = [each async for each in stack.client.list_workflows(f"WorkflowId = 'conversation-{ana.contact_key}'")]
    assert found == []


async def test_mailgun_s_signature_must_be_its_own_and_fresh(smtp: FakeSmtp, api: Api, hotel: str) -> None:
    for fields in (
        mailgun_signature("another key"),
        mailgun_signature(at=datetime.now(UTC) - timedelta(days=2)),
        {**mailgun_signature(), "token": "another"},
        {**mailgun_signature(), "timestamp": "²"},
        {},
    ):
        body = "&".join(f"{name}={value}" for name, value in fields.items()).encode()
        parcel = Parcel(body, {"Content-Type": "application/x-www-form-urlencoded"})
        assert problem(await post(api, hotel, "mailgun", parcel)) == (401, "bad_signature")


@pytest.mark.parametrize("address", [*CRASHING, "ana", "ana maria@guest.test"])
async def test_nobody_is_written_to_whom_no_mail_can_reach(smtp: FakeSmtp, api: Api, hotel: str, address: str) -> None:
    agent = await api.person(hotel)
    opening = {"propertyId": hotel, "channelType": "email", "recipientId": address, "content": "Welcome!"}
    refused = await agent.http.post("/api/v1/conversations", json=opening)
    assert (*problem(refused), refused.json()["field"]) == (422, "invalid", "recipientId")


async def test_who_is_written_to_first_is_known_when_they_answer(
    smtp: FakeSmtp, api: Api, working: None, ana: Guest, hotel: str
) -> None:
    agent = await api.person(hotel)
    opening = {"propertyId": hotel, "channelType": "email", "recipientId": " Ana@Guest.test", "content": "Welcome!"}
    opened = await agent.http.post("/api/v1/conversations", json=opening)
    assert opened.status_code == 201, opened.text
    assert (await bring(api, hotel, mail_from("Ana <ana@GUEST.test>", "When is breakfast?"))).status_code == 202
    assert [each.outcome for each in await _outcomes(ana, 1)] == ["answered"]
    assert (await ana.conversation()).conversation_id == opened.json()["conversationId"]


async def test_a_secret_may_stand_in_the_query_or_a_header(smtp: FakeSmtp, api: Api, hotel: str) -> None:
    body = bytes(mail_from(ANA))
    path = f"/webhooks/email/raw/{hotel}"
    assert (await api.http.post(path, content=body, params={"secret": RAW_SECRET})).status_code == 202
    assert (await api.http.post(path, content=body, auth=("x", RAW_SECRET))).status_code == 202


async def test_without_a_property_or_a_secret_there_is_nothing(settings: Settings, api: Api, hotel: str) -> None:
    assert problem(await bring(api, hotel, mail_from(ANA))) == (404, "not_found")
    assert (await api.http.post(f"/webhooks/email/pigeon/{hotel}", content=b"")).status_code == 422


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_while_temporal_and_storage_are_away_each_provider_is_told_to_try_again(
    smtp: FakeSmtp, settings: Settings, hotel: str, provider: str
) -> None:
    settings.temporal.address, settings.database.url = "127.0.0.1:1", "postgresql://nobody@127.0.0.1:1/nothing"
    async with running_api(settings) as api:
        assert problem(await bring(api, hotel, mail_from(ANA), provider)) == (503, "unavailable")
