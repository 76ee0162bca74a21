"""Meta's Graph API as WhatsApp's senders see it: takes messages, marks and media requests, and fails on command."""

import json
import uuid
from dataclasses import dataclass
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.fakes.misbehaving import Faults

ACCESS_TOKEN = "EAAG-access"
APP_SECRET = "the app's secret"
VERIFY_TOKEN = "the verify token"
PHONE_NUMBER_ID = "106540352242922"


@dataclass
class Taken:
    """A message that the fake took."""

    wamid: str
    payload: dict[str, Any]

    @property
    def text(self) -> str:
        return str(self.payload["text"]["body"])

    @property
    def reference(self) -> str:
        return str(self.payload["biz_opaque_callback_data"])


class FakeGraph:
    """`taken` is what it sends to guests, `attempts` every request to send; `refuse` holds error codes by text."""

    def __init__(self) -> None:
        self.taken: list[Taken] = []
        self.attempts: list[dict[str, Any]] = []
        self.marks: list[dict[str, Any]] = []
        self.media: dict[str, bytes] = {}
        self.media_codes: list[tuple[int, int]] = []
        """Errors that the next requests for files get: code and status."""
        self.refuse: dict[str, list[int]] = {}
        self.errors: dict[int, dict[str, Any]] = {}
        """What errors hold besides the usual, by their codes."""
        self.faults = Faults()
        self.base = ""
        self.webhook = "https://gateway.hotel.test/webhooks/whatsapp/seaview"
        self.overrides: dict[str, str] = {}
        """Webhooks of the number and its account, which take the place of the app's."""
        self.app = Starlette(
            routes=[
                Route("/v23.0/{number}/messages", self._messages, methods=["POST"]),
                Route("/file/{media_id}", self._file),
                Route("/v23.0/{node}", self._node),
            ]
        )

    def sent_texts(self) -> list[str]:
        return [each.text for each in self.taken]

    async def _messages(self, request: Request) -> Response:
        payload = json.loads(await request.body())
        if (refused := _authorized(request)) is not None:
            return refused
        assert request.path_params["number"] == PHONE_NUMBER_ID
        assert payload["messaging_product"] == "whatsapp"
        if payload.get("status") == "read":
            self.marks.append(payload)
            return JSONResponse({"success": True})
        self.attempts.append(payload)
        fault = self.faults.take()
        if fault == "too_many":
            headers = {"retry-after": str(self.faults.retry_after)}
            return JSONResponse(_error(130429, "Rate limit hit"), status_code=429, headers=headers)
        if (instead := await self.faults.instead(fault)) is not None:
            return instead
        codes = self.refuse.get(payload.get("text", {}).get("body", ""))
        if codes:
            code = codes.pop(0)
            refused = _error(code, "refused")["error"] | self.errors.get(code, {})
            return JSONResponse({"error": refused}, status_code=429 if code == 429 else 400)
        message = Taken(f"wamid.{uuid.uuid4().hex}", payload)
        self.taken.append(message)
        contact = {"input": payload.get("to") or payload["recipient"]}
        answer = {
            "messaging_product": "whatsapp",
            "contacts": [contact],
            "messages": [{"id": message.wamid, "message_status": "accepted"}],
        }
        return await self.faults.after(fault) or JSONResponse(answer)

    async def _node(self, request: Request) -> Response:
        if (refused := _authorized(request)) is not None:
            return refused
        node = request.path_params["node"]
        if node == PHONE_NUMBER_ID:
            webhook = {"application": self.webhook, **self.overrides}
            return JSONResponse(
                {"id": node, "display_phone_number": "+351 21 000 0000", "webhook_configuration": webhook}
            )
        if self.media_codes:
            code, status = self.media_codes.pop(0)
            refused = _error(code, "refused")["error"] | self.errors.get(code, {})
            return JSONResponse({"error": refused}, status_code=status)
        if node in self.media:
            return JSONResponse({"id": node, "url": f"{self.base}/file/{node}", "mime_type": "image/jpeg"})
        return JSONResponse(_error(100, "Unsupported get request"), status_code=404)

    async def _file(self, request: Request) -> Response:
        return _authorized(request) or Response(self.media[request.path_params["media_id"]], media_type="image/jpeg")


def _authorized(request: Request) -> Response | None:
    if request.headers.get("authorization") == f"Bearer {ACCESS_TOKEN}":
        return None
    return JSONResponse(_error(190, "Invalid OAuth access token"), status_code=401)


def _error(code: int, message: str) -> dict[str, Any]:
    return {
        "error": {
            "message": f"(#{code}) {message}",
            "type": "OAuthException",
            "code": code,
            "error_data": {"messaging_product": "whatsapp", "details": message},
            "fbtrace_id": "AbCdEf",
        }
    }
