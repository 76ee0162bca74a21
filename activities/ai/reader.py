"""Reads a text with a property's knowledge: which act the guest performs, and which article is meant."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from activities.ai.acts import QUESTION, THING, Act
from activities.ai.classifier import Classifier, Example, Features
from activities.ai.knowledge import Article
from activities.ai.text import Stems, stem, stems_of, words
from activities.ai.things import SOMETHING, Things
from activities.ai.vocabulary import Vocabulary

OTHER_TOPIC = "-"
"""The label of topics that no article is about."""

_WORD, _PAIR, _TRIPLE, _NAME = 1.0, 0.7, 0.5, 0.5
"""Weights of features: a word, two and three words in a row, and a word even if a placeholder replaces it."""
_OF_NAME, _OF_TEXT, _OF_OTHER_TOPIC = 0.7, 0.3, 0.5
"""Weights of examples relative to a whole question: a name or word, a clause of the text, and another topic."""
_CLAUSE_END = re.compile(r"[.;:] ")
_SLOT = re.compile(r"\{\w+\}")
_FILLINGS = 3
"""With how many objects a phrasing about objects is learned."""
_LONGEST_ALARM = 5
_LONGEST_NAME = 3
_DETERMINERS = ("the", "a", "an", "your")
_READINGS_KEPT = 64


@dataclass(frozen=True)
class Reading:
    """How similar a text is to each act's and article's examples: scores, near 1 if similar, best first."""

    text: str
    acts: dict[str, float]
    articles: dict[str, float]
    alarms: tuple[str, ...]
    """Acts with an alarm word in the text."""
    foreign_alarms: tuple[str, ...]
    """Acts with an alarm word of another language in the text."""
    excluded: bool
    """Whether it asks for something that the best article excludes, or has a word that we have never heard of."""
    strange: float
    """The share of the topical words that do not occur in the best article or its questions, from 0 to 1."""
    english: float
    """The share of the words that are English, from 0 to 1."""
    topical: bool
    """Whether it has words beyond those of any question: `how much is it` has no topic."""
    courteous: bool
    """Whether it has only words of greetings and thanks."""
    names: bool
    """Whether it consists of only a few words, none of which was learned, such as names and numbers."""
    empty: bool
    """Whether it has no words."""

    @property
    def act(self) -> str:
        return next(iter(self.acts))

    @property
    def article(self) -> str:
        return next(iter(self.articles))


class Reader:
    """Learns from a property's articles and from the acts of guests in any hotel, in a second or two."""

    def __init__(self, articles: Sequence[Article], acts: Sequence[Act], objects: dict[str, list[str]]) -> None:
        self._vocabulary = Vocabulary(_english(articles, acts, objects), _foreign(acts))
        self._things = Things(articles, objects)
        self._own = {each.id: frozenset(stem for text in _texts(each) for stem in stems_of(text)) for each in articles}
        self._excluded = {each.id: _beginnings(map(stems_of, each.excludes)) for each in articles if each.excludes}
        self._alarms = {words(alarm): act.name for act in acts for alarm in act.alarms}
        self._foreign_alarms = {words(alarm): act.name for act in acts for alarm in act.foreign_alarms}
        self._of_questions = _stems_around_things(act for act in acts if act.name == QUESTION)
        self._of_no_topic = _stems_around_things(
            act for act in acts if act.kind in ("question", "smalltalk", "context")
        )
        self._of_names = _words_of(acts, "context") - _words_of(acts, "question", "smalltalk", "work", "person")
        self._of_courtesies = _stems_around_things(act for act in acts if act.kind == "smalltalk")
        self._articles = Classifier(list(_article_examples(articles, acts)))
        self._acts = Classifier(list(self._act_examples(articles, acts, objects)))
        self.read = lru_cache(maxsize=_READINGS_KEPT)(self._read)
        """Reads a text. Cached, because a short message is also its only sentence and its only clause."""

    def __getstate__(self) -> dict[str, object]:
        """Pickles what was learned, without the cache of this process."""
        return {name: value for name, value in self.__dict__.items() if name != "read"}

    def __setstate__(self, learned: dict[str, object]) -> None:
        self.__dict__.update(learned)
        self.read = lru_cache(maxsize=_READINGS_KEPT)(self._read)

    def apart(self, text: str) -> list[str]:
        """Splits `are the bar and the pool open` into `are the bar open` and `are the pool open`, if two are named."""
        spelled = self._vocabulary.corrected(text)
        named = list(self._things.found(tuple(map(stem, spelled))))
        for (start, end, first), (next_start, next_end, second) in pairwise(named):
            between = [word for word in spelled[end:next_start] if word not in _DETERMINERS]
            if first == second == SOMETHING and between in (["and"], ["or"]):
                before, after = spelled[:start], spelled[next_end:]
                names = (spelled[start:end], spelled[next_start:next_end])
                return [" ".join((*before, *name, *after)) for name in names]
        return [text]

    def things_in(self, text: str) -> list[str]:
        """The things of a hotel that a text names, in their learned spelling."""
        spelled = self._vocabulary.corrected(text)
        found = self._things.found(tuple(map(stem, spelled)))
        return list(dict.fromkeys(" ".join(spelled[start:end]) for start, end, _ in found))

    def alarming(self, text: str) -> bool:
        """Whether the text contains an alarm word, without correction of its spelling."""
        return any(_found_in(list(words(text)), self._alarms))

    def may_be_name(self, text: str) -> bool:
        """Whether it has a word that we have not learned, or have learned only from how guests give their names."""
        return any(word in self._of_names or not self._vocabulary.has_learned(word) for word in words(text))

    def _read(self, text: str) -> Reading:
        spelled = self._vocabulary.corrected(text)
        stems = tuple(map(stem, spelled))
        articles = _best_first(self._articles.scores(_article_features(stems)))
        best = next(iter(articles))
        own = self._own.get(best, frozenset())
        telling = [each for each in stems if each not in self._of_no_topic and not each.isupper()]
        return Reading(
            text=text,
            acts=_best_first(self._acts.scores(self._act_features(stems))),
            articles=articles,
            alarms=tuple(_found_in(spelled, self._alarms)),
            foreign_alarms=tuple(_found_in(spelled, self._foreign_alarms)),
            excluded=_holds(stems, self._excluded.get(best, {})) or any(map(self._vocabulary.is_unheard_of, spelled)),
            strange=sum(each not in own for each in telling) / (len(telling) or 1),
            english=self._vocabulary.english_share(spelled),
            topical=not self._of_questions.issuperset(stems),
            courteous=self._of_courtesies.issuperset(stems),
            names=len(spelled) <= _LONGEST_NAME and not any(map(self._vocabulary.has_learned, spelled)),
            empty=not spelled,
        )

    def _act_examples(
        self, articles: Sequence[Article], acts: Sequence[Act], objects: dict[str, list[str]]
    ) -> Iterator[Example]:
        for act in acts:
            for phrasing in (*act.phrasings, *act.foreign):
                for text in _filled(phrasing, objects):
                    yield Example(self._act_features(_with_something(text)), act.name)
        asked = {self._things.replaced(stems_of(text)): text for article in articles for text in article.questions}
        for text in asked.values():
            yield Example(self._act_features(stems_of(text)), QUESTION)

    def _act_features(self, stems: Stems) -> Features:
        general = self._things.replaced(stems)
        framed = ("^", *general, "$")
        return {
            **{f"={each}": _NAME for each in stems},
            **dict.fromkeys(general, _WORD),
            **{f"{a} {b}": _PAIR for a, b in pairwise(framed)},
            **{f"{a} {b} {c}": _TRIPLE for a, b, c in zip(framed, framed[1:], framed[2:], strict=False)},
        }


