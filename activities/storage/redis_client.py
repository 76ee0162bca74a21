"""The connection to Redis, which is only an acceleration: everything works without it."""

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
"""Errors of calls while Redis cannot be reached or refuses to work."""
PAUSE_SECONDS: Final = 1.0


class Fuse:
    """Guards a block: after a failure of Redis it is not entered for a moment, so that few callers wait for a timeout.

    Meanwhile it raises one of REDIS_AWAY. After each pause one caller finds out whether Redis is back.
    """

    def __init__(self) -> None:
        self._blown = False
        self._closed_until = 0.0

    def __enter__(self) -> None:
        now = time.monotonic()
        if now < self._closed_until:
            raise RedisConnectionError("Redis did not answer a moment ago")
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
    """A connection pool, opened on first use. Calls time out after `settings.timeout` and are retried once."""
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
    except ValueError:  # the error's text may quote the password
        raise configuration.SettingsError("redis.url: must be redis://host:port or unix://path") from None


def heed_cancellation() -> None:
    """Ends a task whose cancellation was swallowed by a call to Redis. Call it in loops that only a cancellation ends.

    The client uses `asyncio.wait_for`, which in Python 3.11 drops a cancellation that arrives as the send completes.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling():
        raise asyncio.CancelledError
