"""What a process knows of a session that is far from its end never outlives that session."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from activities.storage.database import Database
from activities.storage.sessions import Lease, Sessions
from activities.storage.standing import Standing
from api.live.standing import StandingWatch
from contracts.staff import Staff
from settings import Settings
from tests.support import eventually

NOW = datetime.now(UTC)
ENDS = NOW + timedelta(hours=12)


async def _check(sessions: Sessions, session_id: str) -> Lease | None:
    return await sessions.check(session_id, started_at=NOW, ends_at=ENDS, recorded=True)


@pytest.fixture
def one(database: Database, redis: Redis, settings: Settings) -> Sessions:
    return Sessions(database, redis, settings.session)


@pytest.fixture
def other(database: Database, redis: Redis, settings: Settings) -> Sessions:
    """Another process."""
    return Sessions(database, redis, settings.session)


async def test_a_session_that_one_process_knows_is_over_as_soon_as_another_ends_it(
    one: Sessions, other: Sessions
) -> None:
    await other.open(session_id := uuid4().hex, ENDS)
    first, again = [await _check(one, session_id) for _ in range(2)]
    assert first is not None
    assert again == first, "what was known, by one command"
    await other.end(session_id, ENDS)
    assert [await _check(each, session_id) for each in (one, other)] == [None, None]


async def test_what_another_process_renewed_lasts(one: Sessions, other: Sessions) -> None:
    await other.open(session_id := uuid4().hex, ENDS)
    known = await _check(one, session_id)
    renewed = await other.renew(session_id, ENDS)
    lease = await _check(one, session_id)
    assert known is not None
    assert lease is not None
    assert lease.expires_at <= renewed.expires_at, "never longer than Redis would say"
    assert not lease.renewed


async def test_what_was_known_is_forgotten_when_the_session_is_to_be_renewed(redis: Redis, one: Sessions) -> None:
    await one.open(session_id := uuid4().hex, ENDS)
    await redis.pexpire(f"gateway:session:{session_id}", 300_200)
    known = await _check(one, session_id)
    assert known is not None
    assert not known.renewed

    async def renewed() -> bool:
        lease = await _check(one, session_id)
        return lease is not None and lease.renewed

    await eventually(renewed, what="the renewal with under 300 seconds left")
    lease = await _check(one, session_id)
    assert lease is not None
    assert lease.expires_at > known.expires_at


async def test_sessions_that_end_at_one_moment_are_all_over(one: Sessions, other: Sessions) -> None:
    ending = [uuid4().hex for _ in range(10)]
    for session_id in ending:
        await one.open(session_id, ENDS)
    await asyncio.gather(*(one.end(session_id, ENDS) for session_id in ending))
    assert [await _check(other, session_id) for session_id in ending] == [None] * len(ending)


async def test_a_fault_while_listening_makes_nobody_deaf(
    one: Sessions, other: Sessions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    faults = [RuntimeError("Ana's own words")]
    catch_up = Sessions._catch_up

    async def fail_once(self: Sessions) -> None:
        if faults:
            raise faults.pop()
        await catch_up(self)

    monkeypatch.setattr(Sessions, "_catch_up", fail_once)
    ended, session_id = asyncio.Event(), uuid4().hex
    one.watch(session_id, ended.set)
    listening = asyncio.create_task(one.listen())
    await other.open(session_id, ENDS)
    await other.end(session_id, ENDS)
    async with asyncio.timeout(10):
        await ended.wait()
    listening.cancel()
    assert "ending sessions: postponed, unexpected RuntimeError" in caplog.text
    assert "own words" not in caplog.text


async def test_a_fault_while_looking_after_who_listens_ends_no_look(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who may no longer see something would keep the socket that shows it."""
    staff = Staff(id=uuid4().hex, email="x@hotel.test", name="Rui", role="agent", properties=["a-hotel"])
    looks = [RuntimeError("a fault")]

    async def standing(*_: object) -> dict[str, Standing]:
        if looks:
            raise looks.pop()
        return {staff.id: Standing(role="agent", properties=frozenset(), disabled=True)}

    monkeypatch.setattr("api.live.standing.standings", standing)
    monkeypatch.setattr("api.live.standing.LOOK", 0.01)
    watch, changed = StandingWatch(database), asyncio.Event()
    forget = watch.watch(staff, changed.set)
    async with asyncio.timeout(10):
        await changed.wait()
    forget()
