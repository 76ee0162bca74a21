"""Checks whether an answer by a model or a remote engine may go to a guest without review. Pure.

An answer that does not pass is not lost: staff get it as a draft.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from activities.ai.language import language_of
from activities.ai.segments import sentences

ANSWER_LENGTH = 2_000
"""Maximum length of an answer. It leaves room beyond the longest article."""
MARKERS = ("[[gateway:", "[[/gateway:")
"""Enclose what only the model may read (prompt.py). In an answer they are a leak."""
_ECHO_WORDS = 8
"""How many consecutive words from the instructions count as a leak."""

Fault = Literal["empty", "too_long", "leak", "language", "unsupported_figure", "unsupported_promise"]

# Bounded, and matched only from the start of a run of digits, to stay fast on hostile texts with thousands of them.
_NUMBER = r"(?<!\d)\d++(?:[ .,]\d{3}){0,6}(?:[.,]\d{1,2})?"
_LABEL = r"[\w-]{1,63}"
_CURRENCY = r"€|\$|£|¥|eur(?:os?)?|usd|gbp|chf|dollars?|pounds?|euros?"
_HOURS = {"noon": "12:00", "midday": "12:00", "midnight": "00:00"}
_TIME = re.compile(
    r"\b(?P<hour>\d{1,2})(?:[:.h](?P<minute>[0-5]\d))?\s*(?P<half>[ap])\.?\s?m\b\.?"
    r"|\b(?P<hour24>[01]?\d|2[0-4])(?:[:.h]|h(?=\s))(?P<minute24>[0-5]\d)\b(?!\s*(?:€|eur|usd|%))"
    r"|\b(?P<uhr>\d{1,2})\s*(?:uhr|heures?|horas?|o'?clock|h)\b"
    r"|\b(?P<word>noon|midday|midnight)\b",
    re.IGNORECASE,
)
_BARE_HOURS = re.compile(
    r"\b(\d{1,2})(?:[:.](\d{2}))?\s*(?:to|until|till|and|-|–)\s*(?=\d{1,2}(?:[:.]\d{2})?\s*([ap])\.?m)", re.IGNORECASE
)
_PRICE = re.compile(rf"(?:{_CURRENCY})\s*({_NUMBER})|({_NUMBER})\s*(?:{_CURRENCY})(?![a-z])", re.IGNORECASE)
_PERCENT = re.compile(rf"({_NUMBER})\s*(?:%|percent|per cent|prozent|por ciento|por cento|pour cent)", re.IGNORECASE)
_LINK = re.compile(
    r"(?:https?://|www\.)\S+"
    rf"|\b{_LABEL}(?:\.{_LABEL}){{0,8}}\.(?:com|net|org|io|info|example|pt|es|de|fr|co|uk|eu)\b(?:/\S*)?",
    re.IGNORECASE,
)
_MAIL = re.compile(rf"[\w.+-]{{1,64}}@{_LABEL}(?:\.{_LABEL}){{1,8}}")
_PHONE = re.compile(r"\+?\d(?:[\s()./-]?\d){5,}")
_ROOM = re.compile(
    r"\b(?:room|zimmer|chambre|habitaci[oó]n|quarto|suite|camera)\s*(?:(?:no\.?|number|n[oº°]\.?)\s*)?(\d{1,4})\b",
    re.IGNORECASE,
)
_LISTED = re.compile(r"^\s*\d{1,2}[.)]\s", re.MULTILINE)
_BARE = re.compile(rf"(?<![\w.,]){_NUMBER}")
_UNIT = (
    r"\s*(?:€|%|°|eur|years?|jahre?|años|anos|ans|anni|people|persons?|gäste|guests?|days?|minutes?|min\b|m\b|k[gw])"
)
_SPAN = re.compile(
    r"(?<![\w.,:])(\d{1,2})(?:[:.h]\d{2})?\s*(?:[ap]\.?m\.?|uhr|h\b|heures)?"
    r"\s*(?:to|until|till|[-–—]|bis|hasta|até|jusqu['’]à|às|à|a|al)\s*(?:las\s|les\s)?"
    rf"(\d{{1,2}})(?![\d/-])(?:[:.h]\d{{2}})?(?!{_UNIT})",
    re.IGNORECASE,
)
"""A range such as `from 7 to 12`, which is taken as hours unless a unit says otherwise."""
_CLOCK = re.compile(
    r"\b(?:until|till|at|by|before|after|bis|um|ab|hasta las|até às|jusqu['’]à)\s+(\d{1,2})(?![\d:.,])", re.IGNORECASE
)
_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_TELLING_WORDS = re.compile(r"[a-z]+")
_ALL_DAY = re.compile(r"\b24\s?/\s?7\b")
_TELLING = re.compile(r"[^\W\d_][\w-]{3,}")
_DIGITS = re.compile(r"\d+")

_PROMISES = {
    name: re.compile(pattern, re.IGNORECASE)
    for name, pattern in {
        "guarantee": r"\b(?:guarant\w*|garanti\w*|garantiz\w*|promis\w*|promet\w*|versprech\w*)\b",
        "free": r"\b(?:free of charge|for free|complimentary|on the house|at no (?:extra )?(?:cost|charge)"
        r"|no (?:extra )?charge|(?:is|are|it's|be|completely|entirely|totally|now) free|gratis|gr[aá]tis|gratuit\w*"
        r"|kostenlos\w*|kostenfrei\w*|umsonst|free (?:night|upgrade|stay|breakfast|dinner|spa|massage|parking|room"
        r"|drinks?|champagne|access|entry|transfer|wi-?fi))\b",
        "refund": r"\b(?:refund\w*|reimburs\w*|rembours\w*|reembols\w*|erstatt\w*)\b",
        "compensation": r"\b(?:compensat\w*|voucher\w*|goodwill|credited)\b",
        "discount": r"\b(?:discount\w*|rabatt\w*|descuento\w*|desconto\w*|r[eé]duction\w*|half price)\b",
        "upgrade": r"\bupgrad\w*\b",
        "waiver": r"\b(?:waive\w*|exempt\w*)\b",
        "done": r"\b(?:i|we)(?: have|['’]ve)?(?: just| now| already)? (?:booked|reserved|cancell?ed|confirmed|changed"
        r"|charged|approved|arranged|extended|scheduled|ordered|paid|unlocked|removed)\b"
        r"|\b(?:has|have|is|are)(?: now| already| been)+ (?:booked|reserved|cancell?ed|confirmed|approved|arranged"
        r"|extended|scheduled|paid|unlocked)\b"
        r"|(?:\b(?:is|are)|['’]s|['’]re)(?: all| hereby)? (?:confirmed|approved|granted|taken care of|all set)\b"
        r"|\byour (?:[\w-]{1,30} ){1,4}(?:is|are) (?:booked|reserved|arranged|cancell?ed|extended|scheduled)\b"
        r"|\b(?:it is|it['’]s|consider it) (?:done|booked|reserved|arranged)\b"
        r"|\b(?:ist|sind|wurden?)(?: [\w:]{1,30}){0,5} (?:bestätigt|gebucht|reserviert|storniert|genehmigt)\b"
        r"|\b(?:est[áã]o?|están|foi|foram|fue|ha sido|queda)(?: ya| já)?"
        r" (?:(?:confirm|reserv|cancel)ad[oa]s?|apro[bv]ad[oa]s?)\b"
        r"|\b(?:est|sont|a été|ont été)(?: bien| déjà)? (?:confirmée?s?|réservée?s?|annulée?s?|accordée?s?)\b"
        r"|\b(?:è|sono)(?: stat[oaie]| già)? (?:confermat|prenotat|annullat)[oaie]\b",
        "secret": r"\b(?:passcode|access code|door code|master (?:key|code)|api key|pin code|code is"
        r"|password is(?! needed| required| not\b))\b",
    }.items()
}
"""Words that commit the hotel, claim that something is done, or reveal a secret; allowed if the hotel's texts do so."""


