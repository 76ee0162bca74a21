"""`gateway channels check`, and the files that guests leave with a provider."""

import pytest
from pydantic import SecretStr
from typer.testing import CliRunner

import cli
import worker
from activities.channels.check import check
from activities.channels.port import MediaError, MediaSource
from activities.channels.twilio_sender import Twilio
from activities.channels.whatsapp_sender import WhatsApp
from activities.storage.delivery_reports import DeliveryReports
from activities.storage.log_writer import LiveStream
from contracts.media import MEDIA_PATH
from contracts.messages import Attachment, OutboundMessage
from contracts.names import TaskQueue
from settings import Channels, Settings
from tests.fakes.ai import FakeAI
from tests.fakes.callback import FakeCallback
from tests.fakes.graph import FakeGraph
from tests.fakes.smtp import FakeSmtp, mail_server
from tests.fakes.twilio import ACCOUNT_SID, FakeTwilio
from tests.support import Stack


async def _problems(settings: Settings) -> dict[str, str | None]:
    return {f"{each.channel} {each.looked_at}": each.problem for each in await check(settings)}


async def test_all_is_well(
    settings: Settings, graph: FakeGraph, twilio: FakeTwilio, smtp: FakeSmtp, callback: FakeCallback, hotel: str
) -> None:
    graph.webhook = f"https://gateway.hotel.test/webhooks/whatsapp/{hotel}"
    twilio.webhook = f"https://gateway.hotel.test/webhooks/twilio/{hotel}"
    assert await _problems(settings) == dict.fromkeys(
        [
            "messages callback",
            *("whatsapp credentials", "whatsapp webhook"),
            *("twilio credentials", "twilio webhook"),
            *("email mail server", "email webhook"),
        ]
    )
    assert (smtp.attempts, callback.attempts) == ([], [])


async def test_wrong_credentials_and_webhooks_are_named(
    settings: Settings, graph: FakeGraph, twilio: FakeTwilio, hotel: str
) -> None:
    found = await _problems(settings)
    assert "/webhooks/whatsapp/seaview" in str(found["whatsapp webhook"])
    assert f"/webhooks/whatsapp/{hotel}" in str(found["whatsapp webhook"])
    assert f"/webhooks/twilio/{hotel}" in str(found["twilio webhook"])
    own = settings.properties[hotel].channels
    own.whatsapp.access_token = own.twilio.auth_token = SecretStr("wrong")
    own.messages.secret, own.messages.callback_url = None, "https://hotel.test/callback"
    found = await _problems(settings)
    assert "401" in str(found["whatsapp credentials"])
    assert "401" in str(found["twilio credentials"])
    assert found["messages settings"] == "not set: channels.messages.secret"
    own.whatsapp.app_secret, own.twilio.public_url = None, None
    found = await _problems(settings)
    assert found["whatsapp settings"] == "not set: channels.whatsapp.appSecret"
    assert found["twilio settings"] == "not set: channels.twilio.publicUrl"
    own.whatsapp.app_secret, own.whatsapp.api_base = SecretStr("s"), "http://127.0.0.1:1"
    assert "cannot be reached" in str((await _problems(settings))["whatsapp credentials"])


async def test_the_webhook_that_meta_calls_is_the_one_that_counts(
    settings: Settings, graph: FakeGraph, hotel: str
) -> None:
    right, wrong = f"https://gateway.hotel.test/webhooks/whatsapp/{hotel}", "https://elsewhere.test/hook"
    for level in ("whatsapp_business_account", "phone_number"):
        graph.webhook, graph.overrides = wrong, {level: right}
        assert (await _problems(settings))["whatsapp webhook"] is None
        graph.webhook, graph.overrides = right, {level: wrong}
        assert wrong in str((await _problems(settings))["whatsapp webhook"])


