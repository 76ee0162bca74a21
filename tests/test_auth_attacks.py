"""Attacks on who may do what, as tables: each is refused, with the code that says why and nothing more."""

import uuid
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from sqlalchemy import insert, text

from activities.storage.database import Database
from activities.storage.tables import GuestRow
from api.auth.tokens import Claims
from api.live.visitors import Visitor, VisitorTokens
from contracts.staff import Staff
from settings import Settings
from tests.api import PASSWORD, Api, Program, problem
from tests.ground import ME, Ground
from tests.live import opened

LOGIN = "/api/v1/auth/login"
TASKS = "/api/v1/tasks"
GUESTS = "/api/v1/guests"
STAFF = "/api/v1/staff"
KEYS = "/api/v1/api-keys"

UNAUTHENTICATED = (401, "unauthenticated")
FORBIDDEN = (403, "forbidden")

Attack = Callable[[Ground], Awaitable[httpx.Response]]


@pytest.fixture
async def ground(api: Api, hotel: str, settings: Settings, database: Database) -> Ground:
    assert settings.security.jwt_secret is not None
    elsewhere = f"elsewhere-{hotel}"
    guest_id = f"guest-{uuid.uuid4().hex}"
    async with database.begin() as connection:
        row = {"id": guest_id, "property_id": elsewhere, "autonomy": "auto", "created_at": datetime.now(UTC)}
        await connection.execute(insert(GuestRow).values(**row))
    return Ground(
        api=api,
        hotel=hotel,
        elsewhere=elsewhere,
        secret=settings.security.jwt_secret.get_secret_value(),
        agent=await api.session_of(await api.hire(hotel)),
        admin=await api.person(hotel, role="admin"),
        guest_elsewhere=guest_id,
        staff_elsewhere=(await api.hire(elsewhere)).id,
        database=database,
    )


# --- tokens ----------------------------------------------------------------------------------------------------------


def _bearer(token: Callable[[Ground], str]) -> Attack:
    async def attack(ground: Ground) -> httpx.Response:
        return await ground.me(token(ground))

    return attack


def _foreign(ground: Ground) -> str:
    """A token that is signed right, of a session that nobody opened."""
    now = datetime.now(UTC)
    somebody = Staff(id="x", email="x@hotel.test", name="X", role="admin", properties=[ground.hotel])
    claims = Claims.of(
        somebody, session_id=uuid.uuid4().hex, started_at=now, ends_at=now + timedelta(hours=1), recorded=True
    )
    return ground.api.state.tokens.sign(claims)


def _visitor(ground: Ground) -> str:
    return VisitorTokens(ground.api.state.tokens.keys).sign(Visitor(ground.agent.staff.id, known=True), ground.hotel)


def _past(ground: Ground) -> str:
    return ground.token(exp=int(datetime.now(UTC).timestamp()) - 5)


TOKENS: dict[str, Attack] = {
    "no algorithm": _bearer(lambda ground: ground.unsigned("none")),
    "no algorithm, in other letters": _bearer(lambda ground: ground.unsigned("nOnE")),
    "no algorithm, with a signature": _bearer(lambda ground: ground.unsigned("none", "AAAA")),
    "claims exchanged under a signature": _bearer(Ground.tampered),
    "another key": _bearer(lambda ground: ground.token(key="x" * 40)),
    "a key without a name": _bearer(lambda ground: ground.token(key="x", kid="")),
    "a key that is not ours": _bearer(lambda ground: ground.token(kid="other")),
    "a key that is a path": _bearer(lambda ground: ground.token(key="x" * 40, kid="../../../dev/null")),
    "no key named": _bearer(lambda ground: ground.token(kid=None)),
    "another algorithm": _bearer(lambda ground: ground.token(algorithm="HS512")),
    "another issuer": _bearer(lambda ground: ground.token(iss="somebody")),
    "no issuer": _bearer(lambda ground: ground.token(iss=None)),
    "another audience": _bearer(lambda ground: ground.token(aud="visitor")),
    "no audience": _bearer(lambda ground: ground.token(aud=None)),
    "a guest's token": _bearer(_visitor),
    "past its end": _bearer(_past),
    "without an end": _bearer(lambda ground: ground.token(exp=None)),
    "without a session": _bearer(lambda ground: ground.token(sid=None)),
    "a session that is no id": _bearer(lambda ground: ground.token(sid="*")),
    "a session nobody opened": _bearer(_foreign),
    "an unknown role": _bearer(lambda ground: ground.token(role="owner")),
    "the role of programs": _bearer(lambda ground: ground.token(role="service")),
    "no token": _bearer(lambda _: "Bearer"),
    "no JWT": _bearer(lambda _: "a.b.c"),
    "two tokens": _bearer(lambda ground: f"{ground.agent.token} {ground.agent.token}"),
}


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_what_is_no_token_of_ours_is_refused(ground: Ground) -> None:
    assert (await ground.me(ground.token())).status_code == 200, "the token they are all made of works"
    answers = {name: problem(await attack(ground)) for name, attack in TOKENS.items()}
    assert answers == dict.fromkeys(TOKENS, UNAUTHENTICATED)


