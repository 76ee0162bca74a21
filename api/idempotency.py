"""`Idempotency-Key` on every POST: a repeated request gets the same answer and has no further effect.

Answers are kept in PostgreSQL, encrypted. Effects elsewhere also take their ids from the key (`keyed` in `api.deps`),
so that they happen once even if a process dies between effect and answer, or PostgreSQL is away and the request passes
as if it had no key. After a day, the same key is a new request, so the day on which the request first came is part of
those ids. While PostgreSQL is away, today is assumed: a request repeated after midnight can then count as two.
"""

import hashlib
import hmac
import logging
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Final
from uuid import uuid4

from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from pydantic import BaseModel, ConfigDict
from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from activities.storage.idempotency import IdempotencyKeys
from api.errors import problem_response
from api.gate import caller
from api.names import BASE, KEY_HEADER, KEY_LENGTH, KEY_PATTERN, LASTING_KEY, REPLAYED
from api.state import State, state_of
from contracts.problems import Invalid, KeyInFlight, KeyReused, StorageAway

KEPT_HEADERS: Final = frozenset(
    {"cache-control", "content-type", "location", "etag", "gateway-degraded", "retry-after"}
)
NOT_ATTEMPTED: Final = frozenset(
    {
        HTTPStatus.BAD_REQUEST,
        HTTPStatus.UNAUTHORIZED,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        HTTPStatus.UNPROCESSABLE_ENTITY,
        HTTPStatus.TOO_MANY_REQUESTS,
    }
)
"""Refusals because of the request itself. After a correction it may be sent under the same key."""
IN_FLIGHT_SECONDS: Final = 1
NONCE_BYTES: Final = 12
_BOUNDARY: Final = re.compile(rb'boundary="?([^";,]+)"?', re.IGNORECASE)

logger = logging.getLogger("gateway.api")


class Answer(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")

    status: int
    headers: list[tuple[str, str]]
    body: bytes


@dataclass(frozen=True, slots=True)
class _Keyed:
    """A request under a key. `id` hashes caller, path and key; `fingerprint` hashes what is asked."""

    id: str
    fingerprint: str
    attempt: str
    cipher: AESGCM

    def seal(self, answer: Answer) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self.cipher.encrypt(nonce, answer.model_dump_json().encode(), None)

    def open(self, sealed: bytes) -> Answer:
        return Answer.model_validate_json(self.cipher.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], None))


class Idempotency:
    """Middleware between the gate, which identifies the caller, and the routes, which need not know of it."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        key = _key(scope)
        if key is None:
            await self._app(scope, receive, send)
            return
        if not (re.fullmatch(KEY_PATTERN, key) and len(key) <= KEY_LENGTH):
            refusal = Invalid(f"{KEY_HEADER}: must be 1 to {KEY_LENGTH} visible ASCII characters", field=KEY_HEADER)
            await problem_response(refusal)(scope, receive, send)
            return
        body = await _body(receive)
        if body is None:
            return
        state = state_of(HTTPConnection(scope))
        keyed = _keyed(state, scope, key, body)
        try:
            claim = await state.idempotency_keys.claim(keyed.id, keyed.fingerprint, keyed.attempt)
        except StorageAway:
            scope[LASTING_KEY] = _lasting(key, datetime.now(UTC))
            await self._app(scope, _again(body, receive), send)
            return
        if claim.made:
            scope[LASTING_KEY] = _lasting(key, claim.began_at)
            await self._make(state.idempotency_keys, keyed, scope, _again(body, receive), send)
        elif claim.fingerprint != keyed.fingerprint:
            refused = KeyReused(f"{KEY_HEADER}: this key was used for a different request; use a new key")
            await problem_response(refused)(scope, receive, send)
        elif claim.answer is None:
            waits = KeyInFlight(
                "The same request is still in progress; try again shortly", retryAfter=IN_FLIGHT_SECONDS
            )
            await problem_response(waits)(scope, receive, send)
        else:
            await _replayed(keyed.open(claim.answer))(scope, receive, send)

    async def _make(self, keys: IdempotencyKeys, keyed: _Keyed, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on, and stores its answer before the caller gets it."""
        held: list[Message] = []

        async def hold(message: Message) -> None:
            held.append(message)

        try:
            await self._app(scope, receive, hold)
        except BaseException:
            with suppress(StorageAway):
                await keys.release(keyed.id, keyed.attempt)
            raise
        answer = _answer(held)
        try:
            if answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in NOT_ATTEMPTED:
                await keys.release(keyed.id, keyed.attempt)
            else:
                await keys.keep(keyed.id, keyed.attempt, keyed.seal(answer))
        except StorageAway:
            logger.warning("an answer could not be kept under its Idempotency-Key: storage went away meanwhile")
        for message in held:
            await send(message)


def _key(scope: Scope) -> str | None:
    if scope["type"] != "http" or scope["method"] != "POST" or not scope["path"].startswith(f"{BASE}/"):
        return None
    return Headers(scope=scope).get(KEY_HEADER)


def _lasting(key: str, began_at: datetime | None) -> str:
    """The key with the day. Without a day, it stays compatible with ids from before days were recorded."""
    return key if began_at is None else f"{key} {began_at.astimezone(UTC):%Y-%m-%d}"


def _keyed(state: State, scope: Scope, key: str, body: bytes) -> _Keyed:
    connection = HTTPConnection(scope)
    whose = f"{caller(connection)}\n{scope['path']}\n{key}"
    asked = [scope["query_string"], _without_boundary(connection.headers.get("content-type", ""), body)]
    return _Keyed(
        id=_hash(state, "id", whose.encode()).hex(),
        fingerprint=_hash(state, "body", b"\n".join(asked)).hex(),
        attempt=uuid4().hex,
        cipher=AESGCM(_hash(state, "answer", whose.encode())),
    )


def _hash(state: State, purpose: str, value: bytes) -> bytes:
    """A keyed hash, so that nobody who reads the table can guess passwords or messages by trying."""
    identity = state.settings.security.identity_secret
    assert identity is not None  # required at start, and unlike signing keys it never changes
    return hmac.digest(f"idempotency {purpose} {identity.get_secret_value()}".encode(), value, hashlib.sha256)


def _without_boundary(content_type: str, body: bytes) -> bytes:
    """The body of a form without its boundary, which is different in each attempt."""
    found = _BOUNDARY.search(content_type.encode())
    return body.replace(b"--" + found[1], b"--") if found and content_type.startswith("multipart/") else body


async def _body(receive: Receive) -> bytes | None:
    """The whole body; None if the client has gone."""
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(parts)


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that returns the body that was already read."""
    unread = True

    async def again() -> Message:
        nonlocal unread
        if unread:
            unread = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return again


def _answer(held: Sequence[Message]) -> Answer:
    head = held[0]
    headers = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in head["headers"]]
    return Answer(
        status=head["status"],
        headers=[(name, value) for name, value in headers if name.lower() in KEPT_HEADERS],
        body=b"".join(each.get("body", b"") for each in held[1:]),
    )


def _replayed(answer: Answer) -> Response:
    response = Response(answer.body, answer.status, headers={REPLAYED: "true"})
    for name, value in answer.headers:
        response.headers[name] = value
    return response
