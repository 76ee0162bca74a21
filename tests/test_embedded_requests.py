"""What guests want done: asked of a department, told truthfully, and a person's where it only looks like work."""

import pytest

from activities.ai.actions import hour_of
from activities.ai.embedded import EmbeddedEngine
from activities.ai.library import Library
from contracts.ai import AIResponse
from settings import Property, Settings
from tests.requests import a_request

THRESHOLD = 0.7


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(Library(Settings(properties={"seaview": Property(name="Seaview Hotel")})))


def is_answered(response: AIResponse) -> bool:
    return response.confidence >= THRESHOLD and not response.should_escalate


@pytest.mark.parametrize(
    ("text", "department", "title"),
    [
        ("can I get more towels please", "housekeeping", "Housekeeping request: towels"),
        ("two pillows for room 310", "housekeeping", "Housekeeping request: pillows"),
        ("the AC is broken", "maintenance", "Something is out of order: airconditioning"),
        ("there is no hot water", "maintenance", "Something is out of order: water"),
        ("please call me a taxi for 6 am", "concierge", "Request for the concierge: taxi"),
        ("wake me up at 7 tomorrow", "front_desk", "Request for reception"),
    ],
)
async def test_work_is_asked_of_its_department_and_not_called_done(
    engine: EmbeddedEngine, text: str, department: str, title: str
) -> None:
    response = await engine.answer(a_request(text), turn_id="turn")
    assert is_answered(response)
    (action,) = response.actions
    assert (action.type, action.params["department"], action.params["title"]) == ("create_task", department, title)
    assert action.params["description"] == text
    assert "I've asked" in response.response


@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("please do not clean my room today", "Housekeeping request"),
        ("no cleaning today please", "Housekeeping request"),
        ("no more towels please", "Housekeeping request"),
        ("cancel my taxi", "Request for the concierge"),
    ],
)
async def test_a_title_does_not_say_the_contrary(engine: EmbeddedEngine, text: str, title: str) -> None:
    (action,) = (await engine.answer(a_request(text), turn_id="turn")).actions
    assert (action.params["title"], action.params["description"]) == (title, text)


@pytest.mark.parametrize(
    "text",
    ["don't bring the extra bed", "actually no towels needed", "do not wake me up tomorrow", "never mind the taxi"],
)
async def test_what_is_not_wanted_any_more_is_a_persons(engine: EmbeddedEngine, text: str) -> None:
    response = await engine.answer(a_request(text), turn_id="turn")
    assert (response.should_escalate, response.intent, response.actions) == (True, "booking", [])


async def test_what_is_not_needed_is_no_emergency(engine: EmbeddedEngine) -> None:
    assert (await engine.answer(a_request("I don't need the late checkout anymore"), turn_id="t")).intent == "booking"


async def test_work_is_asked_for_once(engine: EmbeddedEngine) -> None:
    text = "could you bring towels and clean the room"
    (action,) = (await engine.answer(a_request(text), turn_id="turn")).actions
    assert action.params["description"] == text


@pytest.mark.parametrize("thing", ["iron", "adapter", "umbrella", "extra pillow", "ironing board"])
async def test_who_needs_a_thing_needs_no_ambulance(engine: EmbeddedEngine, thing: str) -> None:
    response = await engine.answer(a_request(f"I need an {thing}"), turn_id="turn")
    assert is_answered(response)
    assert [action.params["department"] for action in response.actions] == ["housekeeping"]


@pytest.mark.parametrize(
    "text", ["water is coming out of the lamp", "I need an inhaler", "I need an epipen", "I need insulin"]
)
async def test_what_may_be_grave_is_a_persons(engine: EmbeddedEngine, text: str) -> None:
    assert (await engine.answer(a_request(text), turn_id="turn")).should_escalate


async def test_work_that_needs_an_answer_stays_a_persons(engine: EmbeddedEngine) -> None:
    for text in ("book a table for 4 at 8 pm", "i left my jacket in the room", "is my booking confirmed?"):
        response = await engine.answer(a_request(text), turn_id="turn")
        assert (response.should_escalate, response.actions) == (True, []), text


async def test_a_question_beside_a_request_is_answered_with_it(engine: EmbeddedEngine) -> None:
    response = await engine.answer(
        a_request("Can I get more towels please? And what time is breakfast?"), turn_id="turn"
    )
    assert is_answered(response)
    assert [action.params["department"] for action in response.actions] == ["housekeeping"]
    assert response.sources == ["breakfast"]
    assert "I've asked our housekeeping" in response.response
    assert "Harbour Room" in response.response


@pytest.mark.parametrize(
    ("text", "params"),
    [
        ("please give us a late check out tomorrow until 2 pm", {"until": "14:00"}),
        ("please arrange late check-out", {}),
    ],
)
async def test_a_late_checkout_is_asked_for(engine: EmbeddedEngine, text: str, params: dict[str, str]) -> None:
    response = await engine.answer(a_request(text), turn_id="turn")
    assert is_answered(response)
    assert [(action.type, action.params) for action in response.actions] == [("request_late_checkout", params)]
    assert "whether it can be done" in response.response


@pytest.mark.parametrize(
    "text",
    [
        "the elevator is stuck between floors and we are in it",
        "we are trapped in the bathroom, the lock is broken",
        "I need insulin kept cold, the fridge stopped working",
        "can you bring a towel, I'm bleeding",
        "the ac is broken again, I want a refund",
        "these towels are disgusting, bring new ones",
    ],
)
async def test_what_only_looks_like_work_is_a_persons(engine: EmbeddedEngine, text: str) -> None:
    response = await engine.answer(a_request(text), turn_id="turn")
    assert (response.should_escalate, response.actions) == (True, [])


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("until 2", "14:00"),
        ("till 1pm please", "13:00"),
        ("until 14:30", "14:30"),
        ("to noon", "12:00"),
        ("at 11 am", "11:00"),
        ("until 12", "12:00"),
        ("by 99", None),
        ("late check-out for 2 people", None),
    ],
)
def test_the_hour_of_a_request_is_read(text: str, hour: str | None) -> None:
    assert hour_of(text) == hour
