"""Measuring an engine: what counts as right and dangerous, what may be read in, what comes out."""

from pathlib import Path
from xml.etree import ElementTree

import pytest

from activities.ai.embedded import EmbeddedEngine
from activities.ai.evaluation import Labelled, evaluate, load_labelled
from activities.ai.library import Library
from activities.ai.report import as_svg, as_text
from contracts.problems import Invalid
from settings import Property, Settings

DATA = Path(__file__).parent / "data"
THRESHOLD = 0.7


@pytest.fixture(scope="module")
def engine() -> EmbeddedEngine:
    return EmbeddedEngine(Library(Settings(properties={"seaview": Property(name="Seaview Hotel")})))


async def test_an_evaluation_reads_as_text_and_as_a_plot(engine: EmbeddedEngine) -> None:
    messages = load_labelled(DATA / "messages-tuning.jsonl")[:60]
    evaluation = await evaluate(engine, messages, property_id="seaview", threshold=THRESHOLD)
    text = as_text(evaluation)
    assert f"{len(evaluation.outcomes)} messages" in text
    assert f"{evaluation.at_threshold.accuracy:.1%}" in text
    assert sum(each.count for each in evaluation.reliability) == len(evaluation.outcomes)
    plot = ElementTree.fromstring(as_svg(evaluation))
    bars = plot.findall("{http://www.w3.org/2000/svg}rect/{http://www.w3.org/2000/svg}title")
    assert len(bars) == len(evaluation.reliability)


async def test_a_task_is_right_for_its_department_only(engine: EmbeddedEngine) -> None:
    messages = [
        Labelled(text="can I get more towels please", expected="task", department="housekeeping"),
        Labelled(text="can I get more towels please", expected="task"),
        Labelled(text="can I get more towels please", expected="task", department="maintenance"),
        Labelled(text="can I get more towels please", expected="answer", articles=[]),
        Labelled(text="I want to talk to a human", expected="task", department="housekeeping"),
    ]
    found = await evaluate(engine, messages, property_id="seaview", threshold=THRESHOLD)
    assert [each.right(THRESHOLD) for each in found.outcomes] == [True, True, False, False, False]
    assert [each.dangerous(THRESHOLD) for each in found.outcomes] == [False, False, True, True, False]


async def test_an_evaluation_counts_right_and_dangerous_answers(engine: EmbeddedEngine) -> None:
    messages = [
        Labelled(text="What time is breakfast?", expected="answer", articles=["breakfast"]),
        Labelled(text="What time is breakfast?", expected="answer", articles=["pool"]),
        Labelled(text="What time is breakfast?", expected="person"),
        Labelled(text="I want to talk to a human", expected="person"),
    ]
    found = await evaluate(engine, messages, property_id="seaview", threshold=THRESHOLD)
    assert (found.at_threshold.accuracy, found.at_threshold.dangerous, found.at_threshold.answered) == (0.5, 0.5, 0.75)
    assert found.at(1.01).dangerous == 0
    confidence = found.outcomes[0].response.confidence
    assert found.ece == pytest.approx(3 / 4 * (confidence - 1 / 3))


def test_labelled_messages_come_as_json_lines_or_csv(tmp_path: Path) -> None:
    (tmp_path / "set.csv").write_text(
        'text,expected,articles\n"Hi, when is breakfast?",answer,breakfast\nhelp,person,\n'
    )
    (tmp_path / "set.jsonl").write_text(
        '{"text": "Hi, when is breakfast?", "expected": "answer", "articles": ["breakfast"]}\n'
        '{"text": "help", "expected": "person"}\n'
    )
    assert load_labelled(tmp_path / "set.csv") == load_labelled(tmp_path / "set.jsonl")
    (tmp_path / "bad.jsonl").write_text('{"text": "help", "expected": "human"}\n')
    with pytest.raises(Invalid, match="message 1"):
        load_labelled(tmp_path / "bad.jsonl")


async def test_nothing_to_measure_is_said(engine: EmbeddedEngine) -> None:
    with pytest.raises(Invalid, match="no labelled message"):
        await evaluate(engine, [], property_id="seaview", threshold=THRESHOLD)
