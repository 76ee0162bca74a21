"""Asks each provider whether a property's credentials work and whether its webhook is set correctly."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar
from urllib.parse import urlsplit

import httpx
from pydantic import BaseModel, ValidationError

from activities.channels.email_sender import why_no_mail_leaves
from settings import PropertyChannels, Settings

TIMEOUT_SECONDS: Final = 10

Answer = TypeVar("Answer", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check. `problem` says what is wrong and what would be right; None if all is well."""

    property_id: str
    channel: str
    looked_at: str
    problem: str | None = None


@dataclass(frozen=True, slots=True)
class _Asking:
    """What every check needs."""

    http: httpx.AsyncClient
    property_id: str
    channels: PropertyChannels
    settings: Settings

    def found(self, channel: str, looked_at: str, problem: str | None = None) -> Finding:
        return Finding(self.property_id, channel, looked_at, problem)


class _Webhook(BaseModel):
    """The URLs that Meta may call. The number's own takes precedence over its account's, and that over the app's."""

    phone_number: str | None = None
    whatsapp_business_account: str | None = None
    application: str | None = None

    @property
    def called(self) -> str | None:
        return self.phone_number or self.whatsapp_business_account or self.application


class _PhoneNumber(BaseModel):
    display_phone_number: str = ""
    webhook_configuration: _Webhook = _Webhook()


class _Account(BaseModel):
    status: str


class _IncomingNumber(BaseModel):
    sms_url: str | None = None
    sms_method: str | None = None
    sms_application_sid: str | None = None


class _IncomingNumbers(BaseModel):
    incoming_phone_numbers: list[_IncomingNumber] = []


class _Service(BaseModel):
    """A messaging service, whose URL is called instead of those of its numbers unless it says otherwise."""

    inbound_request_url: str | None = None
    inbound_method: str | None = None
    use_inbound_webhook_on_number: bool = False


async def check(settings: Settings) -> list[Finding]:
    """Checks every configured channel of every property. Channels without any setting are left out."""
    found: list[Finding] = []
    async with httpx.AsyncClient(timeout=TIMEOUT_SECONDS) as http:
        for property_id in settings.properties:
            asking = _Asking(http, property_id, settings.channels_of(property_id), settings)
            for each in CHECKS:
                found += await each(asking)
    return found


async def _messages(asking: _Asking) -> list[Finding]:
    channel = asking.channels.messages
    if channel.secret is None and channel.callback_url is None:
        return []
    missing = _missing("messages", {"secret": channel.secret, "callbackUrl": channel.callback_url})
    if missing or channel.callback_url is None:
        return [asking.found("messages", "settings", missing)]
    # Any response shows that it is there; how it would respond to a message cannot be known without sending one.
    answer = await _answered(asking.http.head(channel.callback_url), "callbackUrl")
    return [asking.found("messages", "callback", answer if isinstance(answer, str) else None)]


async def _whatsapp(asking: _Asking) -> list[Finding]:
    channel = asking.channels.whatsapp
    needed = {
        "appSecret": channel.app_secret,
        "verifyToken": channel.verify_token,
        "accessToken": channel.access_token,
        "phoneNumberId": channel.phone_number_id,
    }
    if not any(needed.values()):
        return []
    missing = _missing("whatsapp", needed)
    if missing or channel.access_token is None:
        return [asking.found("whatsapp", "settings", missing)]
    answer = await _ask(
        asking.http.get(
            f"{channel.api_base}/{channel.phone_number_id}",
            params={"fields": "display_phone_number,webhook_configuration"},
            headers={"authorization": f"Bearer {channel.access_token.get_secret_value()}"},
        ),
        _PhoneNumber,
    )
    if isinstance(answer, str):
        return [
            asking.found("whatsapp", "credentials", f"{answer}; accessToken and phoneNumberId must belong together")
        ]
    webhook = _wrong_webhook(
        answer.webhook_configuration.called, *_whatsapp_paths(asking, str(channel.phone_number_id))
    )
    return [asking.found("whatsapp", "credentials"), asking.found("whatsapp", "webhook", webhook)]


