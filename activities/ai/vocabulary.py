"""The words that a reader has learned, and the correction of mistyped ones."""

from collections import Counter
from collections.abc import Iterable
from functools import cache, lru_cache

from rapidfuzz import process
from rapidfuzz.distance import OSA
from spellchecker import SpellChecker

from activities.ai.text import stem, words

_SHORTEST_MISTAKE, _SHORTEST_MEANT, _TWO_MISTAKES_FROM = 4, 3, 6
"""Minimum lengths of a word that may be mistyped, of the word that was meant, and of one with two mistakes."""
_CANDIDATES = 8
_CORRECTIONS_KEPT = 10_000
_COMMON, _EVERYDAY = 500, 30_000
"""The counts in the spell checker's word list from which a word surely exists, and from which it is no topic."""
_SHORTEST_TOPIC = 3
_NEARLY_ALL = 0.85


class Vocabulary:
    def __init__(self, texts: Iterable[str], foreign: Iterable[str] = ()) -> None:
        """`foreign` are texts in other languages, whose words are not mistakes: `hola` is not `hold`."""
        self._counts = Counter(word for text in texts for word in words(text))
        self._learned = list(self._counts)
        self._english = _common_english()
        self._everyday = _english_from(_EVERYDAY)
        self._foreign = frozenset(word for text in foreign for word in words(text))
        self._stems = frozenset(map(stem, self._counts))
        self._corrected = lru_cache(maxsize=_CORRECTIONS_KEPT)(self._meant)

    def __getstate__(self) -> dict[str, object]:
        """Pickles what was learned, without the cache of this process."""
        return {name: value for name, value in self.__dict__.items() if name != "_corrected"}

    def __setstate__(self, learned: dict[str, object]) -> None:
        self.__dict__.update(learned)
        self._corrected = lru_cache(maxsize=_CORRECTIONS_KEPT)(self._meant)

    def corrected(self, text: str) -> list[str]:
        """The words of a text, with mistyped words replaced by the learned ones."""
        return [self._corrected(word) for word in words(text)]

    def has_learned(self, word: str) -> bool:
        return word in self._counts

    def is_unheard_of(self, word: str) -> bool:
        """Whether it may name a topic that none of our texts mention, as in `is the pool haunted`."""
        if word.isupper() or len(word) < _SHORTEST_TOPIC or word in self._foreign:
            return False
        return stem(word) not in self._stems and word not in self._everyday

    def english_share(self, corrected: list[str]) -> float:
        """The share of words that are English, learned or not, from 0 to 1."""
        return sum(word in self._counts or word in self._english for word in corrected) / (len(corrected) or 1)

    def _meant(self, word: str) -> str:
        """The word that was meant. Its first letter must match, because otherwise it is mostly another word."""
        known = word in self._counts or word in self._english or word in self._foreign
        if known or word.isupper() or len(word) < _SHORTEST_MISTAKE:
            return word
        most = 1 if len(word) < _TWO_MISTAKES_FROM else 2
        near = process.extract(word, self._learned, scorer=OSA.distance, score_cutoff=most, limit=_CANDIDATES)
        meant = [
            (distance, -self._counts[learned], learned)
            for learned, distance, _ in near
            if learned[0] == word[0] and len(learned) >= _SHORTEST_MEANT
        ]
        return min(meant)[2] if meant else word


def is_mostly_english(text: str) -> bool:
    """Whether nearly all words, with slang spelled out, are English. Other languages share only some."""
    said = [word for word in words(text) if not word.isupper()]
    return sum(word in _common_english() for word in said) >= _NEARLY_ALL * max(len(said), 1)


@cache
def _common_english() -> frozenset[str]:
    """English words, which are never corrected."""
    return _english_from(_COMMON)


def _english_from(least: int) -> frozenset[str]:
    frequencies = SpellChecker(language="en").word_frequency.dictionary
    return frozenset(word for word, count in frequencies.items() if count >= least)
