"""The connection to Redis, which only makes things faster: every user of it goes on without."""

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

import settings as configuration

REDIS_AWAY = (RedisError, OSError, TimeoutError)
"""What a call raises while Redis cannot be reached or refuses to work."""


def open_redis(settings: configuration.Redis) -> Redis:
    """A pool of connections, opened when first used. A call fails after `settings.timeout` and is tried once again."""
    if settings.url is None:
        raise configuration.SettingsError("redis.url: set GATEWAY_REDIS__URL to redis://… or unix://…")
    seconds = settings.timeout / 1000
    return Redis.from_url(
        settings.url,
        decode_responses=True,
        socket_timeout=seconds,
        socket_connect_timeout=seconds,
        retry=Retry(NoBackoff(), retries=1),
    )
