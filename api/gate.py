"""The gate of the REST interface: who is calling, how often, and no further without a session."""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.sessions import Session, authenticate
from api.errors import problem_response
from api.keys import BASE
from api.state import State, state_of
from contracts.problems import GatewayError, TooManyRequests, Unauthenticated

OPEN: Final = frozenset({("POST", f"{BASE}/auth/login")})
"""The routes under the base path that need no session; all others are closed, those that do not exist included."""
_OPEN_PATHS: Final = frozenset(path for _, path in OPEN)
"""Another method there is not allowed, whoever asks; the router says so."""
SESSION_KEY: Final = "gateway.session"
"""Where the session stands in the scope of a request that passed."""
HEADERS_KEY: Final = "gateway.headers"
"""Where headers stand in the scope that the answer is to carry, whatever it is."""


class Gate:
    """Lets a request through with its session, or answers it. Counts it for its caller either way."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers: dict[str, str] = {}
        scope[HEADERS_KEY] = headers

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(headers)
            await send(message)

        problem = await _pass(scope, headers) if scope["path"].startswith(f"{BASE}/") else None
        await (problem_response(problem) if problem else self._app)(scope, receive, send_with_headers)


async def _pass(scope: Scope, headers: dict[str, str]) -> GatewayError | None:
    """Why a request to the REST interface may not pass, or nothing."""
    connection = HTTPConnection(scope)
    state = state_of(connection)
    session, problem = await _who(state, connection)
    if session is not None:
        scope[SESSION_KEY] = session
        if session.renewed:
            headers["Session-Expires-At"] = session.expires_at.isoformat()
    quota = await state.requests.take(caller(connection))
    headers.update(quota.headers)
    if quota.exceeded:
        return TooManyRequests(
            f"{quota.limit} requests in {quota.window_seconds} s are allowed", retryAfter=quota.reset_seconds
        )
    return None if scope["path"] in _OPEN_PATHS else problem


async def _who(state: State, connection: HTTPConnection) -> tuple[Session | None, GatewayError | None]:
    """The session of a request, or why there is none."""
    scheme, _, token = connection.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return None, Unauthenticated(
            "Send an API key, or the access token of POST /api/v1/auth/login, as Authorization: Bearer"
        )
    try:
        return await authenticate(state, token.strip()), None
    except GatewayError as problem:
        return None, problem


def caller(connection: HTTPConnection) -> str:
    """Whose requests belong together: a member of staff's, or without a session an address'."""
    session: Session | None = connection.scope.get(SESSION_KEY)
    if session is not None:
        return f"staff:{session.staff.id}"
    return f"address:{connection.client.host if connection.client else 'unknown'}"
