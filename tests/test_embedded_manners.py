"""How people write to the embedded engine: with courtesies, a name below, and in their own language."""

import pytest

from activities.ai.embedded import EmbeddedEngine
from activities.ai.library import Library
from contracts.ai import AIResponse
from settings import Property, Settings
from tests.requests import a_request

THRESHOLD = 0.7


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(Library(Settings(properties={"seaview": Property(name="Seaview Hotel")})))


async def ask(engine: EmbeddedEngine, text: str) -> AIResponse:
    return await engine.answer(a_request(text), turn_id="turn")


def is_answered(response: AIResponse) -> bool:
    return response.confidence >= THRESHOLD and not response.should_escalate


@pytest.mark.parametrize(
    "text", ["the pool is amazing", "thanks so much, you've been very helpful", "We love it here!"]
)
async def test_praise_is_no_complaint_and_nothing_to_repair(engine: EmbeddedEngine, text: str) -> None:
    response = await ask(engine, text)
    assert (is_answered(response), response.intent, response.actions) == (True, "thanks", [])


async def test_who_has_a_question_has_no_emergency(engine: EmbeddedEngine) -> None:
    assert (await ask(engine, "Hi, I have a quick question")).intent == "greeting"


@pytest.mark.parametrize(
    "text",
    [
        "Thanks! And how much is it?",
        "Hello! When is it open?",
        "great! is it free?",
        "thx. please do that",
        "Perfect thanks. Where is it?",
        "see you soon! please leave the key outside",
        "never mind, cancel the taxi",
        "thanks for the info, I'd rather not pay that much",
        "we are looking forward to our stay and need a baby cot",
        "thank you for charging me twice",
        "yes please",
        "yes book it please",
    ],
)
async def test_a_courtesy_is_no_answer_to_what_stands_beside_it(engine: EmbeddedEngine, text: str) -> None:
    assert not is_answered(await ask(engine, text))


@pytest.mark.parametrize(
    "name", ["Anna Becker", "John Clarke", "Marie Durand", "T. Baker", "Laura White", "João da Silva", "Jones"]
)
@pytest.mark.parametrize("closing", ["Kind regards,\n{}", "Thanks, {}", "Thank you!\n\nBest wishes\n{}."])
async def test_a_name_below_a_message_says_nothing(engine: EmbeddedEngine, closing: str, name: str) -> None:
    response = await ask(engine, f"What time is breakfast?\n{closing.format(name)}")
    assert (is_answered(response), response.sources) == (True, ["breakfast"])


@pytest.mark.parametrize(
    "text",
    [
        "What time is breakfast? Thanks, and call the Police",
        "Kind regards, Anna. My room is on Fire",
        "Thanks! Fire",
        "THANKS, CALL THE POLICE",
    ],
)
async def test_what_is_no_name_is_read(engine: EmbeddedEngine, text: str) -> None:
    assert (await ask(engine, text)).intent == "safety"


@pytest.mark.parametrize(
    "text",
    [
        "Hola",
        "taxi para el aeropuerto a las 6 por favor",
        "towels bitte",
        "Hi, bitte ein Taxi um 7",
        "ich habe eine Frage",
        "mi marido llega mañana",
        "la habitación huele mal",
    ],
)
async def test_plain_words_of_other_languages_are_no_alarm_and_no_mistakes(engine: EmbeddedEngine, text: str) -> None:
    response = await ask(engine, text)
    assert (response.should_escalate, response.intent) == (True, "language")


@pytest.mark.parametrize(
    ("text", "intent"),
    [
        ("mi marido no respira", "medical"),
        ("minha mãe desmaiou no banheiro", "medical"),
        ("ma femme ne peut plus respirer", "medical"),
        ("mein Vater ist ohnmächtig", "medical"),
        ("mia moglie è caduta e sanguina", "medical"),
        ("hay humo en el pasillo", "safety"),
        ("tem fumaça no quarto", "safety"),
        ("il y a un incendie", "safety"),
        ("jemand ist in mein Zimmer eingebrochen", "safety"),
        ("c'è fuoco in camera", "safety"),
    ],
)
async def test_an_emergency_is_one_in_other_languages(engine: EmbeddedEngine, text: str, intent: str) -> None:
    assert (await ask(engine, text)).intent == intent