# --- sessions --------------------------------------------------------------------------------------------------------


async def _signed_out(ground: Ground) -> httpx.Response:
    await ground.agent.http.post("/api/v1/auth/logout")
    return await ground.me(ground.agent.token)


async def _renewed_after_signing_out(ground: Ground) -> httpx.Response:
    renewed = (await ground.agent.http.post("/api/v1/auth/refresh")).json()["accessToken"]
    await ground.send("POST", "/api/v1/auth/logout", token=renewed)
    return await ground.send("POST", "/api/v1/auth/refresh", token=ground.agent.token)


async def _fixed_session(ground: Ground) -> httpx.Response:
    """The attacker's session does not become the victim's, however it is put under their sign-in."""
    sid = ground.api.state.tokens.read(ground.agent.token).sid
    victim = await ground.api.hire(ground.hotel, role="manager")
    signed_in = await ground.send(
        "POST",
        f"{LOGIN}?sid={sid}",
        token=ground.agent.token,
        json={"email": victim.email, "password": PASSWORD},
        headers={"Cookie": f"sid={sid}; session={sid}"},
    )
    claims = ground.api.state.tokens.read(signed_in.json()["accessToken"])
    assert (claims.sid != sid, claims.sub) == (True, victim.id)
    assert "set-cookie" not in signed_in.headers
    assert (await ground.me(ground.agent.token)).json()["id"] == ground.agent.staff.id
    return await ground.send("GET", ME, headers={"Cookie": f"accessToken={signed_in.json()['accessToken']}"})


async def _session_named_at_sign_in(ground: Ground) -> httpx.Response:
    agent = await ground.api.hire(ground.hotel)
    return await ground.send("POST", LOGIN, json={"email": agent.email, "password": PASSWORD, "sid": "0" * 32})


async def _role_taken_away(ground: Ground) -> httpx.Response:
    manager = await ground.api.signed_in(await ground.api.hire(ground.hotel, role="manager"))
    await ground.admin.http.patch(f"{STAFF}/{manager.staff.id}", json={"role": "agent"})
    return await manager.http.get(ME)


async def _in_the_query(ground: Ground) -> httpx.Response:
    return await ground.send("GET", ME, params={"access_token": ground.agent.token, "token": ground.agent.token})


async def _basic(ground: Ground) -> httpx.Response:
    return await ground.send("GET", ME, headers={"Authorization": f"Basic {ground.agent.token}"})


SESSIONS: dict[str, tuple[Attack, tuple[int, str]]] = {
    "a session named at sign-in": (_session_named_at_sign_in, (422, "invalid")),
    "session fixation": (_fixed_session, UNAUTHENTICATED),
    "a role taken away": (_role_taken_away, UNAUTHENTICATED),
    "a token in the query": (_in_the_query, UNAUTHENTICATED),
    "a token by another scheme": (_basic, UNAUTHENTICATED),
    "renewed after signing out": (_renewed_after_signing_out, UNAUTHENTICATED),
    "signed out": (_signed_out, UNAUTHENTICATED),
}


