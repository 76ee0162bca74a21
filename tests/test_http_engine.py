"""The http engine against a real server that behaves, fails, lies and stalls."""

import asyncio
import gzip
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydantic import SecretStr
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from activities.ai.engines import build_engine
from activities.ai.http import ANSWER_BYTES, HttpEngine
from activities.ai.port import EngineError
from contracts.ai import AIRequest, AIResponse, ConversationContext
from contracts.guests import GuestProfile
from contracts.messages import Author, Delivery, DeliveryState, Message
from settings import Ai, Property, Settings, SettingsError
from settings import HttpEngine as HttpSettings
from settings import LlmEngine as LlmSettings
from tests.fakes.server import serving
from tests.fakes.tls import wanting_a_certificate

SECRET_WORDS = "my secret is a blue parrot"
ANSWER = AIResponse(conversation_id="c", response="From 7 am.", intent="breakfast", confidence=0.9, sources=["b"])


class Vendor:
    """A remote engine; `respond` makes each of its answers."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.bodies: list[bytes] = []
        self.status = 200
        self.body: str | bytes = ANSWER.model_dump_json()
        self.headers: dict[str, str] = {}
        self.stalled = False

    async def __call__(self, request: Request) -> Response:
        self.requests.append(request)
        self.bodies.append(await request.body())
        if self.stalled:
            await asyncio.Event().wait()
        return Response(self.body, status_code=self.status, headers=self.headers, media_type="application/json")


@asynccontextmanager
async def connected(vendor: Vendor, token: str | None = None) -> AsyncIterator[HttpEngine]:
    async def answer(request: Request) -> Response:
        return await vendor(request)

    app = Starlette(routes=[Route("/answer", answer, methods=["POST"])])
    async with serving(app, timeout_graceful_shutdown=1) as base:
        engine = HttpEngine(f"{base}/answer", SecretStr(token) if token else None)
        try:
            yield engine
        finally:
            await engine.close()


def a_request() -> AIRequest:
    now = datetime.now(UTC)
    message = Message(
        id="m1",
        conversation_id="c",
        seq=1,
        author=Author.GUEST,
        content=SECRET_WORDS,
        created_at=now,
        delivery=Delivery(state=DeliveryState.DELIVERED),
    )
    context = ConversationContext(
        conversation_id="c",
        guest_id="g",
        property_id="seaview",
        channel_type="sms",
        state="active",
        messages=[message],
        turn_message_ids=["m1"],
        created_at=now,
    )
    return AIRequest(conversation_id="c", message=message, context=context, guest_profile=GuestProfile(id="g"))


async def test_the_vendor_gets_the_contract_and_its_answer_comes_back() -> None:
    vendor, request = Vendor(), a_request()
    async with connected(vendor, token="open sesame") as engine:
        assert await engine.answer(request, turn_id="turn-7") == ANSWER
    headers = vendor.requests[0].headers
    assert headers["idempotency-key"] == "turn-7"
    assert headers["authorization"] == "Bearer open sesame"
    assert headers["content-type"] == "application/json"
    assert AIRequest.model_validate_json(vendor.bodies[0]) == request
    assert b'"conversationId":"c"' in vendor.bodies[0]


async def test_without_a_token_there_is_no_authorization() -> None:
    vendor = Vendor()
    async with connected(vendor) as engine:
        await engine.answer(a_request(), turn_id="t")
    assert "authorization" not in vendor.requests[0].headers


@pytest.mark.parametrize(
    ("status", "retryable"),
    [
        (400, False),
        (401, False),
        (404, False),
        (422, False),
        (408, True),
        (425, True),
        (429, True),
        (500, True),
        (503, True),
        (302, False),
    ],
)
async def test_a_refusal_is_asked_again_only_where_that_may_help(status: int, retryable: bool) -> None:
    vendor = Vendor()
    vendor.status = status
    async with connected(vendor) as engine:
        with pytest.raises(EngineError, match=str(status)) as failure:
            await engine.answer(a_request(), turn_id="t")
    assert failure.value.retryable is retryable
    assert len(vendor.requests) == 1


@pytest.mark.parametrize(
    "body",
    [
        "",
        "not json",
        "[]",
        '{"conversationId": "c"}',
        ANSWER.model_copy(update={"confidence": 1.5}).model_dump_json(),
        ANSWER.model_copy(update={"conversation_id": "another"}).model_dump_json(),
        f'{{"conversationId": "c", "response": "{SECRET_WORDS}", "intent": 7, "confidence": "{SECRET_WORDS}"}}',
    ],
)
async def test_a_wrong_answer_is_an_error_without_its_words(body: str) -> None:
    vendor = Vendor()
    vendor.body = body
    async with connected(vendor) as engine:
        with pytest.raises(EngineError) as failure:
            await engine.answer(a_request(), turn_id="t")
    assert failure.value.retryable
    assert failure.value.__cause__ is None
    assert "parrot" not in str(failure.value)


async def test_a_compressed_answer_is_read() -> None:
    vendor = Vendor()
    vendor.body, vendor.headers = gzip.compress(ANSWER.model_dump_json().encode()), {"content-encoding": "gzip"}
    async with connected(vendor) as engine:
        assert await engine.answer(a_request(), turn_id="t") == ANSWER
        vendor.body = b"no gzip"
        with pytest.raises(EngineError, match="DecodingError") as failure:
            await engine.answer(a_request(), turn_id="t")
    assert failure.value.retryable


async def test_an_answer_is_read_no_further_than_its_limit() -> None:
    vendor = Vendor()
    vendor.body = " " * (ANSWER_BYTES + 1)
    async with connected(vendor) as engine:
        with pytest.raises(EngineError, match=f"larger than {ANSWER_BYTES}"):
            await engine.answer(a_request(), turn_id="t")
        vendor.body, vendor.headers = gzip.compress(b" " * 50_000_000), {"content-encoding": "gzip"}
        tracemalloc.start()
        with pytest.raises(EngineError, match=f"larger than {ANSWER_BYTES}") as failure:
            await engine.answer(a_request(), turn_id="t")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert not failure.value.retryable
    assert peak < 10_000_000


async def test_nobody_there_can_be_tried_again() -> None:
    async with connected(Vendor()) as engine:
        pass
    gone = HttpEngine(engine.url)
    with pytest.raises(EngineError, match="reached") as failure:
        await gone.answer(a_request(), turn_id="t")
    await gone.close()
    assert failure.value.retryable


async def test_one_that_wants_a_certificate_of_ours_can_be_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with wanting_a_certificate(tmp_path) as (url, trust):
        monkeypatch.setattr("activities.ai.http.trusted", lambda: trust)
        engine = HttpEngine(url)
        with pytest.raises(EngineError, match="cannot be reached") as refused:
            await engine.answer(a_request(), turn_id="t")
        await engine.close()
    assert refused.value.retryable


async def test_the_callers_deadline_ends_a_stalled_answer_and_the_next_one_works() -> None:
    vendor = Vendor()
    vendor.stalled = True
    async with connected(vendor) as engine:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await engine.answer(a_request(), turn_id="t")
        vendor.stalled = False
        assert await engine.answer(a_request(), turn_id="t") == ANSWER


async def test_settings_choose_the_engine_and_a_property_its_own() -> None:
    http = HttpSettings(url="http://127.0.0.1:9/answer")
    own = Property(name="Own", ai=Ai(engine="http", fallback=["embedded"], http=http))
    engines = build_engine(Settings(properties={"own": own, "other": Property(name="Other")}))
    assert [each.name for each in engines.of("own")] == ["http", "embedded"]
    assert [each.name for each in engines.of("other")] == ["embedded"]
    await engines.close()


async def test_what_a_property_does_not_set_is_shared() -> None:
    shared = Ai(engine="llm", llm=LlmSettings(model="m", base_url="http://127.0.0.1:9", max_tokens=9))
    own = Property(name="Own", ai=Ai(llm=LlmSettings(model="n")))
    settings = Settings(ai=shared, properties={"own": own})
    assert settings.engine_of("own") == settings.engine_of("elsewhere") == "llm"
    found = settings.ai_of("own").llm
    assert (found.model, found.base_url, found.max_tokens) == ("n", "http://127.0.0.1:9", 9)


@pytest.mark.parametrize(
    ("ai", "told"),
    [
        ({"engine": "http"}, r"ai\.http\.url"),
        ({"engine": "http", "http": {"url": "ai.example/answer"}}, r"ai\.http\.url"),
        ({"engine": "llm"}, r"ai\.llm\.model"),
        ({"engine": "llm", "llm": {"model": "m"}}, r"ai\.llm\.apiKey"),
        ({"engine": "embedded", "fallback": ["http"]}, r"ai\.http\.url"),
    ],
)
def test_an_engine_that_is_not_set_up_stops_the_start(ai: dict[str, object], told: str) -> None:
    with pytest.raises(SettingsError, match=told):
        build_engine(Settings(ai=Ai.model_validate(ai)))
