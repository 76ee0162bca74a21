"""What a process knows of a session that is far from its end never outlives that session."""

import asyncio
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
from redis.asyncio import Redis

from activities.storage.database import Database
from activities.storage.sessions import Lease, Sessions
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
