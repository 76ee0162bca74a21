"""Limits of callers that several processes count together."""

import uuid

from redis.asyncio import Redis

from api.limits import Limit


async def test_what_one_process_was_told_lets_nobody_past_the_limit_of_all(redis: Redis) -> None:
    """A process goes on from what it was told of a caller; whether one more may pass, Redis says each time."""
    caller, name = uuid.uuid4().hex, uuid.uuid4().hex
    one, other = (Limit(redis, name, amount=4, seconds=60) for _ in range(2))
    assert (await one.take(caller)).remaining == 3
    assert [(await other.take(caller)).remaining for _ in range(2)] == [2, 1]
    late = await one.take(caller)
    assert (late.exceeded, late.remaining) == (False, 2), "as told, less its own: it does not know of the other's yet"
    refused = await one.take(caller)
    assert (refused.exceeded, refused.remaining) == (True, 0)
    assert (await other.look(caller)).exceeded
