"""Recognises ratings as guests write them: a number from 1 to 5, and nothing else that needs an answer. Pure.

A message that says more ("5 towels", "4, but the room was cold") is not a rating: somebody should read it. The
languages are those of the demo hotel's guests.
"""

import re
import unicodedata

LEAST, MOST = 1, 5
_LONGEST = 60
"""In characters. A longer message says more than a number."""

_STARS = re.compile(r"(?P<full>[⭐★🌟]{1,5})(?P<empty>[☆✩]{0,4})")
# Symbols that add nothing to a number: faces, hearts, hands, stars. Beds and beers do.
_FLOURISH = re.compile(
    "[\U0001f600-\U0001f64f\U0001f910-\U0001f917\U0001f920-\U0001f929\U0001f970-\U0001f97a\U0001f495-\U0001f49f"
    "\U0001f3fb-\U0001f3ff❤♥☺☹✨⭐★🌟👍👎👌👏🧡🖤🎉]"
)
_NUMBERS: dict[int, str] = {
    1: "one|eins|uno|um|un|uma|una|une|ein|eine|einen",
    2: "two|zwei|deux|dos|dois|duas|due",
    3: "three|drei|trois|tres|tre",
    4: "four|vier|quatre|cuatro|quatro|quattro",
    5: "five|funf|fuenf|cinq|cinco|cinque",
}
_WORDS = {word: number for number, words in _NUMBERS.items() for word in words.split("|")}
_ARTICLES = frozenset({"um", "un", "uma", "una", "une", "ein", "eine", "einen"})
"""Count as numbers only beside a noun, since "um" alone may be a pause."""
_RATING = re.compile(
    rf"""
    ((my\ |meine?\ |ma\ |mi\ |la\ mia\ |a\ minha\ )?
        (rating|score|vote|bewertung|wertung|note|nota|calificacion|puntuacion|avaliacao|voto)
        (\ is|\ ist|\ est|\ es|\ e)?\ ?:?\ )?
    (?P<number>[1-5]|{"|".join(_WORDS)})
    (?P<counted>
        \ ?(/|\b(out\ of|of|von|auf|sur|sobre|de|em|su|di|over)\b)\ ?(5|{_NUMBERS[5]})\b
        (\ (stars?|sterne?n?|etoiles?|estrelas?|estrellas?|stell[ae]))?
        | \ ?(stars?|sterne?|etoiles?|estrelas?|estrellas?|stell[ae]|points?|punkte?|pontos?|puntos?|punti|punto)
    )?
    ([\ ,;.!:–-]+(many\ )?(thanks?|thank\ you|thx|danke|vielen\ dank|merci|gracias|obrigad[oa]|grazie)
        (\ (so\ much|very\ much|schon|beaucoup|muchas|mille))?)?
    """,
    re.VERBOSE,
)


def rating_of(text: str) -> int | None:
    """The rating that a text consists of; None for any other text."""
    if len(text) > _LONGEST:
        return None
    plain = _plain(text)
    stars = _STARS.fullmatch(plain.replace(" ", ""))
    if stars is not None:
        count = len(stars["full"])
        return count if not stars["empty"] or len(plain.replace(" ", "")) == MOST else None
    words = " ".join(_FLOURISH.sub(" ", plain).split()).strip(" .!,;:)(\"'*#~")
    found = _RATING.fullmatch(words)
    if found is None or (found["number"] in _ARTICLES and found["counted"] is None):
        return None
    return _WORDS[found["number"]] if found["number"] in _WORDS else int(found["number"])


def _plain(text: str) -> str:
    """Lower case without accents, and digits of every script and keycap emoji as 0 to 9."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    kept = (each for each in parts if unicodedata.category(each) not in ("Mn", "Me", "Cf"))
    return " ".join("".join(str(unicodedata.decimal(each, each)) for each in kept).split())
