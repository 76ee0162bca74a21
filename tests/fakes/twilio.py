"""Twilio's REST API as senders of messages see it: takes messages, lists them, and fails on command."""

import base64
import hashlib
import hmac
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from tests.fakes.misbehaving import Faults

ACCOUNT_SID = "AC" + "0" * 31 + "1"
AUTH_TOKEN = "the auth token"
NUMBER = "+351210000000"
PUBLIC_URL = "https://gateway.hotel.test"


@dataclass
class Taken:
    """A message that the fake took."""

    sid: str
    form: dict[str, list[str]]
    at: datetime

    @property
    def text(self) -> str:
        return self.form.get("Body", [""])[0]

    @property
    def status_callback(self) -> str:
        return self.form["StatusCallback"][0]

    def resource(self) -> dict[str, Any]:
        moment = format_datetime(self.at)
        return {
            "sid": self.sid,
            "account_sid": ACCOUNT_SID,
            "to": self.form["To"][0],
            "from": self.form.get("From", [None])[0],
            "messaging_service_sid": self.form.get("MessagingServiceSid", [None])[0],
            "body": self.text,
            "status": "queued",
            "direction": "outbound-api",
            "num_segments": "1",
            "num_media": str(len(self.form.get("MediaUrl", []))),
            "date_created": moment,
            "date_sent": moment,
            "date_updated": moment,
            "error_code": None,
            "error_message": None,
            "price": None,
            "price_unit": "USD",
            "api_version": "2010-04-01",
            "uri": f"/2010-04-01/Accounts/{ACCOUNT_SID}/Messages/{self.sid}.json",
        }


class FakeTwilio:
    """`taken` is what it sends to guests, `attempts` every request to send; `refuse` holds error codes by text."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.attempts: list[dict[str, list[str]]] = []
        self.list_is_away = False
        self.media: dict[str, bytes] = {}
        self.refuse: dict[str, list[int]] = {}
        self.faults = Faults()
        self.webhook = f"{PUBLIC_URL}/webhooks/twilio/seaview"
        self.number: dict[str, str] = {}
        self.services: dict[str, dict[str, Any]] = {}
        """What is set at the number and at messaging services, beside the webhook."""
        account = "/2010-04-01/Accounts/{account}"
        self.app = Starlette(
            routes=[
                Route(f"{account}/Messages.json", self._send, methods=["POST"]),
                Route(f"{account}/Messages.json", self._list),
                Route(f"{account}/Messages/{{sid}}/Media/{{media}}", self._media),
                Route(f"{account}/IncomingPhoneNumbers.json", self._numbers_of),
                Route(f"{account}.json", self._account),
                Route("/v1/Services/{sid}", self._service),
                Route("/cdn/{media}", self._cdn),
            ]
        )

    def sent_texts(self) -> list[str]:
        return [each.text for each in self.taken]

    async def _send(self, request: Request) -> Response:
        if (refused := _authorized(request)) is not None:
            return refused
        form = parse_qs((await request.body()).decode(), keep_blank_values=True)
        self.attempts.append(form)
        fault = self.faults.take()
        if fault == "too_many":
            return _error(20429, "Too Many Requests", 429, {"retry-after": str(self.faults.retry_after)})
        if (instead := await self.faults.instead(fault)) is not None:
            return instead
        codes = self.refuse.get(form.get("Body", [""])[0])
        if codes:
            code = codes.pop(0)
            return _error(code, "refused", 429 if code == 20429 else 400)
        message = Taken(f"SM{uuid.uuid4().hex}", form, datetime.now(UTC))
        self.taken.append(message)
        return await self.faults.after(fault) or JSONResponse(message.resource(), status_code=201)

    async def _list(self, request: Request) -> Response:
        if (refused := _authorized(request)) is not None:
            return refused
        if self.list_is_away:
            return _error(20503, "Service Unavailable", 503)
        to = request.query_params.get("To")
        found = [each.resource() for each in reversed(self.taken) if to in (None, each.form["To"][0])]
        return JSONResponse({"messages": found, "page": 0, "page_size": 100, "next_page_uri": None})

    async def _account(self, request: Request) -> Response:
        if (refused := _authorized(request)) is not None:
            return refused
        return JSONResponse({"sid": ACCOUNT_SID, "friendly_name": "Hotel", "status": "active", "type": "Full"})

    async def _numbers_of(self, request: Request) -> Response:
        if (refused := _authorized(request)) is not None:
            return refused
        known = request.query_params.get("PhoneNumber") == NUMBER
        number = {"phone_number": NUMBER, "sms_url": self.webhook, "sms_method": "POST", "sms_application_sid": ""}
        numbers = [{**number, **self.number}] if known else []
        return JSONResponse({"incoming_phone_numbers": numbers, "page": 0})

    async def _service(self, request: Request) -> Response:
        sid = request.path_params["sid"]
        if sid not in self.services:
            return _error(20404, "The requested resource was not found", 404)
        usual = {"inbound_request_url": self.webhook, "inbound_method": "POST", "use_inbound_webhook_on_number": False}
        return JSONResponse({"sid": sid, **usual, **self.services[sid]})

    async def _media(self, request: Request) -> Response:
        if (refused := _authorized(request)) is not None:
            return refused
        if request.path_params["media"] not in self.media:
            return _error(20404, "The requested resource was not found", 404)
        return RedirectResponse(f"/cdn/{request.path_params['media']}", status_code=307)

    async def _cdn(self, request: Request) -> Response:
        return Response(self.media[request.path_params["media"]], media_type="image/jpeg")


def sign(url: str, form: dict[str, str]) -> str:
    """X-Twilio-Signature as Twilio's documentation describes it, made without its library."""
    signed = url + "".join(name + form[name] for name in sorted(form))
    return base64.b64encode(hmac.new(AUTH_TOKEN.encode(), signed.encode(), hashlib.sha1).digest()).decode()


def _authorized(request: Request) -> Response | None:
    expected = base64.b64encode(f"{ACCOUNT_SID}:{AUTH_TOKEN}".encode()).decode()
    if request.headers.get("authorization") == f"Basic {expected}" and request.path_params["account"] == ACCOUNT_SID:
        return None
    return _error(20003, "Authenticate", 401)


def _error(code: int, message: str, status: int, headers: dict[str, str] | None = None) -> Response:
    more = f"https://www.twilio.com/docs/errors/{code}"
    body = {"code": code, "message": message, "more_info": more, "status": status}
    return JSONResponse(body, status_code=status, headers=headers)
