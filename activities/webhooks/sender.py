"""Sends one event to one endpoint: one attempt, signed by the Standard Webhooks specification, without redirects."""

import asyncio
import hashlib
import random
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import httpcore
from standardwebhooks import Webhook

from activities.retry_after import retry_after_seconds
from activities.storage.sealed_secrets import SealedSecrets, SecretLostError
from activities.storage.webhook_endpoints import Attempt, Target
from activities.tls import trusted
from activities.webhooks.addresses import GuardedNetwork, PrivateAddressError
from contracts.property_events import PropertyEvent
from contracts.webhook_events import WebhookEvent, webhook_event
from settings import Webhooks

GONE: Final = 410
SCHEDULE: Final = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1800, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
)
"""Delays after consecutive failures, as the specification suggests. The last one repeats."""
JITTER: Final = 0.1
_LONGEST_RETRY_AFTER: Final = timedelta(days=1)
_TROUBLE: Final = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    TimeoutError,
    ssl.SSLError,  # after the handshake, e.g. for a missing client certificate, it comes unwrapped
)


@dataclass(frozen=True, slots=True)
class Sent:
    """The result of an attempt. `retry_after` is how long the endpoint asks us to wait."""

    attempt: Attempt
    retry_after: timedelta | None = None

    @property
    def is_gone(self) -> bool:
        return self.attempt.response_status == GONE

    def pause(self, failures: int) -> timedelta:
        """The delay after the `failures`th consecutive failure, but not less than the endpoint asks for."""
        planned = SCHEDULE[min(failures, len(SCHEDULE)) - 1]
        spread = planned * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311 - no secret
        return max(spread, min(self.retry_after or timedelta(0), _LONGEST_RETRY_AFTER))


def webhook_id(*parts: str | int) -> str:
    """An id that is the same for the same parts, without revealing them."""
    return "msg_" + hashlib.sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32]


class WebhookSender:
    """Sends to all endpoints over one connection pool."""

    def __init__(self, settings: Webhooks, secrets: SealedSecrets) -> None:
        self._secrets = secrets
        self._seconds = settings.timeout / 1000
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=trusted(),
            max_connections=None,  # the callers limit it: with a limit here, a few hanging endpoints would block others
            network_backend=GuardedNetwork(allow_private=settings.allow_private),
            keepalive_expiry=30,
        )

    async def send_event(self, target: Target, event: PropertyEvent) -> Sent:
        """Sends an event. Its id is the same for all endpoints and attempts."""
        return await self.send(target, webhook_id(event.property_id, event.position), webhook_event(event))

    async def send(self, target: Target, message_id: str, event: WebhookEvent) -> Sent:
        """One attempt. Only the status and `Retry-After` of the response are read."""
        body = event.model_dump_json(exclude_none=True)
        try:
            async with asyncio.timeout(self._seconds):
                status, headers = await self._post(target, message_id, body)
        except SecretLostError:
            return _failed(message_id, event, "no key in temporal.codecKeys can decrypt its secret; rotate the secret")
        except PrivateAddressError:
            return _failed(message_id, event, "its name resolves to a private address")
        except _TROUBLE as error:
            return _failed(message_id, event, f"it cannot be reached ({type(error).__name__})")
        refused = None if 200 <= status < 300 else _refusal(status)
        attempt = Attempt(message_id, event.type, status, refused)
        wait = retry_after_seconds(headers.get(b"retry-after", b"").decode("latin-1"))
        return Sent(attempt, None if wait is None else timedelta(seconds=wait))

    async def _post(self, target: Target, message_id: str, body: str) -> tuple[int, dict[bytes, bytes]]:
        headers: list[tuple[bytes | str, bytes | str]] = [
            ("content-type", "application/json"),
            ("user-agent", "gateway-webhooks/1"),
            *signature_headers([self._secrets.open(each) for each in target.sealed_secrets], message_id, body),
        ]
        timeouts = dict.fromkeys(("connect", "read", "write", "pool"), self._seconds)
        posting = self._pool.stream(
            "POST", target.endpoint.url, headers=headers, content=body.encode(), extensions={"timeout": timeouts}
        )
        async with posting as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers}

    async def close(self) -> None:
        await self._pool.aclose()


def signature_headers(secrets: Sequence[str], message_id: str, body: str) -> list[tuple[bytes | str, bytes | str]]:
    """The specification's headers, signed with each secret."""
    now = datetime.now(UTC)
    return [
        ("webhook-id", message_id),
        ("webhook-timestamp", str(int(now.timestamp()))),
        ("webhook-signature", " ".join(Webhook(secret).sign(message_id, now, body) for secret in secrets)),
    ]


def _failed(message_id: str, event: WebhookEvent, reason: str) -> Sent:
    return Sent(Attempt(message_id, event.type, None, reason))


def _refusal(status: int) -> str:
    return f"it answered {status}" + ("; redirects are not followed" if 300 <= status < 400 else "")
