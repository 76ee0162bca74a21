"""Mails of mail systems: bounces, receipts, notices of delay and complaints, of our mails and of others."""

from email.message import EmailMessage

import pytest

from contracts.conversations import Outcome
from contracts.messages import Author, DeliveryState, Message
from contracts.problems import OptedOut
from tests.api import Api, problem
from tests.fakes.smtp import FakeSmtp
from tests.mails import bring, mail_from, report_mail
from tests.support import Guest, Stack, command, eventually, reply

ANA = "ana@guest.test"
DAEMON = "mailer-daemon@mx.guest.test"
DELAYED = "Reporting-MTA: dns; mx\n\nFinal-Recipient: rfc822; ana@guest.test\nAction: delayed\nStatus: 4.4.1\n"
BOUNCED = DELAYED.replace("delayed", "failed")
COMPLAINT = "Feedback-Type: abuse\nVersion: 1\nUser-Agent: x\n"
STRANGE = "Message-ID: <1@elsewhere.test>\n\nHi"


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


async def _has_begun(stack: Stack, sender: str) -> bool:
    """Whether there is a conversation with an address."""
    key = stack.guest(adapter="email", channel_type="email", sender_id=sender).contact_key
    return [each async for each in stack.client.list_workflows(f"WorkflowId = 'conversation-{key}'")] != []


async def _quarantined(stack: Stack) -> list[object]:
    rows = await stack.rows("SELECT reason FROM quarantine WHERE property_id = :hotel", hotel=stack.hotel)
    return [each["reason"] for each in rows]


async def _answered(smtp: FakeSmtp, api: Api, hotel: str) -> str:
    """The headers of an answer that left."""
    await bring(api, hotel, mail_from(ANA))
    [answer] = await _answers(smtp, 1)
    return "".join(f"{name}: {value}\n" for name, value in answer.items()) + "\nHi"


async def test_a_bounce_fails_the_message_it_is_about(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, ana: Guest, hotel: str
) -> None:
    original = await _answered(smtp, api, hotel)
    dsn = "Reporting-MTA: dns; mx\n\nFinal-Recipient: rfc822; ana@guest.test\nAction: failed\nStatus: 5.1.1\n"
    assert (await bring(api, hotel, report_mail("delivery-status", dsn, original), "postmark")).status_code == 200

    async def failed() -> Message | None:
        return next((each for each in await ana.messages() if each.delivery.state is DeliveryState.FAILED), None)

    message = await eventually(failed, what="the answer to fail")
    assert (message.author, message.delivery.reason) == (Author.AI, "bounce")
    reports = "SELECT state, reason FROM delivery_reports WHERE message_id = :id"
    assert await stack.rows(reports, id=message.id) == [{"state": "failed", "reason": "bounce"}]
    daemon = stack.guest(adapter="email", channel_type="email", sender_id="mailer-daemon@mx.guest.test")
    found = [each async for each in stack.client.list_workflows(f"WorkflowId = 'conversation-{daemon.contact_key}'")]
    assert found == []


async def test_a_receipt_moves_the_message_on(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, ana: Guest, hotel: str
) -> None:
    original = await _answered(smtp, api, hotel)
    mdn = "Final-Recipient: rfc822;ana@guest.test\nDisposition: manual-action/MDN-sent-manually; displayed\n"
    await bring(api, hotel, report_mail("disposition-notification", mdn, original), "mailgun")
    reports = "SELECT state FROM delivery_reports WHERE property_id = :hotel"
    assert await stack.rows(reports, hotel=hotel) == [{"state": "read"}]
    assert len(await ana.outcomes()) == 1


async def test_a_delay_note_is_shown_and_does_not_become_the_way_back(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, ana: Guest, hotel: str
) -> None:
    original = await _answered(smtp, api, hotel)
    dsn = "Reporting-MTA: dns; mx\n\nFinal-Recipient: rfc822; ana@guest.test\nAction: delayed\nStatus: 4.4.1\n"
    await bring(api, hotel, report_mail("delivery-status", dsn, original))
    assert [each.reason for each in await _outcomes(ana, 2)][-1] == "delay notice"
    await stack.conversations.reply(reply(await ana.conversation(), "Any news?"))
    await _answers(smtp, 2)
    assert smtp.recipients == [ANA, ANA]


async def test_after_a_complaint_nothing_more_is_sent(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, ana: Guest, hotel: str
) -> None:
    original = await _answered(smtp, api, hotel)
    complaint = "Feedback-Type: abuse\nVersion: 1\nUser-Agent: x\n"
    await bring(api, hotel, report_mail("feedback-report", complaint, original), "sendgrid")
    await _outcomes(ana, 2)
    with pytest.raises(OptedOut):
        await stack.conversations.reply(reply(await ana.conversation(), "Sorry"))
    assert len(smtp.attempts) == 1