def _found_in(spelled: list[str], alarms: Mapping[tuple[str, ...], str]) -> Iterator[str]:
    """Yields the acts with an alarm in the text."""
    for start in range(len(spelled)):
        for end in range(start + 1, min(len(spelled), start + _LONGEST_ALARM) + 1):
            if act := alarms.get(tuple(spelled[start:end])):
                yield act


def _beginnings(phrases: Iterable[Stems]) -> dict[str, list[Stems]]:
    """Groups phrases by their first word."""
    by_first: dict[str, list[Stems]] = {}
    for phrase in phrases:
        by_first.setdefault(phrase[0], []).append(phrase)
    return by_first


def _holds(stems: Stems, phrases: Mapping[str, list[Stems]]) -> bool:
    """Whether the text contains one of the phrases."""
    return any(
        stems[start : start + len(phrase)] == phrase
        for start, first in enumerate(stems)
        for phrase in phrases.get(first, [])
    )


def _article_examples(articles: Sequence[Article], acts: Sequence[Act]) -> Iterator[Example]:
    for article in articles:
        for text in (article.title, *article.questions):
            yield Example(_article_features(stems_of(text)), article.id)
        for text in (*article.names, *article.words):
            yield Example(_article_features(stems_of(text)), article.id, weight=_OF_NAME)
        for text in _CLAUSE_END.split(article.text):
            yield Example(_article_features(stems_of(text)), article.id, weight=_OF_TEXT)
    for act in acts:
        if act.about == "something else":
            for phrasing in act.phrasings:
                yield Example(_article_features(_stems_around(phrasing)), OTHER_TOPIC, weight=_OF_OTHER_TOPIC)


