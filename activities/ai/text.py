"""Normalises a guest's words: spells out slang, contractions and emoji, and reduces words to their stems."""

import re
import unicodedata
from functools import lru_cache
from pathlib import Path

import snowballstemmer
from pydantic import BaseModel

from activities.ai.yaml_text import parse_yaml

Stems = tuple[str, ...]
TIME, NUMBER = "TIME", "NUMBER"
"""Placeholders for any hour and any other number, in capitals because guests' words are lowercased."""


class _Spelling(BaseModel):
    slang: dict[str, str]
    contractions: dict[str, str]
    emoji: dict[str, str]


_SPELLING = _Spelling.model_validate(parse_yaml((Path(__file__).parent / "spelling.yaml").read_text("utf-8")))
_ONE_SPELLING = [
    (re.compile(pattern), f" {spelling} ")
    for pattern, spelling in (
        (r"\b24 ?/ ?7\b|\b24 ?-?(?:h|hrs?|hours?)\b", "allday"),
        (r"\ba ?/ ?c\b|\bac\b|\bair ?-?con(?:d|ditioner|ditioning|ditioned)?\b", "airconditioning"),
        (r"\bwi[ -]?fi\b", "wifi"),
        (r"\bcheck(?:ed|ing|s)?[ -]?in\b(?! (?:the|my|our) (?:room|bathroom|safe|bed|drawer|closet))", "checkin"),
        (r"\bcheck(?:ed|ing|s)?[ -]?out\b", "checkout"),
        (r"\bwak(?:e|ing)[ -]?up\b", "wakeup"),
        (r"\bmini[ -]?(?:bar|fridge)\b", "minibar"),
        (r"\b(?:key|room|door)[ -]?card\b", "keycard"),
        (r"\bpick(?:ed|ing)?[ -]?up\b", "pickup"),
        (r"\bdrop(?:ped|ping)?[ -]?off\b", "dropoff"),
        (r"\be-?mail\b", "email"),
        (r"\bt\.?v\b\.?", "tv"),
        (r"&|\+", "and"),
        (r"\bw/", "with"),
    )
]
_NOTE = re.compile(
    r"\[(?:Forwarded|In reply to an earlier message|Edited an earlier message|Opened the chat|A message without words"
    r"|(?:Photo|Audio|Video|Voice message|Document|Sticker|Subject|Came from an advert"
    r"|A message that WhatsApp does not pass on)(?:: [^\[\]\n]*)?)\]"
)
"""What channels add to a message, next to the guest's words or instead of them."""
_COURTESY = re.compile(
    r"\b(?:(?:could|can|would|will) (?:yo)?u (?:please |kindly |pls )?(?:tell|inform|let) (?:me|us)(?: know)?"
    r"|(?:i|we)(?:'d| would) like to (?:know|ask)|i (?:want|wanted) to (?:know|ask)|(?:i|we) (?:was|were) wondering"
    r"|do you know|(?:may|can) i ask)(?: please)?,? "
    r"(?:(?:if|whether) (?P<who>you|there|we|i|it) (?P<does>is|are|can|have)\b"
    r"|(?=(?:(?:at|from|until|till|by|on) )?(?:what|when|where|how)\b))",
    re.IGNORECASE,
)
"""A polite opening that does not change the question behind it: `could you please tell me at what time`."""
_APOSTROPHES = re.compile(r"[’‘`´]")
_DRAWN_OUT = re.compile(r"([a-z])\1{2,}")
_TIME = r"\d{1,2}(?:[:.]\d\d)? ?[ap]\.?m\b|\d{1,2}[:.]\d\d|\d{1,2} ?o'?clock"
_TOKEN = re.compile(rf"{_TIME}|[a-z0-9]+(?:'[a-z]+)*")
_IS_TIME = re.compile(_TIME)
_KEPT = 16_384
_stemmer = snowballstemmer.stemmer("english")


def own_words(text: str) -> str:
    """The guest's words, without what a channel adds."""
    return _NOTE.sub("", text).strip() if "[" in text else text


def without_courtesies(text: str) -> str:
    """Turns `Could you please tell me if there is a pool?` into `is there a pool?`."""
    return _COURTESY.sub(_turned, _APOSTROPHES.sub("'", text))


def _turned(courtesy: re.Match[str]) -> str:
    who, does = courtesy["who"], courtesy["does"]
    if who is None:
        return ""
    return f"do {who} have" if does.lower() == "have" else f"{does} {who}"


def plain(text: str) -> str:
    """Lowercases, strips accents and turns known emoji into words."""
    if text.isascii():
        return text.lower().replace("`", "'")
    text = "".join(f" {_SPELLING.emoji.get(c, '')} " if c in _SPELLING.emoji else c for c in text)
    text = _APOSTROPHES.sub("'", unicodedata.normalize("NFKC", text)).lower()
    return "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))


@lru_cache(maxsize=_KEPT)
def words(text: str) -> tuple[str, ...]:
    """The words of a text in a uniform spelling; hours and other numbers become `TIME` and `NUMBER`.

    Cached, because learning processes each text several times.
    """
    text = _DRAWN_OUT.sub(r"\1\1", plain(text))
    for pattern, spelling in _ONE_SPELLING:
        text = pattern.sub(spelling, text)
    return tuple(word for token in _TOKEN.findall(text) for word in _spelled(token))


def _spelled(token: str) -> list[str]:
    if _IS_TIME.fullmatch(token):
        return [TIME]
    bare = token.replace("'", "")
    if bare in _SPELLING.contractions:
        return _SPELLING.contractions[bare].split()
    token = token.removesuffix("'s")
    if token in _SPELLING.slang:
        return _SPELLING.slang[token].split()
    return [NUMBER] if token[0].isdigit() else token.split("'")


@lru_cache(maxsize=_KEPT)
def stem(word: str) -> str:
    return word if word.isupper() else str(_stemmer.stemWord(word))


def stems_of(text: str) -> Stems:
    return tuple(map(stem, words(text)))