# --- without an open conversation --------------------------------------------------------------------------------


ALONE = {
    "bounce": (report_mail("delivery-status", BOUNCED, STRANGE), "bounce"),
    "bounce by its words": (bytes(mail_from(DAEMON, Subject="Undelivered Mail Returned to Sender")), "bounce"),
    "complaint of nobody": (report_mail("feedback-report", COMPLAINT, STRANGE), "complaint about our mail"),
    "delay by its words": (bytes(mail_from(DAEMON, Subject="Delivery delayed")), "delay notice"),
    "delay": (report_mail("delivery-status", DELAYED, STRANGE), None),
    "receipt": (report_mail("disposition-notification", "Disposition: x; displayed", STRANGE), None),
    "delivered": (report_mail("delivery-status", DELAYED.replace("delayed", "relayed"), STRANGE), None),
}


@pytest.mark.parametrize("name", ALONE)
async def test_a_report_on_no_mail_of_ours_begins_no_conversation(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, hotel: str, name: str
) -> None:
    mail, kind = ALONE[name]
    person = await api.person(hotel, role="admin")
    for _ in range(2):
        assert (await bring(api, hotel, mail)).status_code == 202
    assert not await _has_begun(stack, DAEMON)
    reason = f"{kind} that belongs to no open conversation"
    assert await _quarantined(stack) == ([reason] if kind else [])
    if kind is not None:  # a retry finds the same
        [item] = (await person.http.get("/api/v1/quarantine")).json()["items"]
        again = await person.http.post(f"/api/v1/quarantine/{item['id']}/retry")
        assert (again.json()["reason"], again.json().get("handledAt")) == (reason, None)


async def _ended(stack: Stack, guest: Guest) -> None:
    await stack.conversations.resolve(command(await guest.conversation()))
    await guest.handle.result()


async def test_a_delay_of_what_ended_begins_nothing(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, ana: Guest, hotel: str
) -> None:
    original = await _answered(smtp, api, hotel)
    run_id = (await ana.handle.describe()).run_id
    await _ended(stack, ana)
    assert (await bring(api, hotel, report_mail("delivery-status", DELAYED, original))).status_code == 202
    assert (await ana.handle.describe()).run_id == run_id
    assert not await _has_begun(stack, DAEMON)


@pytest.mark.parametrize("by", ["our mail", "address", "address of somebody unknown"])
async def test_a_complaint_without_an_open_conversation_opts_the_guest_out(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, ana: Guest, hotel: str, by: str
) -> None:
    agent = await api.person(hotel)
    original = STRANGE
    if by != "address of somebody unknown":
        ours = await _answered(smtp, api, hotel)
        original = ours if by == "our mail" else STRANGE
        await _ended(stack, ana)
        await stack.stored(await ana.conversation())
    named = COMPLAINT if by == "our mail" else f"{COMPLAINT}Original-Rcpt-To: Ana@guest.test\n"
    assert (await bring(api, hotel, report_mail("feedback-report", named, original))).status_code == 202
    assert not await _has_begun(stack, DAEMON)
    assert await _quarantined(stack) == []
    opening = {"propertyId": hotel, "channelType": "email", "recipientId": ANA, "content": "Welcome!"}
    assert problem(await agent.http.post("/api/v1/conversations", json=opening)) == (409, "opted_out")
    asked = await bring(api, hotel, mail_from(ANA))
    assert (await ana.outcome(asked.json()["messageId"])).outcome == "suppressed"


async def test_an_automatic_reply_from_elsewhere_does_not_become_the_way_back(
    smtp: FakeSmtp, api: Api, stack: Stack, working: None, ana: Guest, hotel: str
) -> None:
    agent = await api.person(hotel)
    await _answered(smtp, api, hotel)
    [answer] = smtp.received.values()
    began = await ana.conversation()
    await _ended(stack, ana)
    await stack.stored(await ana.conversation())
    robot = mail_from(
        "tickets@company.test", "We have your mail", To=str(answer["Reply-To"]), Auto_Submitted="auto-replied"
    )
    await bring(api, hotel, robot)
    begun = await ana.reaches(lambda each: each.conversation_id != began.conversation_id, "a new conversation")
    await _outcomes(ana, 1)
    path = f"/api/v1/conversations/{begun.conversation_id}/messages"
    assert (await agent.http.post(path, json={"content": "Any news?"})).status_code == 201
    await _answers(smtp, 2)
    assert smtp.recipients == [ANA, ANA]