_CONDITION = re.compile(
    r"\b(?:once|if|when|until|unless|whether|as soon as|sobald|wenn|falls|bis|cuando|si|quando|se|une fois)\b[^,;:]*$",
    re.IGNORECASE,
)
_CONDITION_BEHIND = re.compile(r"\s(?:only )?(?:once|if|when|as soon as|sobald|wenn|falls)\b", re.IGNORECASE)
"""Before or after a commitment, they make it conditional: `as soon as it is confirmed`."""


@dataclass(frozen=True)
class Grounds:
    """What an answer may be based on: the hotel's own texts and the guest's own data."""

    sources: tuple[str, ...] = ()
    profile: tuple[str, ...] = ()
    instructions: str = ""
    """The model's instructions, which an answer must not repeat."""


def fault_of(answer: str, question: str, grounds: Grounds) -> Fault | None:
    """The first fault found in an answer to a guest's question, or None."""
    text = answer.strip()
    if not text:
        return "empty"
    if len(text) > ANSWER_LENGTH:
        return "too_long"
    if any(marker in text for marker in MARKERS) or _echoes(text, grounds.instructions):
        return "leak"
    allowed = "\n".join((*grounds.sources, *grounds.profile))
    found, rest = _figures_and_rest(text)
    if not found <= figures(allowed) or _counts_beyond(rest, allowed, question):
        return "unsupported_figure"
    if any(not _is_said(promise, grounds.sources) for promise in _promises(text)):
        return "unsupported_promise"
    if _other_language(text, question):
        return "language"
    return None


def figures(text: str) -> frozenset[str]:
    """Prices, hours, percentages, phone numbers, rooms and addresses in a text, normalised."""
    return _figures_and_rest(text)[0]


