"""What Twilio sends, written from its public description, and the way to send it as Twilio does."""

import uuid
from urllib.parse import urlencode

import httpx

from tests.api import Api
from tests.fakes.twilio import ACCOUNT_SID, NUMBER, PUBLIC_URL, Taken, sign
from tests.support import Guest, Stack

Form = dict[str, str]


def number() -> str:
    """A guest's number, of one test alone."""
    return f"+351{uuid.uuid4().int % 10**9:09d}"


def sms(sender: str, body: str, **more: str) -> Form:
    """A message as Twilio posts it, with a field that we have never heard of."""
    sid = f"SM{uuid.uuid4().hex}"
    return {
        "ToCountry": "PT",
        "SmsMessageSid": sid,
        "NumMedia": "0",
        "SmsSid": sid,
        "SmsStatus": "received",
        "Body": body,
        "To": NUMBER,
        "NumSegments": "1",
        "MessageSid": sid,
        "AccountSid": ACCOUNT_SID,
        "From": sender,
        "ApiVersion": "2010-04-01",
        "AFieldOfTomorrow": "ü",
        **more,
    }


def status(taken: Taken, state: str, **more: str) -> Form:
    sid, to = taken.sid, taken.form["To"][0]
    base = {"SmsSid": sid, "SmsStatus": state, "MessageStatus": state, "To": to, "MessageSid": sid}
    return {**base, "AccountSid": ACCOUNT_SID, "From": NUMBER, "ApiVersion": "2010-04-01", **more}


async def post(
    api: Api, path: str, form: Form, *, signed_url: str | None = None, headers: dict[str, str] | None = None
) -> httpx.Response:
    """Posts a form, signed for the public URL of the path unless for another."""
    signature = sign(signed_url or f"{PUBLIC_URL}{path}", form)
    sent = {
        "X-Twilio-Signature": signature,
        "Content-Type": "application/x-www-form-urlencoded; charset=UTF-8",
        **(headers or {}),
    }
    return await api.http.post(path, content=urlencode(form), headers=sent)


async def write(api: Api, hotel: str, form: Form) -> None:
    """A guest writes: the webhook is acknowledged with nothing to say."""
    answer = await post(api, f"/webhooks/twilio/{hotel}", form)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/xml; charset=utf-8")
    assert answer.text == '<?xml version="1.0" encoding="UTF-8"?><Response/>'


async def report(api: Api, taken: Taken, state: str, **more: str) -> httpx.Response:
    """Twilio calls the URL that it was given with the message."""
    url = taken.status_callback
    assert url.startswith(PUBLIC_URL)
    return await post(api, url.removeprefix(PUBLIC_URL), status(taken, state, **more), signed_url=url)


def guest(stack: Stack, sender: str) -> Guest:
    by_whatsapp = sender.startswith("whatsapp:")
    return stack.guest(adapter="twilio", channel_type="whatsapp" if by_whatsapp else "sms", sender_id=sender)