@pytest.mark.parametrize("name", SESSIONS)
async def test_a_session_is_not_stolen_nor_outlived(ground: Ground, name: str) -> None:
    attack, expected = SESSIONS[name]
    assert problem(await attack(ground)) == expected


# --- API keys --------------------------------------------------------------------------------------------------------


async def _expired(ground: Ground, program: Program) -> httpx.Response:
    async with ground.database.begin() as connection:
        past = text("UPDATE api_keys SET expires_at = now() - interval '1 second' WHERE id = :id")
        await connection.execute(past, {"id": program.key.id})
    return await program.http.get(TASKS)


async def _revoked(ground: Ground, program: Program) -> httpx.Response:
    await ground.admin.http.delete(f"{KEYS}/{program.key.id}")
    return await program.http.get(TASKS)


async def _key_in_the_query(ground: Ground, program: Program) -> httpx.Response:
    return await ground.send("GET", TASKS, params={"api_key": program.text, "key": program.text, "token": program.text})


async def _its_hash(ground: Ground, program: Program) -> httpx.Response:
    async with ground.database.begin() as connection:
        found = text("SELECT key_hash FROM api_keys WHERE id = :id")
        key_hash = (await connection.execute(found, {"id": program.key.id})).scalar_one()
    return await ground.send("GET", TASKS, token=f"gw_{key_hash}")


async def _as_a_password(ground: Ground, program: Program) -> httpx.Response:
    return await ground.api.login(program.key.id, program.text)


KeyAttack = Callable[[Ground, Program], Awaitable[httpx.Response]]

API_KEYS: dict[str, tuple[KeyAttack, tuple[int, str]]] = {
    "a guessed key": (lambda ground, _: ground.send("GET", TASKS, token=f"gw_{'A' * 43}"), UNAUTHENTICATED),
    "only how it begins": (lambda ground, it: ground.send("GET", TASKS, token=it.key.begins), UNAUTHENTICATED),
    "one character less": (lambda ground, it: ground.send("GET", TASKS, token=it.text[:-1]), UNAUTHENTICATED),
    "in other letters": (lambda ground, it: ground.send("GET", TASKS, token=it.text.swapcase()), UNAUTHENTICATED),
    "a wildcard": (lambda ground, _: ground.send("GET", TASKS, token="gw_%"), UNAUTHENTICATED),
    "its hash": (_its_hash, UNAUTHENTICATED),
    "in the query": (_key_in_the_query, UNAUTHENTICATED),
    "as a password": (_as_a_password, (401, "bad_credentials")),
    "another property's guest": (lambda ground, it: it.http.get(f"{GUESTS}/{ground.guest_elsewhere}"), FORBIDDEN),
    "another property's list": (
        lambda ground, it: it.http.get(GUESTS, params={"property": ground.elsewhere}),
        FORBIDDEN,
    ),
    "making a key": (
        lambda ground, it: it.http.post(KEYS, json={"name": "x", "properties": [ground.hotel]}),
        FORBIDDEN,
    ),
    "a session by a key": (lambda _, it: it.http.post("/api/v1/auth/refresh"), FORBIDDEN),
    "a password by a key": (lambda _, it: it.http.post("/api/v1/auth/password", json={}), FORBIDDEN),
    "expired": (_expired, UNAUTHENTICATED),
    "revoked": (_revoked, UNAUTHENTICATED),
}


async def test_a_key_opens_only_its_own_doors(ground: Ground) -> None:
    answers = {}
    for name, (attack, _) in API_KEYS.items():
        program = await ground.api.program(ground.hotel)
        assert (await program.http.get(TASKS)).status_code == 200
        answers[name] = problem(await attack(ground, program))
    assert answers == {name: expected for name, (_, expected) in API_KEYS.items()}


# --- other properties, other roles -----------------------------------------------------------------------------------

