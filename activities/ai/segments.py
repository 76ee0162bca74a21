"""Splits a message into parts that may each ask for something, and finds its signature."""

import re

_SENTENCE_END = re.compile(r"(?<!\b[ap]\.m)[.!?;…]++(?=\s|$)|\?|\n+|\s[-–—]+\s|\s[:;]-?[)(D](?=\s|$)")
# Without the surrounding spaces, which are stripped later: matching them takes a second in a message full of spaces.
_CLAUSE_END = re.compile(r",|\band\b|\bn\b|&|\+|\balso\b|\bplus\b|\bbut\b|:", re.IGNORECASE)
_NAMED = (
    r"(?!(?:(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day|Please|Help|Need|Call|Send|Yes|No|Not|And|But|Also|What|When|Where"
    r"|How|Is|Can)\b)[A-ZÀ-ÖØ-Þ](?:[a-zß-ÿ'’][\w'’-]{0,30}|\.)"
)
_SIGNED = re.compile(
    r"(?:\b(?i:regards|wishes|greetings|sincerely|faithfully|thanks|thank you|thx|cheers)[\s,.!]"
    r"|\b(?i:best|love|yours)[\n,])"
    rf"[\s,.!]{{0,5}}(?P<name>{_NAMED}(?:[ \n](?:de|da|do|dos|von|van|der|la|le|{_NAMED})){{0,4}})[\s.!]{{0,5}}$"
)
"""How mails end. Only the end of a message is searched, because messages may be long."""
_TITLE = re.compile(r"(?:Mr|Mrs|Ms|Miss|Dr)\b")
_BELOW = re.compile(
    r"\w[^\n]{0,200}(?:\n\s{0,5}|[.!?]\s{1,5})(?:[-–—~]\s?)?"
    rf"(?P<name>(?:{_TITLE.pattern}\.? )?{_NAMED}(?: (?:de|da|do|dos|von|van|der|la|le|{_NAMED})){{0,2}})[\s.!]{{0,5}}$"
)
"""A name at the end of a message without a closing formula."""
_LONGEST_SIGNATURE = 200


def name_signed(text: str) -> str:
    """The name that signs a message, as in `Kind regards, Anna Becker`; empty if there is none."""
    found = _SIGNED.search(text[-_LONGEST_SIGNATURE:])
    return found["name"] if found else ""


def name_below(text: str) -> str:
    """What may be a name, alone on the last line or after the last sentence; empty if nothing looks like one."""
    found = _BELOW.search(text[-2 * _LONGEST_SIGNATURE :])
    return found["name"] if found else ""


def has_title(name: str) -> bool:
    return _TITLE.match(name) is not None


def sentences(text: str) -> list[str]:
    return _parts(_SENTENCE_END, text)


def clauses(sentence: str) -> list[str]:
    """Splits a sentence at commas and words like `and`. The parts are often not questions of their own."""
    return _parts(_CLAUSE_END, sentence)


def _parts(divider: re.Pattern[str], text: str) -> list[str]:
    return [part.strip() for part in divider.split(text) if any(character.isalnum() for character in part)] or [text]
