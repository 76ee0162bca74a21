"""Twilio: every format in, every error and fault out, and what it reports."""

import asyncio
import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from urllib.parse import urlencode

import httpx
import pytest
from prometheus_client import REGISTRY

from activities.channels import parts, twilio_sender
from activities.channels.provider_errors import Verdict
from activities.channels.twilio import ERRORS, STATES, Received, parse
from contracts.conversations import ConversationState
from settings import Settings
from tests.api import Api, problem, running_api
from tests.fakes.ai import FakeAI, confident
from tests.fakes.misbehaving import Fault
from tests.fakes.twilio import ACCOUNT_SID, NUMBER, FakeTwilio
from tests.sms import Form, guest, number, post, report, sms, write
from tests.support import Stack, command, eventually, workers
from tests.whatsapp import delivered, reply_of, settled

CODES: dict[int, Verdict] = {
    21610: "permanent",
    30003: "staff",
    30004: "permanent",
    30005: "permanent",
    30006: "permanent",
    30007: "staff",
    30008: "staff",
    63016: "staff",
    20429: "wait",
}
OPTED_OUT = 21610


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits for long: neither for an answer nor before the next try."""
    monkeypatch.setattr(parts, "RECONCILE_SECONDS", 0.1)
    monkeypatch.setattr(twilio_sender, "TIMEOUT", httpx.Timeout(0.5))
    for code, meaning in ERRORS.meanings.items():
        monkeypatch.setitem(ERRORS.meanings, code, replace(meaning, after=0.1 if meaning.after else None))


# --- in --------------------------------------------------------------------------------------------------------------


@dataclass
class Row:
    """`says` is what staff and the AI read; `opts` what the guest wants of the channel."""

    name: str
    body: str
    says: str
    more: Form = field(default_factory=dict)
    files: list[str] = field(default_factory=list)
    suppressed: bool = False
    opts: str | None = None
    prefix: str = ""


ROWS = [
    Row("text", "Is there a pool? 🏊", "Is there a pool? 🏊"),
    Row(
        "pictures",
        "Look",
        "Look",
        {
            "NumMedia": "2",
            "MediaUrl0": f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/MM1/Media/ME1",
            "MediaContentType0": "image/jpeg",
            "MediaUrl1": f"https://api.twilio.com/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/MM1/Media/ME2",
            "MediaContentType1": "application/pdf",
        },
        files=["image/jpeg", "application/pdf"],
    ),
    Row(
        "picture without words",
        "",
        "[Photo]",
        {"NumMedia": "1", "MediaUrl0": "https://api.twilio.com/x/ME3", "MediaContentType0": "image/png"},
        files=["image/png"],
    ),
    Row(
        "pictures with a gap",
        "Look",
        "Look",
        {"NumMedia": "2", "MediaUrl1": "https://api.twilio.com/x/ME4", "MediaContentType1": "image/png"},
        files=["image/png"],
    ),
    Row("picture that is missing", "", "[A file that Twilio does not pass on]", {"NumMedia": "1"}),
    Row("a word of the network that is new", "Hi", "Hi", {"OptOutType": "PAUSE"}),
    Row("rcs", "Hello", "Hello", {"MessagingServiceSid": "MG1", "ChannelMetadata": '{"type":"rcs"}'}, prefix="rcs:"),
    Row("stop", " Stop. ", " Stop. ", suppressed=True, opts="out"),
    Row("stop by the network", "STOP", "STOP", {"OptOutType": "STOP"}, suppressed=True, opts="out"),
    Row("start by the network", "START", "START", {"OptOutType": "START"}, suppressed=True, opts="in"),
    Row("help by the network", "HELP", "HELP", {"OptOutType": "HELP"}, suppressed=True),
    Row("start", "START", "START", suppressed=True, opts="in"),
    Row("help", "help", "help"),
    Row("no stop", "please don't stop the music", "please don't stop the music"),
    Row("no stop either", "stop the noise", "stop the noise"),
    Row("whatsapp", "Hello", "Hello", {"ProfileName": "Ana Souza"}, prefix="whatsapp:"),
    Row("whatsapp button", "ignored", "Yes, please", {"ButtonText": "Yes, please"}, prefix="whatsapp:"),
    Row("whatsapp button to cancel", "Cancel", "Cancel", {"ButtonText": "Cancel"}, prefix="whatsapp:"),
    Row("whatsapp row to cancel", "Cancel", "Cancel", {"ListId": "no"}, prefix="whatsapp:"),
    Row(
        "whatsapp button to stop",
        "Stop",
        "Stop",
        {"ButtonText": "Stop"},
        suppressed=True,
        opts="out",
        prefix="whatsapp:",
    ),
    Row(
        "whatsapp location",
        "",
        "[Location: Rossio, Lisbon, 38.71, -9.14]",
        {"Latitude": "38.71", "Longitude": "-9.14", "Label": "Rossio", "Address": "Lisbon"},
        prefix="whatsapp:",
    ),
    Row("whatsapp form", "", '[Form: {"guests":2}]', {"InteractiveData": '{"guests":2}'}, prefix="whatsapp:"),
    Row("whatsapp form, sent", "Sent", '[Form: Sent {"a":2}]', {"InteractiveData": '{"a":2}'}, prefix="whatsapp:"),
    Row("nothing", " ", "[A message without words]"),
]


READ = "I have read what you sent"
"""An answer without figures, which would have to stand in an article."""


async def test_every_format_is_read_by_staff_and_answered_once(
    api: Api, stack: Stack, ai: FakeAI, twilio: FakeTwilio, hotel: str
) -> None:
    ai.respond = lambda request: confident(request).model_copy(update={"response": READ})

    async def check(row: Row) -> None:
        sender = row.prefix + number()
        form = sms(sender, row.body, **{**row.more, "To": row.prefix + NUMBER})
        await write(api, hotel, form)
        await write(api, hotel, form)
        writer = guest(stack, sender)
        outcome = await writer.outcome(form["MessageSid"])
        assert outcome.outcome == ("suppressed" if row.suppressed else "answered"), row.name
        seen = (await writer.messages())[0]
        assert (seen.content, [each.content_type for each in seen.attachments]) == (row.says, row.files), row.name
        if not row.suppressed:
            await settled(writer, await reply_of(writer))
        sent = [each for each in twilio.taken if each.form["To"] == [sender]]
        assert [each.text for each in sent] == ([] if row.suppressed else [READ]), row.name
        assert [each.form["From"] for each in sent] == [[row.prefix + NUMBER] for _ in sent]

    async with workers(stack.settings, stack.client):
        await asyncio.gather(*(check(row) for row in ROWS))


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_what_the_guest_wants_of_the_channel_is_told(row: Row) -> None:
    received = parse(_encoded(sms(row.prefix + number(), row.body, **row.more)), ACCOUNT_SID, datetime.now(UTC))
    assert isinstance(received, Received)
    assert received.message.opts == row.opts
    assert (received.message.suppressed is not None) is row.suppressed
    assert (received.message.route.free_text_until is not None) is (row.prefix == "whatsapp:")


def _encoded(form: Form) -> bytes:
    return urlencode(form).encode()


async def test_who_opted_out_is_written_to_by_nobody_until_they_opt_in(
    api: Api, stack: Stack, ai: FakeAI, twilio: FakeTwilio, hotel: str
) -> None:
    sender, agent = number(), await api.person(hotel)
    async with workers(stack.settings, stack.client):
        await write(api, hotel, sms(sender, "Hello"))
        message = await reply_of(guest(stack, sender))
        await settled(guest(stack, sender), message)
        for word in ("STOP", "Is anybody there?"):
            form = sms(sender, word)
            await write(api, hotel, form)
            assert (await guest(stack, sender).outcome(form["MessageSid"])).outcome == "suppressed"
        path = f"/api/v1/conversations/{message.conversation_id}/messages"
        assert problem(await agent.http.post(path, json={"content": "Hello?"})) == (409, "opted_out")
        await write(api, hotel, sms(sender, "START"))
        assert (await agent.http.post(path, json={"content": "Welcome back"})).status_code == 201
        await _sent(twilio, 2)
    assert twilio.sent_texts() == ["Answer to Hello", "Welcome back"]


async def _sent(twilio: FakeTwilio, count: int) -> None:
    async def look() -> bool:
        return len(twilio.taken) >= count

    await eventually(look, what=f"{count} messages to be sent")


async def test_a_wrong_signature_is_refused_and_leaves_nothing(
    api: Api, stack: Stack, twilio: FakeTwilio, hotel: str
) -> None:
    sender, path = number(), f"/webhooks/twilio/{hotel}"
    for signature in (b"", b"nonsense", "ä".encode(), b"A" * 28):
        headers = [(b"X-Twilio-Signature", signature)]
        refused = await api.http.post(path, content=_encoded(sms(sender, "Hello")), headers=headers)
        assert problem(refused) == (401, "bad_signature")
    other = await post(api, path, sms(sender, "Hello"), signed_url="https://elsewhere.test/webhooks/twilio/x")
    assert problem(other) == (401, "bad_signature")
    for host in ("hotel.test:port", "[", "[::1", ""):
        odd = await post(api, path, sms(sender, "Hello"), signed_url="https://elsewhere.test", headers={"Host": host})
        assert problem(odd) == (401, "bad_signature"), host
    assert await stack.rows("SELECT id FROM quarantine WHERE property_id = :hotel", hotel=hotel) == []
    assert problem(await post(api, "/webhooks/twilio/no-hotel", sms(sender, "Hello"))) == (404, "not_found")


@pytest.mark.parametrize(
    ("signed", "headers", "public_url"),
    [
        ("https://hotel.test", {}, "https://hotel.test"),
        ("https://hotel.test:443", {}, "https://hotel.test"),
        ("https://hotel.test/gateway", {}, "https://hotel.test/gateway/"),
        ("https://hotel.test", {"X-Forwarded-Proto": "https", "X-Forwarded-Host": "hotel.test"}, None),
        ("https://hotel.test", {"X-Forwarded-Proto": "https", "Host": "hotel.test:443"}, None),
        ("https://hotel.test:8443", {"X-Forwarded-Proto": "https,http", "Host": "hotel.test:8443"}, None),
    ],
)
async def test_behind_a_proxy_the_signature_is_of_what_twilio_called(
    settings: Settings, twilio: FakeTwilio, hotel: str, signed: str, headers: Form, public_url: str | None
) -> None:
    settings.properties[hotel].channels.twilio.public_url = public_url
    path = f"/webhooks/twilio/{hotel}"
    async with running_api(settings) as api:
        form = sms(number(), "Hello")
        assert (await post(api, path, form, signed_url=signed + path, headers=headers)).status_code == 200
        strange = await post(api, path, form, signed_url="https://other.test" + path, headers=headers)
        assert problem(strange) == (401, "bad_signature")


@pytest.mark.parametrize("state", ["queued", "sent", "partially_delivered", "delivered", "undelivered"])
def test_a_report_at_the_address_of_messages_is_no_guest_s(state: str) -> None:
    """Where a messaging service has that address for reports too, of what others sent by it."""
    about_another = {**sms(NUMBER, "", To=number()), "SmsStatus": state, "MessageStatus": state}
    assert parse(_encoded(about_another), ACCOUNT_SID, datetime.now(UTC)) is None


async def test_what_cannot_be_read_waits_in_quarantine(api: Api, stack: Stack, twilio: FakeTwilio, hotel: str) -> None:
    path = f"/webhooks/twilio/{hotel}"
    nobody, stranger, status = sms(number(), "Hello"), sms(number(), "Hello"), sms(number(), "")
    del nobody["From"]
    stranger["AccountSid"] = "AC" + "9" * 32
    for form in (nobody, stranger, {**status, "NumMedia": "1", "MediaUrl0": "ftp://x"}):
        assert (await post(api, path, form)).status_code == 200
    reported = {"MessageStatus": "teleported", "MessageSid": "SM1", "AccountSid": ACCOUNT_SID}
    assert (await post(api, f"{path}/status?reference=x", reported)).status_code == 200
    kept = await stack.rows("SELECT reason FROM quarantine WHERE property_id = :hotel", hotel=hotel)
    assert {str(each["reason"]).split(":")[0] for each in kept} == {"From", "AccountSid", "MediaUrl0", "MessageStatus"}


async def test_while_temporal_and_storage_are_away_nothing_is_acknowledged(
    settings: Settings, twilio: FakeTwilio, hotel: str
) -> None:
    settings.temporal.address, settings.database.url = "127.0.0.1:1", "postgresql://nobody@127.0.0.1:1/nothing"
    async with running_api(settings) as api:
        refused = await post(api, f"/webhooks/twilio/{hotel}", sms(number(), "Hello"))
        assert problem(refused) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) > 0


# --- out -------------------------------------------------------------------------------------------------------------


def test_each_code_has_its_meaning() -> None:
    assert {code: ERRORS.meanings[code].verdict for code in CODES} == CODES
    assert ERRORS.result("m", 20429).retry_after == 10
    assert ERRORS.result("m", 20429, 3.0).retry_after == 3.0


async def test_each_error_code_is_waited_out_or_told_to_staff(
    api: Api, stack: Stack, ai: FakeAI, twilio: FakeTwilio, hotel: str, impatient: None
) -> None:
    async def check(code: int, verdict: Verdict) -> None:
        sender, answer = number(), f"Answer to Question {code}"
        twilio.refuse[answer] = [code]
        form = sms(sender, f"Question {code}")
        await write(api, hotel, form)
        writer = guest(stack, sender)
        message = await reply_of(writer)
        if verdict == "wait":
            await delivered(stack, message, "sent")
            assert [each["Body"] for each in twilio.attempts].count([answer]) == 2
            return
        row = await delivered(stack, message, "failed")
        assert row["delivery_reason"] == f"Twilio error {code}: {ERRORS.meanings[code].means}"
        await writer.reaches(lambda each: each.state is ConversationState.ESCALATED, "staff to be asked")
        assert (await writer.outcome(form["MessageSid"])).outcome == "handed"
        path = f"/api/v1/conversations/{message.conversation_id}/messages"
        again = await agent.http.post(path, json={"content": "Hello?"})
        assert again.status_code == (409 if code == OPTED_OUT else 201), code

    agent = await api.person(hotel)
    async with workers(stack.settings, stack.client):
        await asyncio.gather(*(check(code, verdict) for code, verdict in CODES.items()))


async def test_a_failure_that_is_reported_later_is_told_too(
    api: Api, stack: Stack, ai: FakeAI, twilio: FakeTwilio, hotel: str
) -> None:
    async def check(code: int) -> None:
        sender = number()
        await write(api, hotel, sms(sender, f"Question {code}"))
        message = await reply_of(guest(stack, sender))
        await delivered(stack, message, "sent")
        taken = next(each for each in twilio.taken if each.form["To"] == [sender])
        assert (await report(api, taken, "undelivered", ErrorCode=str(code))).status_code == 200
        row = await delivered(stack, message, "failed")
        assert row["delivery_reason"] == f"Twilio error {code}: {ERRORS.meanings[code].means}"
        await guest(stack, sender).reaches(lambda each: each.state is ConversationState.ESCALATED, "staff to be asked")

    async with workers(stack.settings, stack.client):
        await asyncio.gather(*(check(code) for code in CODES))


async def test_status_callbacks_in_any_order_move_a_message_upwards(
    api: Api, stack: Stack, ai: FakeAI, twilio: FakeTwilio, hotel: str
) -> None:
    async def check(order: tuple[str, ...]) -> None:
        sender = number()
        await write(api, hotel, sms(sender, "Hello"))
        writer = guest(stack, sender)
        message = await reply_of(writer)
        await delivered(stack, message, "sent")
        await stack.conversations.resolve(command(await writer.conversation()))
        taken = next(each for each in twilio.taken if each.form["To"] == [sender])
        for state in order:
            assert (await report(api, taken, state)).status_code == 200
        await delivered(stack, message, "delivered")

    async with workers(stack.settings, stack.client):
        await asyncio.gather(*(check(each) for each in itertools.permutations(["queued", "sent", "delivered"])))


def test_every_status_of_twilio_is_known() -> None:
    outbound = {"accepted", "scheduled", "queued", "sending", "sent", "delivered", "read", "undelivered", "failed"}
    assert outbound | {"canceled", "partially_delivered"} == set(STATES)


@pytest.mark.parametrize(
    ("fault", "attempts"),
    [
        ("silent_after", 1),
        ("dropped_after", 1),
        ("bad_gateway_after", 1),
        ("silent", 2),
        ("dropped", 2),
        ("unavailable", 2),
        ("too_many", 2),
    ],
)
async def test_whatever_the_provider_does_a_message_leaves_once(
    api: Api, stack: Stack, ai: FakeAI, twilio: FakeTwilio, hotel: str, impatient: None, fault: Fault, attempts: int
) -> None:
    """The same words went to the same guest before, so that the list alone would mistake one for the other."""
    sender = number()
    ai.respond = lambda request: confident(request).model_copy(update={"response": "Yes."})
    async with workers(stack.settings, stack.client):
        first = sms(sender, "Is there a pool?")
        await write(api, hotel, first)
        await guest(stack, sender).outcome(first["MessageSid"])
        await delivered(stack, await reply_of(guest(stack, sender)), "sent")
        twilio.faults.then(fault)
        second = sms(sender, "Is it heated?")
        await write(api, hotel, second)
        outcome = await guest(stack, sender).outcome(second["MessageSid"])
        message = (await guest(stack, sender).messages())[-1]
        assert message.id == outcome.reply_id
        await settled(guest(stack, sender), message)
    assert twilio.sent_texts() == ["Yes.", "Yes."]
    assert len(twilio.attempts) == 1 + attempts


async def test_segments_are_counted(api: Api, stack: Stack, ai: FakeAI, twilio: FakeTwilio, hotel: str) -> None:
    sender = number()
    async with workers(stack.settings, stack.client):
        await write(api, hotel, sms(sender, "x" * 200))
        await delivered(stack, await reply_of(guest(stack, sender)), "sent")
    assert REGISTRY.get_sample_value("gateway_sms_segments_total", {"property": hotel}) == 2
