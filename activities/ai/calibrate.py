"""Fits calibration.json: `python -m activities.ai.calibrate ARTICLES MESSAGES`.

Learned are labelled messages and, as these are few, the phrasings themselves: each is read by a reader that has not
seen it, for one that has learned a phrasing is always sure of it.
"""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from activities.ai.acts import THING, Act, load_acts, load_objects
from activities.ai.calibration import WEIGHTS, Calibration, Evidence, evidence, fit
from activities.ai.evaluation import Labelled, load_labelled
from activities.ai.knowledge import Article, load_articles
from activities.ai.reader import Reader, Reading

_FOLDS = 5

Case = tuple[Evidence, bool, bool]


def calibrate(articles: Sequence[Article], messages: Sequence[Labelled]) -> Calibration:
    acts = load_acts()
    readings = [*_held_out(articles, list(acts.values())), *_labelled(articles, list(acts.values()), messages)]
    return fit(
        [
            (evidence(reading, acts), article is not None, reading.article == article)
            for reading, article in readings
            if not reading.alarms and not reading.empty
        ]
    )


def _held_out(articles: Sequence[Article], acts: Sequence[Act]) -> Iterator[tuple[Reading, str | None]]:
    """Each phrasing as read without it, and the article it asks for, if any."""
    names = [name for article in articles for name in article.names]
    for fold in range(_FOLDS):
        seen = [each.model_copy(update={"questions": _without(each.questions, fold)}) for each in articles]
        known = [each.model_copy(update={"phrasings": tuple(_without(each.phrasings, fold))}) for each in acts]
        reader = Reader(seen, known, load_objects())
        for article in articles:
            for question in article.questions[fold::_FOLDS]:
                yield reader.read(question), article.id
        for act in acts:
            if act.kind in ("person", "work") and act.about != "another language":
                for phrasing in act.phrasings[fold::_FOLDS]:
                    yield reader.read(_filled(phrasing, names)), None


def _labelled(
    articles: Sequence[Article], acts: Sequence[Act], messages: Sequence[Labelled]
) -> Iterator[tuple[Reading, str | None]]:
    """Messages that ask for one thing: for an article, or for what is a person's."""
    reader = Reader(articles, acts, load_objects())
    for message in messages:
        if message.expected == "person":
            yield reader.read(message.text), None
        elif len(message.articles) == 1:
            yield reader.read(message.text), message.articles[0]


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
