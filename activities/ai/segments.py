"""Parts of a message that may each ask for something."""

import re

_SENTENCE_END = re.compile(r"(?<!\b[ap]\.m)[.!?;…]++(?=\s|$)|\?|\n+|\s[-–—]+\s|\s[:;]-?[)(D](?=\s|$)")
# Without the blanks around, which parts are stripped of: looking for them takes a second in a message full of them.
_CLAUSE_END = re.compile(r",|\band\b|\bn\b|&|\+|\balso\b|\bplus\b|\bbut\b|:", re.IGNORECASE)


def sentences(text: str) -> list[str]:
    return _parts(_SENTENCE_END, text)


def clauses(sentence: str) -> list[str]:
    """What commas and words like `and` divide; often no questions of their own."""
    return _parts(_CLAUSE_END, sentence)


def _parts(divider: re.Pattern[str], text: str) -> list[str]:
    return [part.strip() for part in divider.split(text) if any(character.isalnum() for character in part)] or [text]
