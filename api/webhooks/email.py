"""E-mail webhooks: Mailgun, Postmark, SendGrid, and `raw` for programs that post the RFC 5322 message."""

import asyncio
import functools
import hashlib
import logging
from datetime import UTC, datetime
from typing import Annotated, Final, get_args

from fastapi import Header, Query, Request, Response, status
from pydantic import ConfigDict, Field

from activities.channels.email import ADAPTER, Inbound, understand
from activities.channels.email_addresses import Marks
from activities.channels.email_providers import (
    SECRET_HEADER,
    Provider,
    mailgun_mail,
    postmark_mail,
    read_form,
    sendgrid_mail,
    verify_mailgun,
    verify_secret,
)
from activities.channels.email_reading import File, Mail, Unreadable, read_mail
from activities.media.store import clean_name
from activities.media.types import MediaRefused
from api.deps import GatewayState
from api.openapi import problems
from api.routers import SIGNED, public_router
from api.state import State
from contracts import quarantine
from contracts.base import Model
from contracts.commands import DeliveryFailure
from contracts.delivery import DeliveryReport
from contracts.media import media_id_of
from contracts.messages import Attachment, DeliveryState, GuestMessage, Route
from contracts.metrics import MESSAGES_INBOUND
from contracts.problems import BadSignature, GatewayError, NotFound, StorageAway, TooLarge, Unavailable
from settings import EmailChannel

router = public_router(SIGNED, path="/webhooks/email", tag="webhooks")
PREFIX: Final = "/webhooks/email/"
BODY_LIMIT: Final = 40_000_000
"""The largest mail, in bytes as a provider encodes it with its attachments. Every provider's own limit is lower."""
FILES_LIMIT: Final = 20
CONTENT_TYPE_LIMIT: Final = 256
_END_OF_TYPE: Final = b"\r\n\r\n"
"""Separates the content type from the body of a request kept in quarantine."""
LOOP: Final = "too many e-mails in an hour, as in a loop of automatic replies"
_STOP: Final[dict[Provider, int]] = {"mailgun": 406, "postmark": 403, "sendgrid": 200, "raw": 422}
"""The status at which each provider stops retrying; after any other failure it tries again."""

logger = logging.getLogger("gateway.api")

MAILS: Final = {
    "message/rfc822": {
        "schema": {"type": "string"},
        "examples": {
            "raw": {
                "value": "From: Ana <ana@example.com>\r\nTo: hello@hotel.example\r\nMessage-ID: <1@example.com>\r\n"
                "Subject: Breakfast\r\n\r\nWhen is breakfast?\r\n"
            }
        },
    }
}


