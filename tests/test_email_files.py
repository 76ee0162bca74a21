"""The files of mails: as their senders meant them, and by whichever way a provider brings them."""

import json
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import httpx
import pytest
from pydantic import SecretStr

from activities.channels.mailgun_files import is_mailguns
from contracts.messages import Message
from settings import EmailChannel, Settings
from tests.api import Api, Person
from tests.fakes.mailgun import API_KEY, FakeMailgun
from tests.fakes.server import serving
from tests.fakes.smtp import FakeSmtp
from tests.mails import PROVIDERS, Parcel, bring, mail_from, mailgun, post, sendgrid
from tests.support import Guest, Stack, eventually

ANA = "ana@guest.test"


@pytest.fixture
def ana(smtp: FakeSmtp, stack: Stack) -> Guest:
    return stack.guest(adapter="email", channel_type="email", sender_id=ANA)


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_a_text_is_read_in_the_charset_of_its_sender(
    smtp: FakeSmtp, api: Api, working: None, ana: Guest, hotel: str, provider: str
) -> None:
    agent = await api.person(hotel)
    texts = {"windows-1252": "Für Müller", "iso-2022-jp": "予約", "utf-8": "Ça va", None: "Für Müller"}
    mail = mail_from(ANA)
    for charset, text in texts.items():
        mail.add_attachment(text.encode(charset or "cp1252"), maintype="text", subtype="plain", filename="a.txt")
        part = list(mail.iter_attachments())[-1]
        if charset is not None:
            part.set_param("charset", charset)
    await ana.outcome((await bring(api, hotel, mail, provider)).json()["messageId"])
    [message] = [each for each in await ana.messages() if each.attachments]
    assert [each.content_type for each in message.attachments] == ["text/plain"] * len(texts)
    for attachment, (charset, text) in zip(message.attachments, texts.items(), strict=True):
        read = await agent.http.get(attachment.url)
        claimed = "text/plain" if charset is None else f"text/plain; charset={charset}"
        assert (read.headers["content-type"], read.content) == (claimed, text.encode(charset or "cp1252"))


async def _with_files(guest: Guest) -> Message:
    """The message that has files."""

    async def look() -> Message | None:
        return next((each for each in await guest.messages() if each.attachments), None)

    return await eventually(look, what="a message with files")


async def _file(person: Person, url: str) -> httpx.Response:
    """What becomes of a file."""

    async def look() -> httpx.Response | None:
        answer = await person.http.get(url)
        return answer if answer.status_code != 404 else None

    return await eventually(look, what="the file")


@pytest.mark.parametrize("provider", ["mailgun", "sendgrid"])
async def test_a_file_without_a_name_is_a_file(
    smtp: FakeSmtp, api: Api, working: None, ana: Guest, hotel: str, provider: str
) -> None:
    agent = await api.person(hotel)
    mail = mail_from(ANA)
    mail.add_attachment(b"%PDF-1.4 passport", maintype="application", subtype="pdf", filename="passport.pdf")
    parcel = (mailgun if provider == "mailgun" else sendgrid)(bytes(mail))
    nameless = parcel.content.replace(b'; filename="passport.pdf"', b"")
    assert nameless != parcel.content
    accepted = await post(api, hotel, provider, Parcel(nameless, parcel.headers, parcel.auth))
    assert accepted.status_code == 200, accepted.text
    [file] = (await _with_files(ana)).attachments
    assert (file.name, file.content_type) == ("attachment", "application/pdf")
    assert (await agent.http.get(file.url)).content == b"%PDF-1.4 passport"


# --- what Mailgun keeps ----------------------------------------------------------------------------------------------


@pytest.fixture
async def keeper(smtp: FakeSmtp, settings: Settings) -> AsyncIterator[FakeMailgun]:
    """Mailgun's storage, to which the hotel has the key."""
    fake = FakeMailgun()
    async with serving(fake.app) as url:
        fake.base = url
        settings.channels.email.mailgun_api_base = url
        settings.channels.email.mailgun_api_key = SecretStr(API_KEY)
        yield fake


def _notice(attachments: Any) -> Parcel:
    """What `store(notify=…)` posts: the mail as a form, and where its files are."""
    parcel = mailgun(bytes(mail_from(ANA, "My passport")))
    told = attachments if isinstance(attachments, str) else json.dumps(attachments)
    return Parcel(parcel.content + b"&" + urlencode({"attachments": told}).encode(), parcel.headers)


def _kept(url: str, name: str | None = "passport.pdf") -> dict[str, Any]:
    return {"url": url, "content-type": "application/pdf", "name": name, "size": 17}


