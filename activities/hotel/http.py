"""A hotel's system over HTTP: posts the guest's contacts as JSON and gets their stays."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Final

import httpx
from circuitbreaker import CircuitBreaker
from pydantic import Field, ValidationError

from activities.bounded_reading import ACCEPTED, TooMuchError, read_at_most
from activities.hotel.port import HotelAwayError
from activities.tls import UNREACHED, trusted
from contracts.base import Model
from contracts.guests import GuestContact, Stay
from settings import HttpIntegration

FAILURES_TO_REST: Final = 3
"""After this many failures in a row, the system is left alone for a while."""
REST_SECONDS: Final = 15
ANSWER_BYTES: Final = 256 * 1024
"""Far more than the largest real response."""
MOST_STAYS: Final = 100
"""How many stays of one guest are read, since all of them go to the AI."""


class StaysQuery(Model):
    """The body of `POST {url}/stays`. Addresses are not part of the URL, so that they do not appear in logs."""

    property_id: str
    contacts: list[GuestContact]


class StaysAnswer(Model):
    """The response. A guest unknown to the system has no stays."""

    stays: Annotated[list[Stay], Field(max_length=MOST_STAYS)]


class HttpHotel:
    """The adapter. A failing system is left alone for a while, so that nobody waits for it in vain."""

    def __init__(self, url: str, settings: HttpIntegration) -> None:
        headers = {"authorization": f"Bearer {settings.token.get_secret_value()}"} if settings.token else {}
        self._url = url.rstrip("/")
        self._seconds = settings.timeout / 1000
        self._client = httpx.AsyncClient(headers=headers, timeout=self._seconds, verify=trusted())
        self._breaker = CircuitBreaker(
            failure_threshold=FAILURES_TO_REST, recovery_timeout=REST_SECONDS, expected_exception=HotelAwayError
        )

    async def stays(self, property_id: str, contacts: Sequence[GuestContact]) -> list[Stay]:
        if not contacts:
            return []
        if self._breaker.opened:
            raise HotelAwayError("calls to the hotel's system are paused after repeated failures")
        with self._breaker:
            stays = await self._ask(StaysQuery(property_id=property_id, contacts=list(contacts)))
        return sorted(stays, key=lambda stay: (stay.arrival, stay.id), reverse=True)

    async def _ask(self, query: StaysQuery) -> list[Stay]:
        headers = {"content-type": "application/json", **ACCEPTED}
        content = query.model_dump_json()
        try:
            async with asyncio.timeout(self._seconds):
                async with self._client.stream(
                    "POST", f"{self._url}/stays", content=content, headers=headers
                ) as answer:
                    body = await _body(answer)
        except (*UNREACHED, TimeoutError) as error:
            raise HotelAwayError(f"the hotel's system cannot be reached ({type(error).__name__})") from None
        try:
            return StaysAnswer.model_validate_json(body).stays
        except ValidationError as error:
            wrong = ", ".join(sorted({".".join(map(str, each["loc"])) or "body" for each in error.errors()}))
            raise HotelAwayError(f"the hotel's system did not answer a list of stays (wrong: {wrong})") from None

    async def reachable(self) -> bool:
        """Whether it responds. Any response but a server error counts, whatever is at its root path."""
        if self._breaker.opened:
            return False
        try:
            async with self._client.stream("GET", self._url) as answer:
                return answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR
        except UNREACHED:
            return False

    async def close(self) -> None:
        await self._client.aclose()


async def _body(answer: httpx.Response) -> bytes:
    if not answer.is_success:
        raise HotelAwayError(f"the hotel's system answered with status {answer.status_code}")
    try:
        return await read_at_most(answer, ANSWER_BYTES)
    except TooMuchError:
        raise HotelAwayError(f"the hotel's system answered with more than {ANSWER_BYTES} bytes") from None


def open_hotel(settings: HttpIntegration) -> HttpHotel | None:
    """The configured system, if any. It connects on first use."""
    return HttpHotel(settings.url, settings) if settings.url is not None else None