class MailAccepted(Model):
    """`messageId` identifies repeats of this mail: a hash of its Message-ID, or of its content."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"messageId": "9f86d081884c7d65"}]})

    message_id: Annotated[str, Field(description="Identifies repeats of this mail.")]


class MailUnreadable(GatewayError):
    """A mail that could not be parsed and is kept in quarantine. The status makes its provider stop retrying."""

    status, code, title = 422, "mail_unreadable", "The e-mail cannot be parsed"


@router.post(
    "/{provider}/{property_id}",
    summary="Receive an e-mail",
    responses=problems(BadSignature, NotFound, TooLarge, MailUnreadable, Unavailable)
    | {200: {"description": "For a provider"}, 202: {"model": MailAccepted, "description": "For `raw`"}},
    openapi_extra={"requestBody": {"required": True, "content": MAILS}},
)
async def receive_mail(
    request: Request,
    response: Response,
    state: GatewayState,
    provider: Provider,
    property_id: str,
    secret: Annotated[str | None, Query(description="The secret, for providers that cannot send it otherwise.")] = None,
    secret_header: Annotated[str | None, Header(alias=SECRET_HEADER)] = None,
) -> MailAccepted:
    """Takes in a mail. Accepted means durable.

    For `raw` the body is the RFC 5322 message, otherwise what the provider posts. Automatic mail, bounces and the like
    are accepted as well, and never answered.
    """
    channel = state.settings.channels_of(property_id).email
    key = _key(channel, provider)
    if property_id not in state.settings.properties or key is None:
        raise NotFound(f"There is no such property, or its e-mail has no secret for {provider}")
    try:
        if provider != "mailgun":
            verify_secret(key, authorization=request.headers.get("authorization"), header=secret_header, query=secret)
        body = await request.body()
        content_type = request.headers.get("content-type", "")
        inbound, fingerprint = await asyncio.to_thread(
            _understood, state, provider, property_id, key, content_type, body
        )
    except BadSignature:
        MESSAGES_INBOUND.labels(ADAPTER, property_id, "refused").inc()
        raise
    except Unreadable as error:
        return await _put_aside(state, provider, property_id, content_type, body, str(error))
    reason = await _take(state, property_id, inbound)
    if reason is not None:
        await _keep(state, provider, property_id, content_type, body, reason)
    MESSAGES_INBOUND.labels(ADAPTER, property_id, "accepted" if reason is None else "quarantined").inc()
    if provider == "raw":
        response.status_code = status.HTTP_202_ACCEPTED
    return MailAccepted(message_id=fingerprint)


def _key(channel: EmailChannel, provider: Provider) -> str | None:
    secrets = {
        "mailgun": channel.mailgun_signing_key,
        "postmark": channel.postmark_secret,
        "sendgrid": channel.sendgrid_secret,
        "raw": channel.secret,
    }
    secret = secrets[provider]
    return secret.get_secret_value() if secret is not None else None


def _understood(
    state: State, provider: Provider, property_id: str, key: str, content_type: str, body: bytes
) -> tuple[Inbound, str]:
    """Parses a request. Long mails take a while, so this runs outside the event loop."""
    now = datetime.now(UTC)
    if provider == "mailgun":
        _verify_mailgun(content_type, body, key, now)
    mail = _mail(provider, content_type, body)
    return _meaning(state, mail, property_id, now), mail.fingerprint


def _verify_mailgun(content_type: str, body: bytes, key: str, now: datetime) -> None:
    try:
        form = read_form(content_type, body)
    except Unreadable as error:
        # The signature is part of the form, so a body that is no form cannot be authentic.
        raise BadSignature(f"The body must be Mailgun's form: {error}") from error
    verify_mailgun(form, key, now)


def _mail(provider: Provider, content_type: str, body: bytes) -> Mail:
    match provider:
        case "raw":
            return read_mail(body)
        case "postmark":
            return postmark_mail(body)
        case "sendgrid":
            return sendgrid_mail(read_form(content_type, body))
        case "mailgun":
            return mailgun_mail(read_form(content_type, body))


def _meaning(state: State, mail: Mail, property_id: str, received_at: datetime) -> Inbound:
    address = state.settings.channels_of(property_id).email.from_address
    return understand(mail, property_id=property_id, our_address=address, marks=_marks(state), received_at=received_at)


def _marks(state: State) -> Marks:
    secret = state.settings.security.identity_secret
    assert secret is not None, "the process does not start without it"
    return Marks(secret.get_secret_value())


async def _put_aside(
    state: State, provider: Provider, property_id: str, content_type: str, body: bytes, reason: str
) -> MailAccepted:
    """Keeps a mail that could not be parsed, and tells the provider to stop retrying."""
    MESSAGES_INBOUND.labels(ADAPTER, property_id, "quarantined").inc()
    await _keep(state, provider, property_id, content_type, body, reason)
    problem = MailUnreadable(f"This e-mail is kept for staff, but cannot be parsed: {reason}")
    problem.status = _STOP[provider]
    if problem.status != status.HTTP_200_OK:
        raise problem
    return MailAccepted(message_id=hashlib.sha256(body).hexdigest()[:40])


async def _keep(
    state: State, provider: Provider, property_id: str, content_type: str, body: bytes, reason: str
) -> None:
    payload = content_type.encode("latin-1", "replace") + _END_OF_TYPE + body
    await state.quarantine.keep(property_id, f"{ADAPTER}-{provider}", [quarantine.Unreadable(payload, reason)])


async def _read_again(provider: Provider, state: State, property_id: str, payload: bytes, at: datetime) -> str | None:
    """Parses a quarantined mail again. Returns why it still cannot be taken in; None if it is handled."""
    content_type, _, body = payload.partition(_END_OF_TYPE)
    try:
        mail = await asyncio.to_thread(_mail, provider, content_type.decode("latin-1"), body)
        inbound = _meaning(state, mail, property_id, at)
    except Unreadable as error:
        return str(error)
    return await _take(state, property_id, inbound)


READERS: Final = {f"{ADAPTER}-{provider}": functools.partial(_read_again, provider) for provider in get_args(Provider)}
"""The functions that parse quarantined mails again, by the adapter name they are kept under."""


async def _take(state: State, property_id: str, inbound: Inbound) -> str | None:
    """Makes a mail durable: reports on our messages, or a message with its files.

    Returns why it belongs in quarantine, unless it does not.
    """
    for report in inbound.reports:
        about = report.about
        delivery_report = DeliveryReport(
            conversation_id=about.conversation_id,
            message_id=about.message_id,
            state=report.state,
            reason=inbound.kind.value if report.state is DeliveryState.FAILED else None,
            at=datetime.now(UTC),
        )
        if await state.reports.record(property_id, ADAPTER, delivery_report):
            await state.reception.delivery_failed(
                property_id,
                DeliveryFailure(
                    conversation_id=about.conversation_id, message_id=about.message_id, reason=inbound.kind.value
                ),
            )
    if inbound.message is None:
        return None
    address = inbound.contact_address or inbound.message.route.sender_id
    contact_key = inbound.contact_key or state.conversations.contact_key(property_id, ADAPTER, address)
    if inbound.alone != "start" and not await state.conversations.is_open(contact_key):
        return await _alone(state, inbound, contact_key, opts_out=inbound.message.opts == "out")
    await _receive(state, property_id, inbound, inbound.message, contact_key)
    return None


async def _alone(state: State, inbound: Inbound, contact_key: str, *, opts_out: bool) -> str | None:
    """A mail system's report without an open conversation. Returns why it belongs in quarantine, unless it does not."""
    if opts_out:
        await state.contacts.opt_out(contact_key)
    elif inbound.alone == "keep":
        return f"{inbound.kind.value} that belongs to no open conversation"
    logger.info("a mail belongs to no open conversation and starts none: %s", inbound.kind.value)
    return None