@pytest.mark.parametrize("statuses", [[], [503, 401]], ids=["at once", "later"])
async def test_a_file_that_mailgun_keeps_is_fetched(
    keeper: FakeMailgun, api: Api, working: None, ana: Guest, hotel: str, statuses: list[int]
) -> None:
    keeper.files["0"], keeper.statuses = b"%PDF-1.4 passport", statuses
    agent, notice = await api.person(hotel), _notice([_kept(keeper.url("0"))])
    for _ in range(2):
        accepted = await post(api, hotel, "mailgun", notice)
        assert accepted.status_code == 200, accepted.text
    assert (await ana.outcome(accepted.json()["messageId"])).outcome == "answered"
    [file] = (await _with_files(ana)).attachments
    assert (file.name, file.size) == ("passport.pdf", 17)
    assert (await _file(agent, file.url)).content == b"%PDF-1.4 passport"
    assert set(keeper.asked) == {f"api:{API_KEY}"}


async def test_files_in_the_mail_and_at_mailgun_come_side_by_side(
    keeper: FakeMailgun, api: Api, working: None, ana: Guest, hotel: str
) -> None:
    keeper.files = {"0": b"%PDF-1.4 first", "1": b"%PDF-1.4 third"}
    agent, mail = await api.person(hotel), mail_from(ANA)
    mail.add_attachment(b"%PDF-1.4 second", maintype="application", subtype="pdf", filename="second.pdf")
    parcel = mailgun(bytes(mail))
    boundary = parcel.headers["Content-Type"].partition("boundary=")[2].encode()
    told = json.dumps([_kept(keeper.url("0"), None), _kept(keeper.url("1"), "../third.pdf")]).encode()
    part = b'--%s\r\nContent-Disposition: form-data; name="attachments"\r\n\r\n%s\r\n' % (boundary, told)
    await post(api, hotel, "mailgun", Parcel(part + parcel.content, parcel.headers))
    files = (await _with_files(ana)).attachments
    assert [each.name for each in files] == ["second.pdf", "attachment", "third.pdf"]
    contents = [(await _file(agent, each.url)).content for each in files]
    assert contents == [b"%PDF-1.4 second", b"%PDF-1.4 first", b"%PDF-1.4 third"]


async def test_without_a_key_the_text_tells_of_the_file(
    smtp: FakeSmtp, api: Api, working: None, ana: Guest, hotel: str
) -> None:
    notice = _notice([_kept("https://storage-us-east4.api.mailgun.net/v3/x/attachments/0")])
    await ana.outcome((await post(api, hotel, "mailgun", notice)).json()["messageId"])
    question = (await ana.messages())[0]
    assert question.content.endswith("My passport\n\n[passport.pdf: left at Mailgun]")
    assert question.attachments == []


@pytest.mark.parametrize("gone", [True, False], ids=["gone", "elsewhere"])
async def test_the_key_goes_to_mailgun_alone(
    keeper: FakeMailgun, api: Api, settings: Settings, working: None, ana: Guest, hotel: str, gone: bool
) -> None:
    if not gone:
        keeper.files["0"] = b"%PDF-1.4"
        settings.channels.email.mailgun_api_base = EmailChannel().mailgun_api_base
    agent = await api.person(hotel)
    await post(api, hotel, "mailgun", _notice([_kept(keeper.url("0"))]))
    [file] = (await _with_files(ana)).attachments
    assert (await _file(agent, file.url)).status_code == 410
    assert len(keeper.asked) == int(gone)


@pytest.mark.parametrize("told", ["3", "{}", "[", '[{"name": "a"}]', '[{"url": "file:///etc/passwd"}]', "[1]"])
async def test_files_that_cannot_be_found_send_the_mail_to_quarantine(
    smtp: FakeSmtp, api: Api, stack: Stack, hotel: str, told: str
) -> None:
    assert (await post(api, hotel, "mailgun", _notice(told))).status_code == 406
    rows = await stack.rows("SELECT reason FROM quarantine WHERE property_id = :hotel", hotel=hotel)
    assert [str(each["reason"]).partition(":")[0] for each in rows] == ["attachments"]


@pytest.mark.parametrize(
    ("url", "known"),
    [
        ("https://storage-us-east4.api.mailgun.net/v3/domains/x/messages/1/attachments/0", True),
        ("https://api.eu.mailgun.net:443/v3/x", True),
        ("http://api.mailgun.net/v3/x", False),
        ("https://api.mailgun.net.evil.test/v3/x", False),
        ("https://evil.test/.mailgun.net", False),
        ("https://api.mailgun.net@evil.test/", False),
        ("https://api.mailgun.net:8443/v3/x", False),
        ("https://api.mailgun.net:x/v3", False),
        ("https://[", False),
    ],
)
def test_only_mailguns_own_hosts_are_asked(url: str, known: bool) -> None:
    assert is_mailguns(url, EmailChannel()) is known
