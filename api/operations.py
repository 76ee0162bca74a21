"""Endpoints for operators: health, readiness and metrics."""

import asyncio
from collections.abc import Awaitable
from datetime import timedelta
from typing import Final, Literal

from fastapi import Response, status
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ConfigDict
from temporalio.service import RPCError

from activities.storage.redis_client import REDIS_AWAY
from api.deps import GatewayState
from api.names import Dependency
from api.routers import public_router
from api.state import State
from contracts.base import Model
from contracts.problems import StorageAway

router = public_router("for probes; it reveals nothing about guests", tag="operations")
PATIENCE_SECONDS: Final = 2.0

METRIC: Final = 'gateway_messages_inbound_total{channel="sms",outcome="accepted",property="seaview"} 12.0\n'


class Health(Model):
    model_config = ConfigDict(json_schema_extra={"examples": [{"status": "ok"}]})

    status: Literal["ok"] = "ok"


class Readiness(Model):
    """The process is ready with Temporal or a migrated PostgreSQL, since either accepts guest messages.

    Both would have to be away for every process alike, so sending requests elsewhere would not help. Without Redis
    everything is only slower. `hotelSystem` is optional, and left out where none is configured: without it, guest
    profiles have no stays.
    """

    model_config = ConfigDict(json_schema_extra={"examples": [{"temporal": "ok", "postgres": "ok", "redis": "away"}]})

    temporal: Dependency
    postgres: Dependency
    redis: Dependency
    hotel_system: Dependency | None = None


@router.get("/healthz", summary="Is the process alive?")
async def health() -> Health:
    return Health()


@router.get(
    "/readyz",
    summary="Is the process ready?",
    responses={503: {"model": Readiness, "description": "Not ready"}},
    response_model_exclude_none=True,
)
async def readiness(state: GatewayState, response: Response) -> Readiness:
    temporal, reached, redis, hotel = await asyncio.gather(
        _reached(_temporal(state)), _reached(_postgres(state)), _reached(_redis(state)), _hotel(state)
    )
    postgres: Dependency = "ok" if reached == "ok" and state.migrated.is_set() else "away"
    if postgres == "away" and (reached == "ok" or temporal == "away"):
        response.status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    return Readiness(temporal=temporal, postgres=postgres, redis=redis, hotel_system=hotel)


@router.get(
    "/metrics",
    summary="Metrics for Prometheus",
    response_class=Response,
    responses={
        200: {"description": "All of them.", "content": {"text/plain": {"examples": {"one": {"value": METRIC}}}}}
    },
)
async def metrics() -> Response:
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)


async def _reached(check: Awaitable[bool]) -> Dependency:
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return "ok" if await check else "away"
    # RuntimeError is what the lazy Temporal client raises when it cannot connect.
    except (StorageAway, RPCError, RuntimeError, *REDIS_AWAY):
        return "away"


async def _temporal(state: State) -> bool:
    return await state.temporal.service_client.check_health(timeout=timedelta(seconds=PATIENCE_SECONDS))


async def _postgres(state: State) -> bool:
    await state.database.ping()
    return True


async def _redis(state: State) -> bool:
    return bool(await state.redis.ping())


async def _hotel(state: State) -> Dependency | None:
    return await _reached(state.hotel.reachable()) if state.hotel is not None else None
