"""Twilio webhooks: incoming messages, and status reports on ours."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import Header, Query, Request, Response

from activities.channels.twilio import (
    ADAPTER,
    REFERENCE,
    SIGNATURE_HEADER,
    Received,
    Reported,
    parse,
    verify,
    with_reference,
)
from api.deps import GatewayState
from api.openapi import Responses, problems
from api.routers import SIGNED, public_router
from api.state import State
from api.webhooks.intake import Arrived, ArrivedReport, quarantine, take_in
from contracts.metrics import MESSAGES_INBOUND
from contracts.problems import BadSignature, NotFound, StorageAway, TooLarge, Unavailable
from contracts.quarantine import Unreadable

router = public_router(SIGNED, path="/webhooks", tag="webhooks")
NOTHING_TO_SAY: Final = '<?xml version="1.0" encoding="UTF-8"?><Response/>'
RESPONSES: Final[Responses] = {
    200: {
        "description": "An empty TwiML response.",
        "content": {"text/xml": {"schema": {"type": "string"}, "examples": {"empty": {"value": NOTHING_TO_SAY}}}},
    },
    **problems(BadSignature, NotFound, TooLarge, Unavailable, StorageAway),
}
MESSAGE: Final = {
    "AccountSid": "AC0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "MessageSid": "SM0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "From": "+351910000000",
    "To": "+351210000000",
    "Body": "When is breakfast?",
    "NumMedia": "0",
}
REPORT: Final = {
    "AccountSid": "AC0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "MessageSid": "SM0a1b2c3d4e5f60718293a4b5c6d7e8f9",
    "MessageStatus": "delivered",
}
Signature = Annotated[
    str | None, Header(alias=SIGNATURE_HEADER, description="Twilio's signature over the URL and the form.")
]


def _form(example: dict[str, str]) -> dict[str, Any]:
    """The OpenAPI description of a form."""
    content = {"schema": {"type": "object"}, "examples": {"form": {"value": example}}}
    return {"requestBody": {"required": True, "content": {"application/x-www-form-urlencoded": content}}}


@router.post(
    "/twilio/{property_id}",
    summary="Receive a message from Twilio",
    response_class=Response,
    responses=RESPONSES,
    openapi_extra=_form(MESSAGE),
)
async def receive_twilio(
    request: Request, state: GatewayState, property_id: str, signature: Signature = None
) -> Response:
    """Takes in a message. The empty TwiML response means it is durable; replies are sent by Twilio's API."""
    await _handle(state, property_id, await _signed(request, state, property_id, signature))
    return Response(NOTHING_TO_SAY, media_type="text/xml")


@router.post(
    "/twilio/{property_id}/status",
    summary="Receive a status report from Twilio",
    response_class=Response,
    responses=RESPONSES,
    openapi_extra=_form(REPORT),
)
async def report_twilio(
    request: Request,
    state: GatewayState,
    property_id: str,
    reference: Annotated[
        str, Query(alias=REFERENCE, description="Identifies our message; part of the URL that we give Twilio.")
    ] = "",
    signature: Signature = None,
) -> Response:
    """Takes in a status report. They may come late and in any order; a message's state only moves forward."""
    body = await _signed(request, state, property_id, signature)
    await _handle(state, property_id, with_reference(body, reference))
    return Response(NOTHING_TO_SAY, media_type="text/xml")


async def read_again(state: State, property_id: str, payload: bytes, at: datetime) -> str | None:
    """Parses a quarantined form again. Returns why it still cannot be parsed; None if it is handled."""
    unreadable = await _take(state, property_id, payload, at)
    return unreadable.reason if unreadable else None


async def _handle(state: State, property_id: str, body: bytes) -> None:
    unreadable = await _take(state, property_id, body, datetime.now(UTC))
    await quarantine(state, property_id, ADAPTER, [unreadable] if unreadable else [])


async def _take(state: State, property_id: str, body: bytes, at: datetime) -> Unreadable | None:
    """Takes in a form, or returns it if it cannot be parsed."""
    match parse(body, state.settings.channels_of(property_id).twilio.account_sid, at):
        case Received(channel_type, message):
            await take_in(state, [Arrived(property_id, channel_type, message)])
        case Reported(channel_type, report):
            await take_in(state, reports=[ArrivedReport(property_id, channel_type, report)])
        case Unreadable() as unreadable:
            return unreadable
    return None


async def _signed(request: Request, state: State, property_id: str, signature: str | None) -> bytes:
    """The body of a request that Twilio signed for this property. Raises NotFound or BadSignature."""
    body = await request.body()
    channel = state.settings.channels_of(property_id).twilio
    if property_id not in state.settings.properties or channel.auth_token is None:
        raise NotFound("There is no such property, or its Twilio channel has no authToken")
    try:
        verify(_urls(request, channel.public_url), body, channel.auth_token.get_secret_value(), signature)
    except BadSignature:
        MESSAGES_INBOUND.labels(ADAPTER, property_id, "refused").inc()
        raise
    return body


def _urls(request: Request, public_url: str | None) -> Iterator[str]:
    """The URLs that Twilio may have called: by the public URL, by a proxy's headers, or by the request itself.

    Wrong guesses do no harm, because the signature matches only the right URL.
    """
    scope, headers = request.scope, request.headers  # request.url fails on some Host headers
    query = scope["query_string"].decode("latin-1")
    target = scope["path"] + (f"?{query}" if query else "")
    if public_url is not None:
        yield public_url.rstrip("/") + target
    host = headers.get("host", "")
    scheme = headers.get("x-forwarded-proto", scope["scheme"]).split(",")[0].strip()
    yield f"{scheme}://{headers.get('x-forwarded-host', host).split(',')[0].strip()}{target}"
    yield f"{scope['scheme']}://{host}{target}"
