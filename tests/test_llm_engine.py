"""The llm engine against a server that speaks OpenAI's API on this machine, and misbehaves in every way."""

import json
from collections.abc import AsyncIterator
from datetime import date

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from activities.ai.engines import Engines, build_engine
from activities.ai.library import Library
from activities.ai.llm import FAILURES_TO_REST, LlmEngine
from activities.ai.port import EngineError
from activities.ai.prompt import data_of
from contracts.ai import Handoff
from contracts.guests import GuestProfile, Stay
from contracts.messages import Attachment, Author
from settings import Ai, Property, Settings
from settings import LlmEngine as LlmSettings
from tests.fakes.openai import FakeOpenAI, Trouble, written
from tests.fakes.server import serving
from tests.requests import NOW, a_request
from tests.support import Guest, Stack, workers
from tests.test_summary import a_conversation, said

SECRET_WORDS = "my secret is a blue parrot"
BREAKFAST = written("Breakfast is a buffet in the Harbour Room, from 7 to 10:30 am.", sources=["breakfast"])


@pytest.fixture
async def model() -> AsyncIterator[FakeOpenAI]:
    fake = FakeOpenAI()
    fake.write = lambda prompt: BREAKFAST
    async with serving(fake.app, timeout_graceful_shutdown=1) as fake.url:
        yield fake
        fake.let_go()


def settings_for(model: FakeOpenAI, **changes: object) -> LlmSettings:
    values = {"base_url": f"{model.url}/v1", "model": "test-model", "api_key": SecretStr("k"), **changes}
    return LlmSettings.model_validate(values)


@pytest.fixture(scope="module")
def library() -> Library:
    return Library(Settings(properties={"seaview": Property(name="Seaview Hotel")}))


@pytest.fixture
def engine(model: FakeOpenAI, library: Library) -> LlmEngine:
    return LlmEngine(settings_for(model, input_cost=2.0, output_cost=10.0), library)


async def test_the_answer_comes_back_structured(engine: LlmEngine, model: FakeOpenAI) -> None:
    model.write = lambda prompt: {**BREAKFAST, "sources": ["breakfast", "invented", "breakfast"]}
    response = await engine.answer(a_request("What time is breakfast?"), turn_id="t")
    assert (response.response, response.intent, response.confidence) == (BREAKFAST["response"], "breakfast", 0.95)
    assert response.sources == ["breakfast"]
    assert (response.conversation_id, response.model) == ("c", "test-model")


async def test_the_model_is_told_of_articles_guest_stay_and_handoffs(engine: LlmEngine, model: FakeOpenAI) -> None:
    stay = Stay(id="s", room="214", arrival=date(2026, 3, 1), departure=date(2026, 3, 4))
    profile = GuestProfile(id="g", name="Anna Becker", language="de", stays=[stay])
    handoff = Handoff(reason="Billing", from_seq=3, to_seq=9, started_at=NOW)
    scan = Attachment(id="a", name="my secret parrot.pdf", content_type="application/pdf", url="u")
    request = a_request("What time is breakfast?", profile=profile, handoffs=[handoff], attachments=[scan])
    await engine.answer(request, turn_id="t")
    (prompt,) = model.prompts
    for told in ("Harbour Room", "Anna Becker", '"de"', '"214"', "2026-03-04", "Billing", "application/pdf"):
        assert told in prompt
    assert "parrot" not in prompt
    assert prompt.count('"title"') == 5


def test_the_model_can_tell_which_messages_a_person_handled() -> None:
    request = a_request("Hello", "I want a person", "When is breakfast?")
    request.context.messages[0].conversation_id = "an earlier one"
    request.context.handoffs = [Handoff(reason="A wish", from_seq=2, to_seq=2, started_at=NOW)]
    data = json.loads("".join(data_of(request, []).splitlines()[1:-1]))
    assert [(each.get("number"), each["text"]) for each in data["conversation"]] == [
        (None, "Hello"),
        (2, "I want a person"),
        (3, "When is breakfast?"),
    ]
    assert data["handoffs"] == [{"reason": "A wish", "from_message": 2, "to_message": 2}]


async def test_what_the_reader_cannot_read_gets_as_many_articles_as_fit(engine: LlmEngine, model: FakeOpenAI) -> None:
    await engine.answer(a_request("Um wie viel Uhr gibt es Frühstück?"), turn_id="t")
    assert model.prompts[0].count('"title"') > 10


async def test_the_context_is_bounded(model: FakeOpenAI, library: Library) -> None:
    engine = LlmEngine(settings_for(model, context_characters=1_000), library)
    await engine.answer(a_request(*["breakfast? " * 1_000] * 30), turn_id="t")
    assert len(model.prompts[0]) < 26_000


