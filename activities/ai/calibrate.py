"""Fits calibration.json: `python -m activities.ai.calibrate ARTICLES MESSAGES`.

It fits to labelled messages and, because they are few, to the phrasings themselves. A reader is always sure of a
phrasing that it has learned, so each is read by a reader that has not seen it (cross-validation).
"""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from activities.ai.acts import THING, Act, load_acts, load_objects
from activities.ai.calibration import WEIGHTS, Calibration, evidence, fit, request_evidence
from activities.ai.evaluation import Labelled, load_labelled
from activities.ai.knowledge import Article, load_articles
from activities.ai.reader import Reader, Reading
from activities.ai.understanding import work_of
from contracts.rules import Department

_FOLDS = 5


@dataclass(frozen=True)
class Case:
    """The reading of a text, and what the text really asks for: an article, a department's work, or a person."""

    reading: Reading
    article: str | None = None
    department: Department | None = None


def calibrate(articles: Sequence[Article], messages: Sequence[Labelled]) -> Calibration:
    acts = load_acts()
    cases = [*_held_out(articles, list(acts.values())), *_labelled(articles, list(acts.values()), messages)]
    cases = [case for case in cases if not case.reading.empty]
    requests = ((work_of(case.reading, acts), case) for case in cases)
    return fit(
        [
            (evidence(case.reading, acts), case.article is not None, case.reading.article == case.article)
            for case in cases
            if not case.reading.alarms
        ],
        [
            (request_evidence(case.reading, act, acts), case.department == act.department)
            for act, case in requests
            if act is not None
        ],
    )


def _held_out(articles: Sequence[Article], acts: Sequence[Act]) -> Iterator[Case]:
    """Each phrasing, read by a reader that has not learned it."""
    names = [name for article in articles for name in article.names]
    for fold in range(_FOLDS):
        seen = [each.model_copy(update={"questions": _without(each.questions, fold)}) for each in articles]
        known = [each.model_copy(update={"phrasings": tuple(_without(each.phrasings, fold))}) for each in acts]
        reader = Reader(seen, known, load_objects())
        for article in articles:
            for question in article.questions[fold::_FOLDS]:
                yield Case(reader.read(question), article=article.id)
        for act in acts:
            if act.kind in ("person", "work") and act.about != "another language":
                for phrasing in act.phrasings[fold::_FOLDS]:
                    asked = act.department if act.takes else None
                    yield Case(reader.read(_filled(phrasing, names)), department=asked)


def _labelled(articles: Sequence[Article], acts: Sequence[Act], messages: Sequence[Labelled]) -> Iterator[Case]:
    """The labelled messages that ask for one thing: an article, work, or a person."""
    reader = Reader(articles, acts, load_objects())
    for message in messages:
        if message.expected == "person":
            yield Case(reader.read(message.text))
        elif message.expected == "task" and message.department and not message.articles:
            yield Case(reader.read(message.text), department=message.department)
        elif message.expected == "answer" and len(message.articles) == 1:
            yield Case(reader.read(message.text), article=message.articles[0])


def _without(phrasings: Sequence[str], fold: int) -> list[str]:
    return [phrasing for at, phrasing in enumerate(phrasings) if at % _FOLDS != fold]


def _filled(phrasing: str, names: Sequence[str]) -> str:
    pick = sum(map(ord, phrasing))
    for slot, objects in {THING: names, **load_objects()}.items():
        phrasing = phrasing.replace(slot, objects[pick % len(objects)])
    return phrasing


if __name__ == "__main__":
    fitted = calibrate(load_articles(Path(sys.argv[1])), load_labelled(Path(sys.argv[2])))
    WEIGHTS.write_text(fitted.model_dump_json(indent=2) + "\n", "utf-8")
