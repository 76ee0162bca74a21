"""Signing in, sessions and their end, and everything that must not pass for a session."""

import asyncio
import base64
import json
import os
import signal
import statistics
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import jwt
import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from activities.storage.database import Database
from activities.storage.redis_client import open_redis
from activities.storage.sessions import Sessions
from api.auth.permissions import ALLOWED, EVERYONE, Permission, require_permission
from api.auth.tokens import Claims, Tokens
from contracts.problems import Forbidden
from contracts.staff import Staff
from embedded import RedisServer
from settings import Settings
from tests.api import PASSWORD, Api, problem, running_api
from tests.support import eventually

ME = "/api/v1/auth/me"
ANYBODY = Staff(id="x", email="x@hotel.test", name="X", role="admin", properties=["seaview"])


def _claims(**changes: object) -> dict[str, object]:
    now = datetime.now(UTC)
    ends_at = now + timedelta(hours=1)
    claims = Claims.of(ANYBODY, session_id=uuid4().hex, started_at=now, ends_at=ends_at, recorded=True)
    return {**claims.model_dump(), "iss": "gateway", "aud": "gateway-staff", **changes}


async def test_signing_in_gives_a_token_that_works(api: Api, hotel: str) -> None:
    staff = await api.hire(hotel, role="manager")
    response = await api.login(staff.email)
    access = response.json()
    assert response.status_code == 200
    assert access["staff"] == staff.model_dump()
    lasts = datetime.fromisoformat(access["expiresAt"]) - datetime.now(UTC)
    assert timedelta(minutes=59) < lasts <= timedelta(hours=1)
    me = await (await api.client(access["accessToken"])).get(ME)
    assert me.json() == {**staff.model_dump(), "mailKinds": []}


async def test_an_email_is_one_in_any_case(api: Api, hotel: str) -> None:
    staff = await api.hire(hotel)
    assert (await api.login(f" {staff.email.upper()} ")).status_code == 200


async def test_wrong_password_and_unknown_email_are_refused_alike(api: Api, hotel: str) -> None:
    staff = await api.hire(hotel)
    wrong = await api.login(staff.email, "not the password")
    unknown = await api.login(f"nobody-{staff.email}", PASSWORD)
    assert problem(wrong) == problem(unknown) == (401, "bad_credentials")
    assert wrong.json() == unknown.json()


async def test_refusing_takes_as_long_for_an_unknown_email(api: Api, hotel: str) -> None:
    async def seconds(email: str) -> float:
        started = time.perf_counter()
        await api.login(email, "not the password")
        return time.perf_counter() - started

    staff = await api.hire(hotel)
    times = [(await seconds(staff.email), await seconds(f"{uuid4().hex}@hotel.test")) for _ in range(7)]
    known, unknown = (statistics.median(each) for each in zip(*times, strict=True))
    assert 0.5 < known / unknown < 2


async def test_failures_are_throttled_for_an_email_from_an_address(api: Api, hotel: str) -> None:
    staff, other = await api.hire(hotel), await api.hire(hotel)
    for _ in range(10):
        assert problem(await api.login(staff.email, "guess")) == (401, "bad_credentials")
    refused = await api.login(staff.email)
    assert problem(refused) == (429, "too_many_requests")
    assert 0 < int(refused.headers["retry-after"]) <= 15 * 60
    assert (await api.login(other.email)).status_code == 200


async def test_guesses_at_once_do_not_pass_the_throttle(api: Api, hotel: str) -> None:
    staff = await api.hire(hotel)
    answers = await asyncio.gather(*(api.login(staff.email, "guess") for _ in range(30)))
    assert [answer.status_code for answer in answers].count(401) <= 14
    assert (await api.login(staff.email)).status_code == 429