async def _receive(state: State, property_id: str, inbound: Inbound, message: GuestMessage, contact_key: str) -> None:
    attachments, refused = await _keep_files(state, property_id, message.id, inbound.files)
    content = "\n\n".join(part for part in (message.content, *refused) if part)
    counted = message.suppressed is None
    route = (
        message.route if counted or inbound.contact_key is None else await _way_back(state, contact_key, message.route)
    )
    looping = counted and (await state.mails[property_id].look(contact_key)).exceeded
    message = message.model_copy(
        update={
            "route": route,
            "content": content,
            "attachments": attachments,
            "suppressed": LOOP if looping else message.suppressed,
        }
    )
    await state.reception.receive(property_id, ADAPTER, message, contact_key=contact_key)
    if counted and not looping:
        await state.mails[property_id].take(contact_key)


async def _way_back(state: State, contact_key: str, route: Route) -> Route:
    """The guest's own route, if it is known: automatic mail may come from another address, and start a conversation."""
    try:
        known = await state.contacts.find(contact_key)
    except StorageAway:
        return route
    return known.route if known is not None and known.route is not None and known.route.adapter == ADAPTER else route


async def _keep_files(
    state: State, property_id: str, message_id: str, files: tuple[File, ...]
) -> tuple[list[Attachment], list[str]]:
    """Stores the files. Returns them by reference, and a line for each that is not kept. Raises MediaAway.

    Files that Mailgun keeps are fetched later, apart from the message, if there is a key to them.
    """
    kept: list[Attachment] = []
    refused: list[str] = []
    for number, file in enumerate(files):
        if number >= FILES_LIMIT:
            refused.append(f"[{len(files) - FILES_LIMIT} more files: not kept]")
            break
        if file.url is not None:
            left = Attachment(
                id=str(number),
                name=clean_name(file.name),
                content_type=file.declared[:CONTENT_TYPE_LIMIT],
                size=file.size,
                url=file.url,
            )
            if state.settings.channels_of(property_id).email.mailgun_api_key is None:
                refused.append(f"[{left.name}: left at Mailgun]")
            else:
                kept.append(left)
            continue
        media_id = media_id_of(property_id, message_id, str(number), hashlib.sha256(file.content).hexdigest())
        try:
            stored = await state.media.put(
                property_id, file.content, name=file.name, content_type=file.declared, media_id=media_id
            )
        except (MediaRefused, TooLarge) as error:
            refused.append(f"[{file.name}: {error.title.lower()}]")
        else:
            kept.append(stored.attachment)
    return kept, refused