def _figures_and_rest(text: str) -> tuple[frozenset[str], str]:
    """The figures of a text, and the rest of the text."""
    found: set[str] = set()
    rest = text
    for pattern, spelled in (
        (_MAIL, lambda hit: hit[0].lower()),
        (_LINK, lambda hit: hit[0].lower().rstrip("/.,;)!?").removeprefix("https://").removeprefix("http://")),
        (_PRICE, lambda hit: f"price {_amount(hit[1] or hit[2])}"),
        (_PERCENT, lambda hit: f"percent {_amount(hit[1])}"),
        (_ROOM, lambda hit: f"room {hit[1]}"),
    ):
        found |= {spelled(hit) for hit in pattern.finditer(rest)}
        rest = pattern.sub(" ; ", rest)
    found |= set(_hours(rest))
    rest = _TIME.sub(" ; ", rest)
    found |= {f"number {''.join(_DIGITS.findall(hit[0]))}" for hit in _PHONE.finditer(rest)}
    return frozenset(found), _PHONE.sub(" ; ", rest)


def _counts_beyond(rest: str, allowed: str, question: str) -> bool:
    """Whether a bare number is in no source, or a range has ends that are not hours there: 12 may be an age."""
    hours = {int(each[3:5]) % 12 for each in figures(allowed) if each.startswith("at ")}
    stated = _numbers(allowed)
    rest = _ALL_DAY.sub("24", _LISTED.sub("", rest))
    strange = ({_amount(each) for each in _BARE.findall(rest)} - stated - _numbers(question)) | (
        {_amount(each) for each in _CLOCK.findall(rest)} - stated
    )
    if any(not each.isdigit() or int(each) > 24 or int(each) % 12 not in hours for each in strange):
        return True
    return any(not hours.issuperset(span) for span in _spans(rest) - _spans(allowed))


def _numbers(text: str) -> set[str]:
    """All numbers of a text, including those spelled out in words."""
    spoken = set(_TELLING_WORDS.findall(text.lower()))
    in_words = {f"{number}" for number, word in enumerate(_WORDS, start=1) if word in spoken}
    return {_amount(each) for each in _BARE.findall(text)} | in_words


def _spans(text: str) -> set[tuple[int, int]]:
    return {(int(hit[1]) % 12, int(hit[2]) % 12) for hit in _SPAN.finditer(text)}


def _amount(number: str) -> str:
    """Normalises a number: 1,200.00 and 1.200 to 1200, and 12,50 to 12.5."""
    whole, _, cents = re.sub(r"[ ]", "", number).replace(",", ".").rpartition(".")
    if not whole or len(cents) == 3:
        return (whole + cents).replace(".", "").lstrip("0") or "0"
    return f"{whole.replace('.', '')}.{cents}".rstrip("0").rstrip(".")


def _hours(text: str) -> Iterator[str]:
    """Yields all hours of a text. `7 to 10:30 am` has two, both in the morning."""
    for hit in _BARE_HOURS.finditer(text):
        yield _hour(int(hit[1]), hit[2], hit[3])
    for hit in _TIME.finditer(text):
        if hit["word"]:
            yield f"at {_HOURS[hit['word'].lower()]}"
        elif hit["hour"]:
            yield _hour(int(hit["hour"]), hit["minute"], hit["half"])
        else:
            yield _hour(int(hit["hour24"] or hit["uhr"]), hit["minute24"], None)


def _hour(hour: int, minute: str | None, half: str | None) -> str:
    if half and half.lower() == "p" and hour < 12:
        hour += 12
    if half and half.lower() == "a" and hour == 12:
        hour = 0
    return f"at {hour % 24:02}:{minute or '00'}"


@dataclass(frozen=True)
class _Promise:
    """A commitment of the hotel: its kind, and the other significant words of the sentence."""

    kind: str
    about: frozenset[str]


def _promises(text: str) -> Iterator[_Promise]:
    for sentence in sentences(text):
        for kind, pattern in _PROMISES.items():
            if any(not _is_conditional(sentence, hit) for hit in pattern.finditer(sentence)):
                yield _Promise(kind, frozenset(_TELLING.findall(pattern.sub(" ", sentence.lower()))))


def _is_conditional(sentence: str, hit: re.Match[str]) -> bool:
    return bool(_CONDITION.search(sentence[: hit.start()]) or _CONDITION_BEHIND.match(sentence[hit.end() :]))


def _is_said(promise: _Promise, sources: tuple[str, ...]) -> bool:
    """Whether the hotel's texts promise the same of the same thing: if the sauna is free, the massage is not."""
    own = (each for source in sources for each in _promises(source))
    return any(each.kind == promise.kind and each.about & promise.about for each in own)


def _echoes(text: str, instructions: str) -> bool:
    known = " ".join(instructions.lower().split())
    words = text.lower().split()
    return bool(known) and any(
        " ".join(words[start : start + _ECHO_WORDS]) in known for start in range(len(words) - _ECHO_WORDS + 1)
    )


def _other_language(answer: str, question: str) -> bool:
    asked, answered = language_of(question), language_of(answer)
    return asked is not None and answered is not None and asked != answered