async def test_a_closed_account_cannot_sign_in_and_not_renew(api: Api, hotel: str, database: Database) -> None:
    person = await api.signed_in(await api.hire(hotel))
    await _execute(database, "UPDATE staff SET disabled = true WHERE id = :id", id=person.staff.id)
    assert problem(await api.login(person.staff.email)) == (401, "bad_credentials")
    assert problem(await person.http.post("/api/v1/auth/refresh")) == (401, "unauthenticated")


async def test_without_a_token_nothing_is_open(api: Api) -> None:
    for method, path in (
        ("GET", "/api/v1/conversations"),
        ("POST", "/api/v1/tasks"),
        ("GET", "/api/v1/no/such/thing"),
        ("PUT", "/api/v1/conversations"),
        ("GET", "/api/v1/auth/login"),
    ):
        refused = await api.http.request(method, path, content=b"{not json")
        assert problem(refused) == (401, "unauthenticated")
        assert refused.headers["www-authenticate"] == "Bearer"


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
async def test_what_is_no_token_of_ours_is_refused(api: Api, settings: Settings) -> None:
    assert settings.security.jwt_secret is not None
    secret = settings.security.jwt_secret.get_secret_value()
    past = datetime.now(UTC) - timedelta(seconds=5)
    unsigned = ".".join(
        base64.urlsafe_b64encode(json.dumps(part, default=str).encode()).decode().rstrip("=")
        for part in ({"alg": "none", "typ": "JWT"}, _claims(iat=0, exp=2**40))
    )
    attacks = {
        "no signature": f"{unsigned}.",
        "another key": jwt.encode(_claims(), "x" * 40, algorithm="HS256"),
        "another algorithm": jwt.encode(_claims(), secret, algorithm="HS512"),
        "another issuer": jwt.encode(_claims(iss="somebody"), secret, algorithm="HS256"),
        "another audience": jwt.encode(_claims(aud="visitor"), secret, algorithm="HS256"),
        "past its end": jwt.encode(_claims(exp=past), secret, algorithm="HS256"),
        "no session": jwt.encode(
            {key: value for key, value in _claims().items() if key != "sid"}, secret, algorithm="HS256"
        ),
        "a session nobody opened": jwt.encode(_claims(), secret, algorithm="HS256"),
        "an unknown role": jwt.encode(_claims(role="owner"), secret, algorithm="HS256"),
        "no token": "bearer",
    }
    # Redis has known every session since before these were made.
    await api.login("nobody@hotel.test")
    answers = {
        name: await api.http.get(ME, headers={"Authorization": f"Bearer {token}"}) for name, token in attacks.items()
    }
    assert {name: problem(answer) for name, answer in answers.items()} == dict.fromkeys(
        attacks, (401, "unauthenticated")
    )
    basic = await api.http.get(ME, headers={"Authorization": f"Basic {attacks['another key']}"})
    assert problem(basic) == (401, "unauthenticated")


async def test_signing_out_ends_the_session_at_once(api: Api, hotel: str, settings: Settings) -> None:
    person, other = await api.person(hotel), await api.person(hotel)
    async with running_api(settings) as second_process:
        elsewhere = await second_process.client(person.token)
        assert (await elsewhere.get(ME)).status_code == 200
        assert (await person.http.post("/api/v1/auth/logout")).status_code == 204
        assert problem(await person.http.get(ME)) == (401, "unauthenticated")
        assert problem(await elsewhere.get(ME)) == (401, "unauthenticated")
    assert (await other.http.get(ME)).status_code == 200


async def test_the_end_of_a_session_is_told_in_every_process(
    settings: Settings, database: Database, redis: Redis
) -> None:
    here, there = (Sessions(database, redis, settings.session) for _ in range(2))
    session_id, ends_at = uuid4().hex, datetime.now(UTC) + timedelta(hours=1)
    await here.open(session_id, ends_at)
    listening = asyncio.create_task(there.listen())
    told_here, told_there, quiet = (asyncio.Event() for _ in range(3))
    here.watch(session_id, told_here.set)
    there.watch(session_id, told_there.set)
    there.watch("other", quiet.set)

    async def listened() -> bool:
        [(_, listeners)] = await redis.pubsub_numsub("gateway:sessions:ended")
        return int(listeners) > 0

    try:
        await eventually(listened, what="a listener")
        await here.end(session_id, ends_at)
        assert told_here.is_set()
        await asyncio.wait_for(told_there.wait(), 10)
        assert not quiet.is_set()
    finally:
        listening.cancel()


