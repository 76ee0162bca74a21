"""The gate in front of the REST API: authenticates every request, applies rate limits, and refuses strangers."""

from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api.auth.sessions import Session, authenticate
from api.errors import problem_response
from api.names import BASE
from api.state import State, state_of
from contracts.problems import GatewayError, TooManyRequests, Unauthenticated

OPEN: Final = frozenset({("POST", f"{BASE}/auth/login")})
"""The routes under the base path that need no session. All other paths require one, even those that do not exist."""
_OPEN_PATHS: Final = frozenset(path for _, path in OPEN)
"""Other methods on these paths pass the gate too, so that the router can answer 405."""
SESSION_KEY: Final = "gateway.session"
"""The scope key that holds the session of a request that passed."""
HEADERS_KEY: Final = "gateway.headers"
"""The scope key of headers that the response must carry, whatever it is."""


class Gate:
    """Lets a request through with its session, or refuses it. Either way it counts towards the caller's rate limit."""

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
    """Why a request to the REST API may not pass; None if it may."""
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
    """The session of a request, or the reason why there is none."""
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
    """Who a request counts for: the member of staff or, without a session, the IP address."""
    session: Session | None = connection.scope.get(SESSION_KEY)
    if session is not None:
        return f"staff:{session.staff.id}"
    return f"address:{connection.client.host if connection.client else 'unknown'}"