async def _twilio(asking: _Asking) -> list[Finding]:
    channel = asking.channels.twilio
    needed = {
        "accountSid": channel.account_sid,
        "authToken": channel.auth_token,
        "fromNumber": channel.from_number,
        "publicUrl": channel.public_url,
    }
    if not any(needed.values()):
        return []
    missing = _missing("twilio", needed)
    if missing or channel.account_sid is None or channel.auth_token is None:
        return [asking.found("twilio", "settings", missing)]
    auth = httpx.BasicAuth(channel.account_sid, channel.auth_token.get_secret_value())
    account_url = f"{channel.api_base.rstrip('/')}/2010-04-01/Accounts/{channel.account_sid}"
    account = await _ask(asking.http.get(f"{account_url}.json", auth=auth), _Account)
    if isinstance(account, str):
        return [asking.found("twilio", "credentials", f"{account}; check accountSid and authToken")]
    inactive = None if account.status == "active" else f"the account is {account.status}; it must be active"
    found = [asking.found("twilio", "credentials", inactive)]
    if str(channel.from_number).startswith("MG"):
        # Services have a host of their own, beside that of the account.
        base = channel.api_base.rstrip("/").replace("//api.", "//messaging.", 1)
        service = await _ask(asking.http.get(f"{base}/v1/Services/{channel.from_number}", auth=auth), _Service)
        found.append(asking.found("twilio", "webhook", _wrong_service(service, asking.property_id)))
    if str(channel.from_number).startswith("+"):
        query = {"PhoneNumber": str(channel.from_number)}
        numbers = await _ask(
            asking.http.get(f"{account_url}/IncomingPhoneNumbers.json", params=query, auth=auth), _IncomingNumbers
        )
        found.append(asking.found("twilio", "webhook", _wrong_number(numbers, asking.property_id)))
    return found


async def _email(asking: _Asking) -> list[Finding]:
    """Checks SMTP, and that some provider can deliver mail to us. These providers cannot be asked with what we know."""
    channel = asking.channels.email
    way_out = {"smtpHost": channel.smtp_host, "fromAddress": channel.from_address}
    ways_in = {
        "secret": channel.secret,
        "mailgunSigningKey": channel.mailgun_signing_key,
        "postmarkSecret": channel.postmark_secret,
        "sendgridSecret": channel.sendgrid_secret,
    }
    if not any((*way_out.values(), *ways_in.values())):
        return []
    missing = _missing("email", way_out)
    server = missing or await why_no_mail_leaves(channel)
    no_way_in = None if any(ways_in.values()) else f"no mail can be received; set one of {', '.join(ways_in)}"
    return [
        asking.found("email", "settings" if missing else "mail server", server),
        asking.found("email", "webhook", no_way_in),
    ]


CHECKS: Final[tuple[Callable[[_Asking], Awaitable[list[Finding]]], ...]] = (_messages, _whatsapp, _twilio, _email)


def _wrong_number(numbers: _IncomingNumbers | str, property_id: str) -> str | None:
    if isinstance(numbers, str):
        return numbers
    if not numbers.incoming_phone_numbers:
        return "the account does not have the number in channels.twilio.fromNumber"
    number, path = numbers.incoming_phone_numbers[0], f"/webhooks/twilio/{property_id}"
    if number.sms_application_sid:
        return f"a TwiML app handles the number's messages; remove it, and set the number's webhook to https://…{path}"
    return _wrong_webhook(number.sms_url, path) or _wrong_method(number.sms_method)


def _wrong_service(service: _Service | str, property_id: str) -> str | None:
    if isinstance(service, str):
        return f"{service} when asked for the messaging service in channels.twilio.fromNumber"
    if service.use_inbound_webhook_on_number:
        return None  # each of its numbers has its own
    path = f"/webhooks/twilio/{property_id}"
    return _wrong_webhook(service.inbound_request_url, path) or _wrong_method(service.inbound_method)


def _wrong_method(method: str | None) -> str | None:
    return f"the provider calls the webhook with {method}; set it to POST" if method not in (None, "", "POST") else None


def _whatsapp_paths(asking: _Asking, number: str) -> list[str]:
    """The paths by which a number's notifications reach the property: hotels may share an app, which has one URL."""
    settings, secret = asking.settings, asking.channels.whatsapp.app_secret
    others = [
        each
        for each in settings.properties
        if settings.channels_of(each).whatsapp.app_secret == secret
        and settings.property_of_number(number, each) == asking.property_id
    ]
    return [f"/webhooks/whatsapp/{each}" for each in (asking.property_id, *others)]


def _wrong_webhook(url: str | None, path: str, *others: str) -> str | None:
    """What is wrong with the URL that a provider calls, which must be ours and https; None if it is right."""
    if not url:
        return f"the provider has no webhook URL; set it to https://…{path}"
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.path.endswith((path, *others)):
        return f"the provider calls {url}; it must call https://…{path}"
    return None


def _missing(channel: str, keys: Mapping[str, object]) -> str | None:
    missing = [f"channels.{channel}.{name}" for name, value in keys.items() if not value]
    return f"not set: {', '.join(missing)}" if missing else None


async def _ask(request: Awaitable[httpx.Response], kind: type[Answer]) -> Answer | str:
    """A provider's answer, or in words why there is none."""
    response = await _answered(request, "the provider")
    if isinstance(response, str):
        return response
    if not response.is_success:
        return f"the provider answered {response.status_code}"
    try:
        return kind.model_validate_json(response.content)
    except ValidationError:
        return "the provider's answer cannot be understood"


async def _answered(request: Awaitable[httpx.Response], who: str) -> httpx.Response | str:
    try:
        return await request
    except (httpx.RequestError, httpx.InvalidURL) as error:
        return f"{who} cannot be reached ({type(error).__name__})"