async def test_tokens_and_cost_are_recorded(engine: LlmEngine) -> None:
    def value(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, {"property": "seaview", **labels}) or 0.0

    before = value("gateway_ai_cost_total"), value("gateway_ai_tokens_total", direction="out")
    await engine.answer(a_request("What time is breakfast?"), turn_id="t")
    assert value("gateway_ai_cost_total") - before[0] == pytest.approx((900 * 2 + 100 * 10) / 1_000_000)
    assert value("gateway_ai_tokens_total", direction="out") - before[1] == 100


async def test_it_sums_a_conversation_up_without_private_notes(engine: LlmEngine, model: FakeOpenAI) -> None:
    messages = [said(Author.GUEST, "When is breakfast?"), said(Author.STAFF, SECRET_WORDS, private=True)]
    assert await engine.summarise(a_conversation(), messages) == model.summary
    assert "parrot" not in model.prompts[0]


@pytest.mark.parametrize(
    ("trouble", "retryable"),
    [
        ("stall", True),
        ("broken_json", True),
        ("wrong_form", True),
        ("no_choice", True),
        ("cut", True),
        ("429", True),
        ("500", True),
        ("401", False),
    ],
)
async def test_each_trouble_is_one_request_and_an_error_without_the_guests_words(
    model: FakeOpenAI, library: Library, trouble: Trouble, retryable: bool
) -> None:
    model.trouble = trouble
    engine = LlmEngine(settings_for(model, timeout=500), library)
    with pytest.raises(EngineError) as failure:
        await engine.answer(a_request(SECRET_WORDS), turn_id="t")
    assert failure.value.retryable is retryable
    assert failure.value.__cause__ is None
    assert "parrot" not in str(failure.value)
    assert len(model.requests) == 1


async def test_nobody_there_can_be_tried_again(library: Library) -> None:
    engine = LlmEngine(LlmSettings(base_url="http://127.0.0.1:9/v1", model="m"), library)
    with pytest.raises(EngineError, match="reached") as failure:
        await engine.answer(a_request("hello"), turn_id="t")
    assert failure.value.retryable


async def test_a_failing_provider_is_left_alone(engine: LlmEngine, model: FakeOpenAI) -> None:
    model.trouble = "500"
    for _ in range(FAILURES_TO_REST + 3):
        with pytest.raises(EngineError):
            await engine.answer(a_request("hello"), turn_id="t")
    assert len(model.requests) == FAILURES_TO_REST


async def test_a_wrong_key_does_not_make_the_provider_a_failing_one(engine: LlmEngine, model: FakeOpenAI) -> None:
    model.trouble = "401"
    for _ in range(FAILURES_TO_REST + 1):
        with pytest.raises(EngineError):
            await engine.answer(a_request("hello"), turn_id="t")
    model.trouble = None
    assert (await engine.answer(a_request("What time is breakfast?"), turn_id="t")).sources == ["breakfast"]


def engines_for(model: FakeOpenAI, **changes: object) -> Engines:
    ai = Ai(engine="llm", fallback=["embedded"], llm=settings_for(model, **changes))
    return build_engine(Settings(ai=ai, properties={"seaview": Property(name="Seaview Hotel")}))


@pytest.mark.parametrize("trouble", ["stall", "500", "401"])
async def test_another_engine_answers_where_the_model_does_not(model: FakeOpenAI, trouble: Trouble) -> None:
    model.trouble = trouble
    response = await engines_for(model, timeout=300).answer(a_request("What time is breakfast?"), turn_id="t")
    assert (response.sources, response.model) == (["breakfast"], None)
    assert "Harbour Room" in response.response


@pytest.mark.parametrize("trouble", ["stall", "broken_json", "wrong_form", "no_choice", "cut", "429", "500", "401"])
async def test_every_trouble_ends_in_the_fallback_and_a_flag_in_time(
    stack: Stack, guest: Guest, model: FakeOpenAI, trouble: Trouble
) -> None:
    model.trouble = trouble
    stack.settings.ai = Ai(engine="llm", llm=settings_for(model))
    stack.settings.routing.ai_timeout = 2_000
    stack.settings.routing.max_retries = 0
    async with workers(stack.settings, stack.client):
        outcome = await guest.ask("Do you have a helipad?")
        conversation = await guest.conversation()
        asked, *_, fallback = await guest.messages()
    assert outcome.reply_id == fallback.id
    assert "can't answer that right now" in fallback.content
    assert conversation.needs_review
    assert (fallback.created_at - asked.created_at).total_seconds() < 10


async def test_a_model_answers_a_guest_through_the_workflow(stack: Stack, guest: Guest, model: FakeOpenAI) -> None:
    model.write = lambda prompt: written("Hello! How can I help?", intent="greeting")
    stack.settings.ai = Ai(engine="llm", llm=settings_for(model))
    async with workers(stack.settings, stack.client):
        await guest.ask("Good morning!")
        answer = (await guest.messages())[-1]
    assert answer.content == "Hello! How can I help?"
    assert answer.ai is not None
    assert answer.ai.model == "test-model"
