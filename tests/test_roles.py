"""Every route of the app, walked by every role: what the table does not allow is refused, and nothing is forgotten."""

import re
import uuid
from collections.abc import Iterator
from dataclasses import dataclass

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import RouteContext, iter_route_contexts
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from api.auth.permissions import ALLOWED, AND_PROGRAMS, Permission, Public, permissions_of
from api.deps import Allow
from api.gate import OPEN
from api.main import DOCS, create_app
from api.names import BASE
from contracts.staff import Role, Staff
from settings import Settings
from tests.api import Api, problem

OF_THE_FRAMEWORK = {"/openapi.json", "/docs/oauth2-redirect"}
"""Routes that FastAPI adds itself; they describe the interface."""
PLACEHOLDER = re.compile(r"{(\w+)(?::\w+)?}")


@dataclass(frozen=True, slots=True)
class Walked:
    """One method of one path, and its mark."""

    method: str
    path: str
    permission: Permission | None
    public: bool

    def at(self, hotel: str) -> str:
        """An address of it, in which every id is unknown but the property's."""
        return PLACEHOLDER.sub(lambda found: hotel if "property" in found[1].lower() else str(uuid.uuid4()), self.path)


def _marks(route: RouteContext) -> tuple[list[Permission], list[Public]]:
    calls = [each.call for each in route.dependant.dependencies]
    return (
        [call.permission for call in calls if isinstance(call, Allow)],
        [call for call in calls if isinstance(call, Public)],
    )


def _walk(app: FastAPI) -> Iterator[Walked]:
    """Every route. Fails on one without a mark, and on one with two."""
    for route in iter_route_contexts(app.routes):
        path = route.path or ""
        if isinstance(route.original_route, Mount):
            assert path == f"{DOCS}/files", f"{path} is mounted, and nothing says who may use it"
            assert isinstance(route.original_route.app, StaticFiles)
            continue
        if path in OF_THE_FRAMEWORK:
            continue
        permissions, public = _marks(route)
        assert len(permissions) + len(public) == 1, f"{path} must have one Allow(Permission) or be marked Public"
        for method in sorted(route.methods or {"WEBSOCKET"}):
            yield Walked(method, path, permissions[0] if permissions else None, bool(public))


def test_every_route_says_who_may_use_it(settings: Settings) -> None:
    walked = list(_walk(create_app(settings)))
    assert len(walked) > 60
    inside = {(each.method, each.path) for each in walked if each.public and each.path.startswith(f"{BASE}/")}
    assert inside == OPEN, "what is public under the base path must be open in the gate, and nothing else"
    used = {each.permission for each in walked} - {None}
    assert used == set(ALLOWED), "a permission that no route asks for, or the other way round"


def test_a_route_without_a_mark_would_be_seen(settings: Settings) -> None:
    app = create_app(settings)
    app.add_api_route(f"{BASE}/forgotten", lambda: None)
    with pytest.raises(AssertionError, match="forgotten"):
        list(_walk(app))


@pytest.mark.parametrize("role", [*sorted(AND_PROGRAMS), "nobody", "narrow key"])
async def test_each_role_gets_where_the_table_says(api: Api, hotel: str, settings: Settings, role: str) -> None:
    wrong = []
    http, holds, staff = await _caller(api, hotel, role)
    for each in _walk(create_app(settings)):
        if each.permission is None:
            continue
        if staff is not None and each.permission is Permission.OWN_SESSION:
            http = (await api.session_of(staff)).http  # a new one for each, because some of these end it
        answer = await http.request(each.method, each.at(hotel))
        expected = 401 if holds is None else 403 if each.permission not in holds else None
        if (answer.status_code if answer.status_code in (401, 403) else None) != expected:
            wrong.append(f"{each.method} {each.path}: {answer.status_code} for {role}")
        if expected is not None:
            assert problem(answer)[1] == ("unauthenticated" if expected == 401 else "forbidden")
    assert wrong == []


async def _caller(api: Api, hotel: str, role: str) -> tuple[httpx.AsyncClient, set[Permission] | None, Staff | None]:
    """Somebody of a role, what the table gives them, and who they are; no permissions where they are not known."""
    match role:
        case "nobody":
            return api.http, None, None
        case "narrow key":
            return (await api.program(hotel, scopes=[Permission.READ_TASKS])).http, {Permission.READ_TASKS}, None
        case "service":
            return (await api.program(hotel)).http, _by_table("service"), None
        case "agent" | "manager" | "admin":
            staff = await api.hire(hotel, role=role)
            return (await api.session_of(staff)).http, _by_table(role), staff
    raise AssertionError(role)


def _by_table(role: Role) -> set[Permission]:
    held = {permission for permission, roles in ALLOWED.items() if role in roles}
    assert held == set(permissions_of(role))
    return held