async def test_an_unused_session_ends_after_its_ttl(settings: Settings, hotel: str) -> None:
    settings.session.ttl, settings.session.renewal_threshold = 1, 0
    async with running_api(settings) as api:
        person = await api.person(hotel)
        first = await person.http.get(ME)
        assert first.status_code == 200
        assert "session-expires-at" not in first.headers

        async def ended() -> bool:
            return (await person.http.get(ME)).status_code == 401

        await eventually(ended, what="the end of the session", seconds=10)


async def test_a_session_near_its_end_is_renewed_by_use(settings: Settings, hotel: str) -> None:
    settings.session.ttl = settings.session.renewal_threshold = 1000
    async with running_api(settings) as api:
        person = await api.person(hotel)
        response = await person.http.get(ME)
        lasts = datetime.fromisoformat(response.headers["session-expires-at"]) - datetime.now(UTC)
        assert timedelta(seconds=990) < lasts <= timedelta(seconds=1000)


async def test_renewing_gives_a_token_of_the_same_session(
    api: Api, hotel: str, settings: Settings, database: Database
) -> None:
    person = await api.signed_in(await api.hire(hotel))
    await _execute(database, "UPDATE staff SET role = 'manager' WHERE id = :id", id=person.staff.id)
    renewed = (await person.http.post("/api/v1/auth/refresh")).json()
    tokens = Tokens.from_settings(settings.security)
    old, new = tokens.read(person.token), tokens.read(renewed["accessToken"])
    assert (new.sid, new.exp) == (old.sid, old.exp)
    assert new.role == renewed["staff"]["role"] == "manager"
    await person.http.post("/api/v1/auth/logout")
    assert problem(await (await api.client(renewed["accessToken"])).get(ME)) == (401, "unauthenticated")


async def test_no_use_lengthens_a_session_beyond_its_last_end(
    database: Database, redis: Redis, settings: Settings
) -> None:
    sessions = Sessions(database, redis, settings.session)
    now = datetime.now(UTC)
    soon = now + timedelta(seconds=30)
    lease = await sessions.open(session_id := uuid4().hex, soon)
    assert lease.expires_at <= soon + timedelta(seconds=1)
    checked = await sessions.check(session_id, started_at=now, ends_at=soon, recorded=True)
    assert checked is not None
    assert checked.expires_at <= soon + timedelta(seconds=1)


@pytest.fixture
async def own_redis(tmp_path: Path, settings: Settings) -> RedisServer:
    server = RedisServer(tmp_path)
    settings.redis.url = server.url
    return server


async def test_sessions_outlive_redis(own_redis: RedisServer, settings: Settings, hotel: str) -> None:
    async with own_redis, running_api(settings) as api:
        person, leaver = await api.person(hotel), await api.person(hotel)
        await own_redis.kill()
        assert (await person.http.get(ME)).status_code == 200
        late = await api.signed_in(await api.hire(hotel))
        assert (await late.http.get(ME)).status_code == 200
        assert (await leaver.http.post("/api/v1/auth/logout")).status_code == 204
        assert problem(await leaver.http.get(ME)) == (401, "unauthenticated")
        async with running_api(settings) as second_process:
            elsewhere = await second_process.client(leaver.token)
            assert problem(await elsewhere.get(ME)) == (401, "unauthenticated")
        await own_redis.start()  # with nothing of what it knew
        assert (await person.http.get(ME)).status_code == 200
        assert (await late.http.get(ME)).status_code == 200
        assert problem(await leaver.http.get(ME)) == (401, "unauthenticated")


