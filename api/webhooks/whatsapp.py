"""WhatsApp webhooks: Meta's verification request, and its notifications."""

from datetime import UTC, datetime
from typing import Annotated, Final

from fastapi import Header, Query, Request, Response
from pydantic import SecretStr

from activities.channels.whatsapp import ADAPTER, SIGNATURE_HEADER, Item, challenge, parse, verify
from api.deps import GatewayState
from api.openapi import problems
from api.routers import SIGNED, public_router
from api.state import State
from api.webhooks.intake import Arrived, ArrivedReport, quarantine, take_in
from contracts.metrics import MESSAGES_INBOUND
from contracts.problems import BadSignature, Forbidden, NotFound, StorageAway, TooLarge, Unavailable
from contracts.quarantine import Unreadable
from settings import Settings

router = public_router(SIGNED, path="/webhooks", tag="webhooks")
PREFIX: Final = "/webhooks/whatsapp/"
BODY_LIMIT: Final = 4_000_000
"""Meta sends batches of up to 3 MB."""
EXAMPLE: Final = {
    "object": "whatsapp_business_account",
    "entry": [
        {
            "id": "102290129340398",
            "changes": [
                {
                    "field": "messages",
                    "value": {
                        "messaging_product": "whatsapp",
                        "metadata": {"display_phone_number": "351210000000", "phone_number_id": "106540352242922"},
                        "contacts": [{"profile": {"name": "Ana Souza"}, "wa_id": "351910000000"}],
                        "messages": [
                            {
                                "from": "351910000000",
                                "id": "wamid.HBgLMzUxOTEw",
                                "timestamp": "1795422600",
                                "type": "text",
                                "text": {"body": "What time is breakfast?"},
                            }
                        ],
                    },
                }
            ],
        }
    ],
}


@router.get(
    "/whatsapp/{property_id}",
    summary="Answer Meta's verification request",
    response_class=Response,
    responses={
        200: {
            "description": "The challenge.",
            "content": {
                "text/plain": {"schema": {"type": "string"}, "examples": {"challenge": {"value": "1158201444"}}}
            },
        },
        **problems(Forbidden, NotFound),
    },
)
async def verify_whatsapp(
    state: GatewayState,
    property_id: str,
    mode: Annotated[str | None, Query(alias="hub.mode")] = None,
    token: Annotated[str | None, Query(alias="hub.verify_token")] = None,
    value: Annotated[str | None, Query(alias="hub.challenge")] = None,
) -> Response:
    """Answers Meta's challenge if the token is `channels.whatsapp.verifyToken`."""
    verify_token = state.settings.channels_of(property_id).whatsapp.verify_token
    if property_id not in state.settings.properties or verify_token is None:
        raise NotFound("There is no such property, or its WhatsApp channel has no verifyToken")
    return Response(challenge(mode, token, value, verify_token.get_secret_value()), media_type="text/plain")


@router.post(
    "/whatsapp/{property_id}",
    summary="Receive a WhatsApp notification",
    response_class=Response,
    responses=problems(BadSignature, NotFound, TooLarge, Unavailable, StorageAway),
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {"schema": {"type": "object"}, "examples": {"question": {"value": EXAMPLE}}}
            },
        }
    },
)
async def receive_whatsapp(
    request: Request,
    state: GatewayState,
    property_id: str,
    signature: Annotated[
        str | None,
        Header(
            alias=SIGNATURE_HEADER,
            description="`sha256=<hex>`: the HMAC-SHA256 of the body, keyed with the app secret.",
        ),
    ] = None,
) -> Response:
    """Takes in a notification. 200 means that each of its messages and statuses is durable or in quarantine."""
    body = await request.body()
    secret = state.settings.channels_of(property_id).whatsapp.app_secret
    if property_id not in state.settings.properties or secret is None:
        raise NotFound("There is no such property, or its WhatsApp channel has no appSecret")
    try:
        verify(body, secret.get_secret_value(), signature)
    except BadSignature:
        MESSAGES_INBOUND.labels(ADAPTER, property_id, "refused").inc()
        raise
    await quarantine(state, property_id, ADAPTER, await _take(state, property_id, secret, body, datetime.now(UTC)))
    return Response()


async def read_again(state: State, property_id: str, payload: bytes, at: datetime) -> str | None:
    """Parses a quarantined item again. Returns why it still cannot be parsed; None if it is handled."""
    secret = state.settings.channels_of(property_id).whatsapp.app_secret
    unreadable = await _take(state, property_id, secret, payload, at)
    return unreadable[0].reason if unreadable else None


async def _take(
    state: State, addressed: str, secret: SecretStr | None, body: bytes, received_at: datetime
) -> list[Unreadable]:
    """Takes in what can be parsed, and returns the rest."""
    batch, settings = parse(body, received_at), state.settings
    unreadable, messages, reports = batch.unreadable, [], []
    for received in batch.received:
        if owner := _owner(settings, received, addressed, secret):
            messages.append(Arrived(owner, ADAPTER, received.message))
        else:
            unreadable.append(_nobodys(received))
    for reported in batch.reported:
        if owner := _owner(settings, reported, addressed, secret):
            reports.append(ArrivedReport(owner, ADAPTER, reported.report))
        else:
            unreadable.append(_nobodys(reported))
    await take_in(state, messages, reports)
    return unreadable


def _owner(settings: Settings, item: Item, addressed: str, secret: SecretStr | None) -> str | None:
    """The property with this number, if the secret that signed the item is that property's too."""
    owner = settings.property_of_number(item.phone_number_id, addressed)
    return owner if owner is not None and settings.channels_of(owner).whatsapp.app_secret == secret else None


def _nobodys(item: Item) -> Unreadable:
    return Unreadable(item.payload, "no property with this app secret has the number that it was sent to")
