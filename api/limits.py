"""Rate limits per caller, counted in Redis for all processes, or in this process while Redis is away."""

import math
import time
from dataclasses import dataclass
from typing import Any, Final, Self

from cachetools import TTLCache
from limits import RateLimitItem, RateLimitItemPerSecond, WindowStats
from limits.aio.storage import MemoryStorage, RedisStorage
from limits.aio.strategies import SlidingWindowCounterRateLimiter
from redis.asyncio import Redis

from activities.storage.redis_client import REDIS_AWAY, Fuse
from settings import RateLimit

KEY_PREFIX: Final = "gateway:limits"
CACHED: Final = 4096
CACHE_SECONDS: Final = 1.0
"""How long a caller's remaining quota is cached, so that most requests take one round trip instead of two. Redis still
decides about each request; only the remaining number shown may lag behind other processes by this much."""


@dataclass(slots=True)
class Left:
    """A caller's remaining quota as last read from Redis, minus what this process has let through since."""

    reset_time: float
    remaining: int


@dataclass(frozen=True, slots=True)
class Quota:
    """What a caller has left. `reset_seconds` is how long until there is more."""

    limit: int
    window_seconds: int
    remaining: int
    reset_seconds: int
    exceeded: bool = False

    @classmethod
    def of(cls, item: RateLimitItem, left: Left | WindowStats, *, exceeded: bool) -> Self:
        reset = max(1, math.ceil(left.reset_time - time.time()))
        return cls(item.amount, item.get_expiry(), 0 if exceeded else left.remaining, reset, exceeded)

    @property
    def headers(self) -> dict[str, str]:
        return {
            "RateLimit-Limit": str(self.limit),
            "RateLimit-Remaining": str(self.remaining),
            "RateLimit-Reset": str(self.reset_seconds),
            "RateLimit-Policy": f"{self.limit};w={self.window_seconds}",
        }


class Limit:
    """At most `amount` per caller in a sliding window."""

    def __init__(self, redis: Redis, name: str, *, amount: int, seconds: int) -> None:
        connections: dict[str, Any] = {"connection_pool": redis.connection_pool}  # in place of the URL's own
        storage = RedisStorage(
            "async+redis://", implementation="redispy", key_prefix=f"{KEY_PREFIX}:{name}", **connections
        )
        self._item = RateLimitItemPerSecond(amount, seconds)
        self._shared = SlidingWindowCounterRateLimiter(storage)
        self._fuse = Fuse()
        self._own = SlidingWindowCounterRateLimiter(MemoryStorage())
        self._left: TTLCache[str, Left] = TTLCache(maxsize=CACHED, ttl=CACHE_SECONDS)

    @classmethod
    def of_requests(cls, redis: Redis, settings: RateLimit) -> Self:
        return cls(
            redis, "requests", amount=settings.max_requests, seconds=max(1, math.ceil(settings.window_ms / 1000))
        )

    async def take(self, caller: str) -> Quota:
        """Counts one request, if any is left."""
        try:
            with self._fuse:
                return await self._take(self._shared, caller)
        except REDIS_AWAY:
            return await self._take(self._own, caller)

    async def look(self, caller: str) -> Quota:
        """What the caller has left, without counting."""
        try:
            with self._fuse:
                return await self._look(self._shared, caller)
        except REDIS_AWAY:
            return await self._look(self._own, caller)

    async def _take(self, limiter: SlidingWindowCounterRateLimiter, caller: str) -> Quota:
        taken = await limiter.hit(self._item, caller)
        left = self._left.get(caller)
        if not taken or left is None or left.remaining == 0:
            window = await limiter.get_window_stats(self._item, caller)
            left = self._left[caller] = Left(window.reset_time, window.remaining)
        else:
            left.remaining -= 1
        return Quota.of(self._item, left, exceeded=not taken)

    async def _look(self, limiter: SlidingWindowCounterRateLimiter, caller: str) -> Quota:
        left = await limiter.test(self._item, caller)
        return Quota.of(self._item, await limiter.get_window_stats(self._item, caller), exceeded=not left)