async def test_an_end_while_redis_was_away_is_told_when_it_is_back(
    own_redis: RedisServer, settings: Settings, database: Database
) -> None:
    ends_at = datetime.now(UTC) + timedelta(hours=1)
    async with own_redis:
        redis = open_redis(settings.redis)
        sessions = Sessions(database, redis, settings.session)
        session_id = uuid4().hex
        await sessions.open(session_id, ends_at)
        await own_redis.stop()  # it keeps what it knew
        await sessions.end(session_id, ends_at)
        await own_redis.start()
        assert await redis.get(f"gateway:session:{session_id}") == "open"
        listening = asyncio.create_task(sessions.listen())

        async def told() -> bool:
            return bool(await redis.get(f"gateway:session:{session_id}") == "ended")

        await eventually(told, what="Redis to know of the end")
        listening.cancel()
        await redis.aclose()


async def test_a_redis_that_hangs_does_not_hold_up_every_request(
    own_redis: RedisServer, settings: Settings, hotel: str
) -> None:
    settings.redis.timeout = 400
    async with own_redis, running_api(settings) as api:
        person = await api.person(hotel)
        assert own_redis.process.pid is not None
        os.kill(own_redis.process.pid, signal.SIGSTOP)
        try:
            started = time.perf_counter()
            answers = [await person.http.get(ME) for _ in range(20)]
            seconds = time.perf_counter() - started
        finally:
            os.kill(own_redis.process.pid, signal.SIGCONT)
        assert {answer.status_code for answer in answers} == {200}
        assert seconds < 12, "waiting for each request's Redis alone would take 32 s"


async def test_requests_are_limited_for_each_caller(settings: Settings, hotel: str) -> None:
    settings.rate_limit.max_requests = 5
    async with running_api(settings) as api:
        first, second = await api.person(hotel), await api.person(hotel)
        answers = [await first.http.get(ME) for _ in range(6)]
        assert [answer.status_code for answer in answers] == [200] * 5 + [429]
        assert problem(answers[-1]) == (429, "too_many_requests")
        assert [answer.headers["ratelimit-remaining"] for answer in answers] == ["4", "3", "2", "1", "0", "0"]
        assert answers[-1].headers["ratelimit-policy"] == "5;w=60"
        assert 0 < int(answers[-1].headers["retry-after"]) <= 60
        assert (await second.http.get(ME)).status_code == 200
        assert [(await api.http.get("/healthz")).status_code for _ in range(7)] == [200] * 7


async def test_requests_are_limited_while_redis_is_away(own_redis: RedisServer, settings: Settings, hotel: str) -> None:
    settings.rate_limit.max_requests = 3
    async with running_api(settings) as api:
        person = await api.person(hotel)
        assert [(await person.http.get(ME)).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_each_permission_says_whose_it_is() -> None:
    assert set(ALLOWED) == set(Permission)
    assert all(roles <= EVERYONE for roles in ALLOWED.values())


def test_what_the_table_does_not_allow_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALLOWED, Permission.WRITE_TASKS, frozenset({"admin"}))
    require_permission(ANYBODY, Permission.WRITE_TASKS)
    with pytest.raises(Forbidden):
        require_permission(ANYBODY.model_copy(update={"role": "agent"}), Permission.WRITE_TASKS)
    monkeypatch.delitem(ALLOWED, Permission.WRITE_TASKS)
    with pytest.raises(Forbidden):
        require_permission(ANYBODY, Permission.WRITE_TASKS)


async def test_a_role_that_may_not_is_refused(api: Api, hotel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = await api.person(hotel)
    monkeypatch.setitem(ALLOWED, Permission.READ_TASKS, frozenset({"admin"}))
    assert problem(await agent.http.get("/api/v1/tasks")) == (403, "forbidden")


async def _execute(database: Database, statement: str, **values: object) -> None:
    async with database.begin() as connection:
        await connection.execute(text(statement), values)
