"""The files of mails: as their senders meant them, and by whichever way a provider brings them."""

import pytest

from tests.api import Api
from tests.fakes.smtp import FakeSmtp
from tests.mails import PROVIDERS, bring, mail_from
from tests.support import Guest, Stack

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
