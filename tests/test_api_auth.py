"""Signing in, sessions and their end, and everything that must not pass for a session."""

import asyncio
import os
import signal
import statistics
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import uuid4

import pytest
from redis.asyncio import Redis
from sqlalchemy import text

from activities.storage.database import Database
from activities.storage.redis_client import open_redis
from activities.storage.sessions import Sessions
from api.auth.permissions import ALLOWED, AND_PROGRAMS, Permission, require_permission
from api.auth.sessions import Session
from api.auth.signing_in import Failures
from api.auth.signing_keys import SigningKeys
from api.auth.tokens import Tokens
from contracts.problems import Forbidden, TooManyRequests
from contracts.staff import Staff
from embedded import RedisServer
from settings import Settings
from tests.api import PASSWORD, Api, Person, problem, running_api
from tests.support import eventually

ME = "/api/v1/auth/me"
ANYBODY = Staff(id="x", email="x@hotel.test", name="X", role="admin", properties=["seaview"])


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


async def test_refusing_takes_as_long_for_an_email_that_cannot_sign_in(
    api: Api, hotel: str, database: Database
) -> None:
    async def seconds(email: str) -> float:
        started = time.perf_counter()
        await api.login(email, "not the password")
        return time.perf_counter() - started

    staff, left = await api.hire(hotel), await api.hire(hotel)
    await _execute(database, "UPDATE staff SET disabled = true WHERE id = :id", id=left.id)
    times = [
        (await seconds(staff.email), await seconds(left.email), await seconds(f"{uuid4().hex}@hotel.test"))
        for _ in range(7)
    ]
    known, disabled, unknown = (statistics.median(each) for each in zip(*times, strict=True))
    assert 0.5 < known / unknown < 2
    assert 0.5 < disabled / unknown < 2


async def test_failures_are_throttled_for_an_email_from_an_address(api: Api, hotel: str) -> None:
    staff, other = await api.hire(hotel), await api.hire(hotel)
    for _ in range(10):
        assert problem(await api.login(staff.email, "guess")) == (401, "bad_credentials")
    refused = await api.login(staff.email)
    assert problem(refused) == (429, "too_many_requests")
    assert 0 < int(refused.headers["retry-after"]) <= 15 * 60
    assert (await api.login(other.email)).status_code == 200


async def test_many_addresses_or_accounts_give_no_more_guesses(own_redis: RedisServer, settings: Settings) -> None:
    async with own_redis:
        redis = open_redis(settings.redis)
        failures = Failures(redis)
        for number in range(50):
            await failures.count("marta@hotel.test", f"10.0.0.{number}")
        for number in range(100):
            await failures.count(f"{number}@hotel.test", "10.9.9.9")
        await failures.refuse_guessing("rui@hotel.test", "10.0.0.1")
        for email, address in (("Marta@hotel.test ", "10.1.1.1"), ("rui@hotel.test", "10.9.9.9")):
            with pytest.raises(TooManyRequests) as refused:
                await failures.refuse_guessing(email, address)
            assert refused.value.members["retryAfter"] > 0  # type: ignore[operator]
        assert not [key async for key in redis.scan_iter() if b"hotel.test" in key.encode() or b"10." in key.encode()]
        await redis.aclose()


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
    ):
        refused = await api.http.request(method, path, content=b"{not json")
        assert problem(refused) == (401, "unauthenticated")
        assert refused.headers["www-authenticate"] == "Bearer"


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


async def test_an_unused_session_ends_after_its_ttl(api: Api, hotel: str, redis: Redis) -> None:
    person = await api.person(hotel)
    key = _key_of(api, person)
    assert 3590 < await redis.ttl(key) <= 3600
    await redis.pexpire(key, 1)

    async def over() -> bool:
        return not await redis.exists(key)

    await eventually(over, what="the end of its time")
    assert problem(await person.http.get(ME)) == (401, "unauthenticated")


@pytest.mark.parametrize(("left", "renewed"), [(3000, False), (310, False), (299, True), (5, True)])
async def test_a_session_with_under_300_seconds_left_is_renewed_by_use(
    api: Api, hotel: str, redis: Redis, left: int, renewed: bool
) -> None:
    person = await api.person(hotel)
    await redis.expire(_key_of(api, person), left)
    response = await person.http.get(ME)
    assert response.status_code == 200
    assert ("session-expires-at" in response.headers) is renewed
    if renewed:
        lasts = datetime.fromisoformat(response.headers["session-expires-at"]) - datetime.now(UTC)
        assert timedelta(seconds=3590) < lasts <= timedelta(seconds=3600)
    assert abs(await redis.ttl(_key_of(api, person)) - (3600 if renewed else left)) < 10


async def test_a_token_outlives_no_twelve_hours(api: Api, hotel: str) -> None:
    person = await api.signed_in(await api.hire(hotel))
    claims = api.state.tokens.read(person.token)
    assert claims.exp - claims.iat == timedelta(hours=12)


