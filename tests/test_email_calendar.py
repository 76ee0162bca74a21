"""Mails that calendars write: answers to invitations are never answered, invitations with a person's words are."""

from email.message import EmailMessage

import pytest

from tests.api import Api
from tests.fakes.ai import FakeAI
from tests.fakes.smtp import FakeSmtp
from tests.mails import PROVIDERS, bring, mail_from
from tests.support import Guest, Stack

ANA = "ana@guest.test"
NOTICE = "calendar notice"
WORDS = "Dear team,\n\ncould we see the ballroom at ten? There will be six of us.\n"


@pytest.fixture
def ana(smtp: FakeSmtp, stack: Stack) -> Guest:
    return stack.guest(adapter="email", channel_type="email", sender_id=ANA)


def _calendar(method: str, text: str | None, subject: str, *, attached: bool = False) -> EmailMessage:
    """A mail as Outlook and Google's calendar write it: the event is an alternative of the text, or attached to it."""
    mail = mail_from(ANA, text if text is not None else "", Subject=subject)
    event = f"BEGIN:VCALENDAR\r\nVERSION:2.0\r\nMETHOD:{method}\r\nBEGIN:VEVENT\r\nSUMMARY:Visit\r\nEND:VEVENT\r\n"
    if attached:
        mail.add_attachment(event.encode(), maintype="application", subtype="ics", filename="invite.ics")
    else:
        mail.add_alternative(event, subtype="calendar", params={"method": method})
    return mail


CALENDARS = {
    "accepted": _calendar("REPLY", None, "Accepted: Visit"),
    "accepted, in words of Google": _calendar("reply", "Ana Souza has accepted this invitation.", "Accepted: Visit"),
    "accepted, attached": _calendar("REPLY", "Ana has accepted.", "Accepted: Visit", attached=True),
    "another time": _calendar("COUNTER", "\n", "New Time Proposed: Visit"),
    "invitation without words": _calendar("REQUEST", "Kind regards,\nAna", "Visit"),
    "called off": _calendar("CANCEL", None, "Canceled: Visit"),
}


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("name", CALENDARS)
async def test_a_calendar_is_shown_and_never_answered(
    smtp: FakeSmtp, api: Api, working: None, ai: FakeAI, ana: Guest, hotel: str, name: str, provider: str
) -> None:
    accepted = await bring(api, hotel, CALENDARS[name], provider)
    outcome = await ana.outcome(accepted.json()["messageId"])
    assert (outcome.outcome, outcome.reason) == ("suppressed", NOTICE)
    [shown] = await ana.messages()
    assert "Visit" in shown.content
    assert [each.content_type for each in shown.attachments] in (["text/calendar"], ["text/plain"])
    assert ai.requests == []


@pytest.mark.parametrize("method", ["REQUEST", "COUNTER", "PUBLISH"])
async def test_what_a_person_writes_with_an_event_is_answered(
    smtp: FakeSmtp, api: Api, working: None, ana: Guest, hotel: str, method: str
) -> None:
    accepted = await bring(api, hotel, _calendar(method, WORDS, "Visit"))
    assert (await ana.outcome(accepted.json()["messageId"])).outcome == "answered"


async def test_an_event_that_a_guest_attaches_is_no_notice(
    smtp: FakeSmtp, api: Api, working: None, ana: Guest, hotel: str
) -> None:
    accepted = await bring(api, hotel, _calendar("PUBLISH", None, "When do we arrive?", attached=True))
    assert (await ana.outcome(accepted.json()["messageId"])).outcome == "answered"
