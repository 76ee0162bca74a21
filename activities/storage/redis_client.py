"""The connection to Redis, which only makes things faster: every user of it goes on without."""

import asyncio
import time
from typing import Final

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

import settings as configuration

REDIS_AWAY = (RedisError, OSError, TimeoutError)
"""What a call raises while Redis cannot be reached or refuses to work."""
PAUSE_SECONDS: Final = 1.0


class Fuse:
    """A block that is not entered while Redis was away a moment ago, so that few callers wait for its timeout.

    Raises what Redis raises while it is away; after each pause one caller finds out whether it is back.
    """

    def __init__(self) -> None:
        self._blown = False
        self._closed_until = 0.0

    def __enter__(self) -> None:
        now = time.monotonic()
        if now < self._closed_until:
            raise RedisConnectionError("Redis was away a moment ago")
        if self._blown:
            self._closed_until = now + PAUSE_SECONDS

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, REDIS_AWAY):
            self._blown = True
            self._closed_until = time.monotonic() + PAUSE_SECONDS
        elif error is None:
            self._blown = False
            self._closed_until = 0.0


def open_redis(settings: configuration.Redis) -> Redis:
    """A pool of connections, opened when first used. A call fails after `settings.timeout` and is tried once again."""
    if settings.url is None:
        raise configuration.SettingsError("redis.url: set GATEWAY_REDIS__URL to redis://… or unix://…")
    seconds = settings.timeout / 1000
    try:
        return Redis.from_url(
            settings.url,
            decode_responses=True,
            socket_timeout=seconds,
            socket_connect_timeout=seconds,
            retry=Retry(NoBackoff(), retries=1),
        )
    except ValueError:  # its text may quote the password
        raise configuration.SettingsError("redis.url: must be redis://host:port or unix://path") from None


def heed_cancellation() -> None:
    """Ends a task whose cancellation a call to Redis has kept to itself; what only a cancellation ends asks each turn.

    The client sends by `asyncio.wait_for`, which in Python 3.11 drops a cancellation that comes as the send is done.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