def _article_features(stems: Stems) -> Features:
    return {**dict.fromkeys(stems, _WORD), **{f"{a} {b}": _PAIR for a, b in pairwise(stems)}}


def _english(articles: Sequence[Article], acts: Sequence[Act], objects: dict[str, list[str]]) -> Iterator[str]:
    """All English texts that the reader learns from."""
    for article in articles:
        yield from _texts(article)
    for act in acts:
        if act.about != "another language":
            yield from (_SLOT.sub(" ", phrasing) for phrasing in (*act.phrasings, *act.alarms))
    for names in objects.values():
        yield from names


def _foreign(acts: Sequence[Act]) -> Iterator[str]:
    for act in acts:
        yield from (*act.foreign, *act.foreign_alarms)
        if act.about == "another language":
            yield from act.phrasings


def _texts(article: Article) -> tuple[str, ...]:
    return (article.title, *article.names, *article.words, *article.questions, article.text)


def _filled(phrasing: str, objects: dict[str, list[str]]) -> Iterator[str]:
    """Fills a phrasing's slot with some of the objects that fit, the same ones every time."""
    for slot, names in objects.items():
        if slot in phrasing:
            first = sum(map(ord, phrasing))
            yield from (phrasing.replace(slot, names[(first + 17 * turn) % len(names)]) for turn in range(_FILLINGS))
            return
    yield phrasing


def _with_something(phrasing: str) -> Stems:
    before, thing, after = phrasing.partition(THING)
    return (*stems_of(before), SOMETHING, *stems_of(after)) if thing else stems_of(before)


def _stems_around(phrasing: str) -> Stems:
    return stems_of(_SLOT.sub(" ", phrasing))


def _words_of(acts: Iterable[Act], *kinds: str) -> frozenset[str]:
    return frozenset(word for act in acts if act.kind in kinds for text in act.phrasings for word in words(text))


def _stems_around_things(acts: Iterable[Act]) -> frozenset[str]:
    return frozenset(each for act in acts for phrasing in act.phrasings for each in _stems_around(phrasing))


def _best_first(scores: dict[str, float]) -> dict[str, float]:
    return dict(sorted(scores.items(), key=lambda item: -item[1]))
