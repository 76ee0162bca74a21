"""The api on a real port, and members of staff who use it."""

import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from fastapi import FastAPI

from activities.tls import trusted
from api.auth.permissions import Permission, permissions_of
from api.auth.tokens import Claims
from api.live.protocol import protocol_options
from api.main import create_app
from api.state import State
from contracts.staff import ApiKey, Staff, StaffRole
from settings import Settings
from tests.fakes.server import serving
from tests.support import Stack

PASSWORD = "a long enough password"


@dataclass
class Person:
    """A member of staff, signed in; `http` sends their token."""

    staff: Staff
    token: str
    http: httpx.AsyncClient


@dataclass
class Program:
    """A program with its API key; `http` sends it."""

    key: ApiKey
    text: str
    http: httpx.AsyncClient


class Api:
    """An api process in front of real servers. `http` is nobody in particular."""

    def __init__(self, app: FastAPI, url: str, http: httpx.AsyncClient, closing: AsyncExitStack) -> None:
        self.url = url
        self.http = http
        self._app = app
        self._closing = closing

    @property
    def state(self) -> State:
        state: State = self._app.state.gateway
        return state

    def change(self, **parts: object) -> None:
        """Puts other parts into the process."""
        self._app.state.gateway = replace(self.state, **parts)  # type: ignore[arg-type]

    async def hire(self, *properties: str, role: StaffRole = "agent") -> Staff:
        """Somebody who can sign in."""
        return await self.state.staff.add(
            email=f"{uuid.uuid4().hex[:12]}@hotel.test",
            name="Marta Reis",
            role=role,
            properties=properties,
            password=PASSWORD,
        )

    async def login(self, email: str, password: str = PASSWORD) -> httpx.Response:
        return await self.http.post("/api/v1/auth/login", json={"email": email, "password": password})

    async def signed_in(self, staff: Staff) -> Person:
        token = (await self.login(staff.email)).json()["accessToken"]
        return Person(staff, token, await self.client(token))

    async def person(self, *properties: str, role: StaffRole = "agent") -> Person:
        """Somebody who is signed in, without the time that a password takes."""
        staff = Staff(id=str(uuid.uuid4()), email="x@hotel.test", name="Rui Lima", role=role, properties=[*properties])
        return await self.session_of(staff)

    async def session_of(self, staff: Staff) -> Person:
        """A session of theirs, without the time that a password takes."""
        session_id, now = uuid.uuid4().hex, datetime.now(UTC)
        ends_at = now + timedelta(hours=12)
        lease = await self.state.sessions.open(session_id, ends_at)
        claims = Claims.of(staff, session_id=session_id, started_at=now, ends_at=ends_at, recorded=lease.recorded)
        token = self.state.tokens.sign(claims)
        return Person(staff, token, await self.client(token))

    async def program(self, *properties: str, scopes: Sequence[Permission] | None = None) -> Program:
        """A program with a key for some of what programs may do, or all of it."""
        key, text = await self.state.api_keys.create(
            str(uuid.uuid4()),
            name="Dashboard",
            properties=properties,
            scopes=permissions_of("service") if scopes is None else scopes,
            created_by="an-admin",
            expires_at=None,
        )
        return Program(key, text, await self.client(text))

    async def client(self, token: str) -> httpx.AsyncClient:
        headers = {"Authorization": f"Bearer {token}"}
        return await self._closing.enter_async_context(
            httpx.AsyncClient(base_url=self.url, headers=headers, timeout=30, verify=trusted())
        )


@asynccontextmanager
async def running_api(settings: Settings) -> AsyncIterator[Api]:
    app = create_app(settings)
    async with AsyncExitStack() as closing:
        url = await closing.enter_async_context(serving(app, **protocol_options(settings.websocket)))
        http = await closing.enter_async_context(httpx.AsyncClient(base_url=url, timeout=30, verify=trusted()))
        yield Api(app, url, http, closing)


def problem(response: httpx.Response) -> tuple[int, str]:
    """The status and the code of an error, whose form is checked on the way."""
    body: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert body["status"] == response.status_code
    assert body["title"]
    assert body["detail"]
    return response.status_code, str(body["code"])


async def answered(stack: Stack) -> str:
    """The path of a conversation in which the AI has answered once, and that storage knows."""
    guest = stack.guest()
    await guest.ask("When is breakfast?")
    conversation = await guest.conversation()
    await stack.stored(conversation)
    return f"/api/v1/conversations/{conversation.conversation_id}"


async def pages(http: httpx.AsyncClient, path: str, **params: Any) -> list[Sequence[Any]]:
    """Every page of a list."""
    found: list[Sequence[Any]] = []
    cursor: str | None = None
    while True:
        query = {key: value for key, value in {**params, "cursor": cursor}.items() if value is not None}
        page = (await http.get(path, params=query)).raise_for_status().json()
        found.append(page["items"])
        cursor = page["nextCursor"]
        if cursor is None:
            return found