async def test_hotels_that_share_an_app_share_its_webhook(settings: Settings, graph: FakeGraph, hotel: str) -> None:
    sister = settings.properties[hotel].model_copy(deep=True)
    sister.channels.whatsapp.phone_number_id = "another"
    settings.properties["sister"] = sister
    graph.webhook = "https://gateway.hotel.test/webhooks/whatsapp/sister"
    found = {
        each.property_id: each
        for each in await check(settings)
        if (each.channel, each.looked_at) == ("whatsapp", "webhook")
    }
    assert found[hotel].problem is None
    sister.channels.whatsapp.app_secret = SecretStr("of another app")
    assert "/webhooks/whatsapp/sister" in str((await _problems(settings))["whatsapp webhook"])


async def test_what_keeps_twilio_from_calling_the_webhook_is_named(
    settings: Settings, twilio: FakeTwilio, hotel: str
) -> None:
    twilio.webhook = f"https://gateway.hotel.test/webhooks/twilio/{hotel}"
    twilio.number = {"sms_method": "GET"}
    assert "with GET; set it to POST" in str((await _problems(settings))["twilio webhook"])
    twilio.number = {"sms_application_sid": "AP1"}
    assert "a TwiML app handles" in str((await _problems(settings))["twilio webhook"])
    settings.properties[hotel].channels.twilio.from_number = "MG1"
    assert "404 when asked for the messaging service" in str((await _problems(settings))["twilio webhook"])
    twilio.services = {"MG1": {}}
    assert (await _problems(settings))["twilio webhook"] is None
    twilio.services = {"MG1": {"inbound_request_url": None}}
    assert f"/webhooks/twilio/{hotel}" in str((await _problems(settings))["twilio webhook"])
    twilio.services = {"MG1": {"inbound_request_url": None, "use_inbound_webhook_on_number": True}}
    assert (await _problems(settings))["twilio webhook"] is None
    twilio.services = {"MG1": {"inbound_method": "GET"}}
    assert "with GET; set it to POST" in str((await _problems(settings))["twilio webhook"])


async def test_what_is_wrong_with_e_mail_is_named(settings: Settings, smtp: FakeSmtp, hotel: str) -> None:
    async with mail_server(FakeSmtp(login=("hotel", "right"))) as port:
        email = settings.properties[hotel].channels.email
        email.smtp_port, email.smtp_user, email.smtp_password = port, "hotel", SecretStr("right")
        assert (await _problems(settings))["email mail server"] is None
        email.smtp_password = SecretStr("wrong")
        assert "535; check smtpUser" in str((await _problems(settings))["email mail server"])
        email.smtp_password, email.smtp_user = None, None
        assert "530 to fromAddress" in str((await _problems(settings))["email mail server"])
        email.smtp_host, email.smtp_tls, email.smtp_password = "mail.test", "none", SecretStr("right")
        assert "unencrypted" in str((await _problems(settings))["email mail server"])
    email.smtp_host, email.smtp_password, email.smtp_port = "127.0.0.1", None, 1
    assert "cannot be reached" in str((await _problems(settings))["email mail server"])
    email.from_address = None
    email.secret = email.mailgun_signing_key = email.postmark_secret = email.sendgrid_secret = None
    found = await _problems(settings)
    assert found["email settings"] == "not set: channels.email.fromAddress"
    assert "set one of secret, mailgunSigningKey" in str(found["email webhook"])


async def test_a_callback_that_is_not_there_is_named(settings: Settings, hotel: str) -> None:
    settings.channels.messages.callback_url = "http://127.0.0.1:1/callback"
    assert "callbackUrl cannot be reached" in str((await _problems(settings))["messages callback"])