async def test_renewing_gives_a_token_of_the_same_session(
    api: Api, hotel: str, settings: Settings, database: Database
) -> None:
    person = await api.signed_in(await api.hire(hotel))
    await _execute(database, "UPDATE staff SET role = 'manager' WHERE id = :id", id=person.staff.id)
    renewed = (await person.http.post("/api/v1/auth/refresh")).json()
    tokens = Tokens(SigningKeys.from_settings(settings.security))
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


async def test_every_answer_of_a_limited_route_tells_of_the_limit(
    api: Api, hotel: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(*_: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(type(api.state.tasks), "get", fail)
    person, as_json = await api.person(hotel), {"Content-Type": "application/json"}
    big = b'"' + b"x" * 1_000_001
    answers = {
        200: await person.http.get(ME),
        400: await person.http.post("/api/v1/tasks", content=b"{", headers=as_json),
        401: await api.http.get(ME),
        403: await person.http.get("/api/v1/api-keys"),
        404: await person.http.get("/api/v1/nothing"),
        405: await person.http.delete(ME),
        413: await person.http.post("/api/v1/tasks", content=big, headers=as_json),
        422: await person.http.post("/api/v1/tasks", json={}),
        500: await person.http.get("/api/v1/tasks/1"),
    }
    assert {status: answer.status_code for status, answer in answers.items()} == {each: each for each in answers}
    told = {"ratelimit-limit", "ratelimit-remaining", "ratelimit-reset", "ratelimit-policy"}
    assert [status for status, answer in answers.items() if not told <= set(answer.headers)] == []
    for path in ("/healthz", "/metrics", "/webhooks/messages/nowhere", "/docs"):
        answer = await api.http.request("POST" if "webhooks" in path else "GET", path)
        assert not told & set(answer.headers), path


async def test_who_has_no_credentials_is_counted_by_address_and_others_by_themselves(
    own_redis: RedisServer, settings: Settings, hotel: str
) -> None:
    settings.rate_limit.max_requests = 3
    async with own_redis, running_api(settings) as api:
        person, program = await api.person(hotel), await api.program(hotel)
        forged = {"Authorization": "Bearer gw_forged"}
        nobody = [(await api.http.get(ME, headers=headers)).status_code for headers in ({}, forged, {}, forged)]
        assert nobody == [401, 401, 401, 429]
        assert [(await person.http.get(ME)).status_code for _ in range(4)] == [200, 200, 200, 429]
        assert [(await program.http.get("/api/v1/tasks")).status_code for _ in range(4)] == [200, 200, 200, 429]
        hook = [(await api.http.post(f"/webhooks/messages/{hotel}", content=b"{}")).status_code for _ in range(5)]
        assert hook == [401] * 5


async def test_requests_are_limited_while_redis_is_away(own_redis: RedisServer, settings: Settings, hotel: str) -> None:
    settings.rate_limit.max_requests = 3
    async with running_api(settings) as api:
        person = await api.person(hotel)
        assert [(await person.http.get(ME)).status_code for _ in range(4)] == [200, 200, 200, 429]


def test_each_permission_says_whose_it_is() -> None:
    assert set(ALLOWED) == set(Permission)
    assert all(roles <= AND_PROGRAMS for roles in ALLOWED.values())


def test_what_the_table_does_not_allow_is_denied(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(ALLOWED, Permission.WRITE_TASKS, frozenset({"admin"}))
    now = datetime.now(UTC)
    admin = Session(id="s", staff=ANYBODY, started_at=now, expires_at=now, ends_at=now)
    require_permission(admin, Permission.WRITE_TASKS)
    agent = ANYBODY.model_copy(update={"role": "agent"})
    with pytest.raises(Forbidden):
        require_permission(replace(admin, staff=agent), Permission.WRITE_TASKS)
    with pytest.raises(Forbidden):
        require_permission(replace(admin, scopes=frozenset({"tasks:read"})), Permission.WRITE_TASKS)
    monkeypatch.delitem(ALLOWED, Permission.WRITE_TASKS)
    with pytest.raises(Forbidden):
        require_permission(admin, Permission.WRITE_TASKS)


async def test_a_role_that_may_not_is_refused(api: Api, hotel: str, monkeypatch: pytest.MonkeyPatch) -> None:
    agent = await api.person(hotel)
    monkeypatch.setitem(ALLOWED, Permission.READ_TASKS, frozenset({"admin"}))
    assert problem(await agent.http.get("/api/v1/tasks")) == (403, "forbidden")


def _key_of(api: Api, person: Person) -> str:
    """Where Redis has a session."""
    return f"gateway:session:{api.state.tokens.read(person.token).sid}"


async def _execute(database: Database, statement: str, **values: object) -> None:
    async with database.begin() as connection:
        await connection.execute(text(statement), values)