REACHES: dict[str, tuple[Attack, tuple[int, str]]] = {
    "another property's guest": (
        lambda ground: ground.admin.http.get(f"{GUESTS}/{ground.guest_elsewhere}"),
        FORBIDDEN,
    ),
    "another property's guest, changed": (
        lambda ground: ground.admin.http.patch(f"{GUESTS}/{ground.guest_elsewhere}", json={"name": "x"}),
        FORBIDDEN,
    ),
    "another property's list": (
        lambda ground: ground.admin.http.get(TASKS, params={"property": ground.elsewhere}),
        FORBIDDEN,
    ),
    "another property's staff": (
        lambda ground: ground.admin.http.patch(f"{STAFF}/{ground.staff_elsewhere}", json={"password": PASSWORD}),
        FORBIDDEN,
    ),
    "staff for another property": (
        lambda ground: ground.admin.http.post(
            STAFF,
            json={
                "email": "eva@hotel.test",
                "name": "Eva",
                "role": "admin",
                "properties": [ground.elsewhere],
                "password": PASSWORD,
            },
        ),
        FORBIDDEN,
    ),
    "a key for another property": (
        lambda ground: ground.admin.http.post(KEYS, json={"name": "x", "properties": [ground.elsewhere]}),
        FORBIDDEN,
    ),
    "another role's route": (lambda ground: ground.agent.http.get(KEYS), FORBIDDEN),
    "a role of one's own choice": (
        lambda ground: ground.agent.http.patch(f"{STAFF}/{ground.agent.staff.id}", json={"role": "admin"}),
        FORBIDDEN,
    ),
    "a role by one's profile": (
        lambda ground: ground.agent.http.patch(ME, json={"role": "admin"}),
        (422, "invalid"),
    ),
    "properties by a header": (
        lambda ground: ground.agent.http.get(
            GUESTS, params={"property": ground.elsewhere}, headers={"X-Property": ground.elsewhere}
        ),
        FORBIDDEN,
    ),
}


async def test_nobody_reaches_further_than_role_and_property(ground: Ground) -> None:
    answers = {name: problem(await attack(ground)) for name, (attack, _) in REACHES.items()}
    assert answers == {name: expected for name, (_, expected) in REACHES.items()}


# --- sockets ---------------------------------------------------------------------------------------------------------


async def _ended(ground: Ground) -> str:
    session = await ground.api.session_of(ground.agent.staff)
    await session.http.post("/api/v1/auth/logout")
    return session.token


async def _revoked_key(ground: Ground) -> str:
    program = await ground.api.program(ground.hotel)
    await ground.admin.http.delete(f"{KEYS}/{program.key.id}")
    return program.text


async def _guests(ground: Ground) -> str:
    return _visitor(ground)


async def _good(ground: Ground) -> str:
    return ground.agent.token


SOCKETS: dict[str, tuple[Callable[[Ground], Awaitable[str]], dict[str, Any], int]] = {
    "from another's page": (_good, {"origin": "https://evil.test"}, 4403),
    "from a page that hides its origin": (_good, {"origin": "null"}, 4403),
    "from an origin that cannot be one": (_good, {"origin": "http://["}, 4403),
    "from a page of a like name": (_good, {"origin": "http://127.0.0.1.evil.test"}, 4403),
    "a session that has ended": (_ended, {}, 4401),
    "a revoked key": (_revoked_key, {}, 4401),
    "a guest's token": (_guests, {}, 4401),
}


async def test_a_socket_is_not_hijacked(ground: Ground) -> None:
    codes = {}
    for name, (token_of, options, _) in SOCKETS.items():
        token = await token_of(ground)
        async with opened(ground.api.url, "/ws", **options) as socket:
            await socket.send("auth", {"token": token})
            codes[name] = await socket.closed()
        assert "session" not in [frame["type"] for frame in socket.frames], name
    assert codes == {name: code for name, (_, _, code) in SOCKETS.items()}


async def test_a_token_in_a_sockets_address_opens_nothing(ground: Ground) -> None:
    async with opened(ground.api.url, f"/ws?token={ground.agent.token}") as socket:
        await socket.send("subscribe", {"propertyId": ground.hotel})
        assert await socket.closed() == 4401