def test_the_command_ends_with_one_where_something_is_wrong(
    clean_environment: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GATEWAY_PROPERTIES", '{"seaview": {"name": "Sea View"}}')
    quiet = CliRunner().invoke(cli.app, ["channels", "check"])
    assert (quiet.exit_code, quiet.output) == (0, "no property has a channel with credentials set\n")
    monkeypatch.setenv("GATEWAY_CHANNELS__WHATSAPP__PHONE_NUMBER_ID", "1")
    wrong = CliRunner().invoke(cli.app, ["channels", "check"])
    assert wrong.exit_code == 1
    assert wrong.output.startswith("seaview  whatsapp settings: not set: channels.whatsapp.appSecret")


async def test_the_pace_of_the_queue_is_a_setting(stack: Stack, ai: FakeAI) -> None:
    paced = Channels(max_per_second=20, max_concurrent=3)
    async with worker.dependencies(stack.settings, stack.client) as activities:
        built = {queue: worker.build_worker(stack.client, queue, activities, paced).config() for queue in TaskQueue}
    pace = {queue: config["max_task_queue_activities_per_second"] for queue, config in built.items()}
    assert pace == {TaskQueue.GATEWAY: None, TaskQueue.AI: None, TaskQueue.CHANNELS: 20}
    assert built[TaskQueue.CHANNELS]["max_concurrent_activities"] == 3


@pytest.fixture
def reports(stack: Stack, redis: object) -> DeliveryReports:
    return DeliveryReports(stack.database, LiveStream(redis))  # type: ignore[arg-type]


async def _fetched(source: MediaSource, hotel: str, url: str) -> bytes:
    attachment = Attachment(id="1", name="a.jpg", content_type="image/jpeg", url=url)
    return b"".join([piece async for piece in source.fetch_media(hotel, attachment)])


async def test_a_file_of_whatsapp_is_fetched_with_the_token(
    settings: Settings, graph: FakeGraph, hotel: str, reports: DeliveryReports
) -> None:
    adapter = WhatsApp(settings, reports)
    graph.media["77"] = b"a picture"
    assert await _fetched(adapter, hotel, "whatsapp-media:77") == b"a picture"
    with pytest.raises(MediaError) as gone:
        await _fetched(adapter, hotel, "whatsapp-media:78")
    assert not gone.value.retryable
    # Meta's limits come with 400, and a token may be renewed.
    graph.media_codes = [(4, 400), (80007, 400), (130429, 400), (190, 401), (0, 400), (1, 500)]
    while graph.media_codes:
        with pytest.raises(MediaError) as refused:
            await _fetched(adapter, hotel, "whatsapp-media:77")
        assert refused.value.retryable
    settings.properties[hotel].channels.whatsapp.api_base = "http://127.0.0.1:1"
    with pytest.raises(MediaError) as away:
        await _fetched(adapter, hotel, "whatsapp-media:77")
    assert away.value.retryable
    await adapter.close()


async def test_a_file_of_twilio_is_fetched_with_the_account_and_led_on(
    settings: Settings, twilio: FakeTwilio, hotel: str, reports: DeliveryReports
) -> None:
    adapter = Twilio(settings, reports)
    twilio.media["ME1"] = b"a picture"
    base = settings.properties[hotel].channels.twilio.api_base
    path = f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/MM1/Media/ME1"
    assert await _fetched(adapter, hotel, base + path) == b"a picture"
    with pytest.raises(MediaError) as early:
        await _fetched(adapter, hotel, base + path.replace("ME1", "ME2"))
    assert early.value.retryable  # it may come later than the message that names it
    # An address that is not Twilio's is never shown the account's token.
    with pytest.raises(MediaError) as refused:
        await _fetched(adapter, hotel, base.replace("127.0.0.1", "localhost") + path)
    assert "401" in str(refused.value)
    await adapter.close()


@pytest.mark.parametrize("adapter", [WhatsApp, Twilio])
async def test_a_file_of_ours_needs_an_address_and_staff_are_told_which(
    adapter: type[WhatsApp] | type[Twilio],
    settings: Settings,
    graph: FakeGraph,
    twilio: FakeTwilio,
    hotel: str,
    reports: DeliveryReports,
) -> None:
    file = Attachment(id="1", name="a.png", content_type="image/png", url=f"{MEDIA_PATH}{'0' * 32}")
    message = OutboundMessage(
        message_id="m",
        conversation_id=f"{'a' * 26}-{'0' * 8}",
        recipient_id="351910000000",
        channel_id="1",
        channel_type="whatsapp",
        content="Here",
        attachments=[file],
    )
    sender = adapter(settings, reports)
    result = await sender.send(hotel, message)
    await sender.close()
    assert result.result == "failed"
    assert "set server.publicUrl" in str(result.reason)
