"""Splits search queries into words in the same way as the SQL function `gateway_words` splits messages and names.

Left alone, PostgreSQL takes `pool/spa` for a file name, `room-204` for a room and a negative number, and a whole
Chinese, Japanese or Thai sentence for a single word.
"""

import re
import unicodedata
from collections.abc import Iterator
from typing import Final

# The same as in migration 0016; a test compares them.
_UNSEEN: Final = re.compile("[\u0300-\u036f\u00ad\u200b-\u200d\u2060\ufe00-\ufe0f]")
"""Accents, and characters that are invisible within a word."""
_BETWEEN: Final = re.compile(
    r"[!-/:-@\[-`{-~\u00a1-\u00bf\u00d7\u00f7\u2000-\u2bff\u3001-\u3004\u3008-\u3020\u3030\u30fb\U0001f000-\U0001faff]+"
)
_UNDIVIDED: Final = re.compile(
    r"([\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3041-\u30ff\u3105-\u312f\u31f0-\u31ff\u3400-\u4dbf"
    r"\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af][\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u3099\u309a]*"
    r"|[\u1100-\u1112][\u1161-\u1175][\u11a8-\u11c2]?)"
)
"""One character, with its marks, of a script without spaces between words, or one Korean syllable."""
_TERM: Final = re.compile(r'(?P<without>-?)(?:"(?P<phrase>[^"]*)"?|(?P<word>[^\s"]+))')
_OR: Final = "or"


def said(query: str) -> str:
    """The query for `websearch_to_tsquery`: words, `"a phrase"`, `-without`, `or`. Parts of a word become a phrase."""
    return " ".join(_terms(query))


def _terms(query: str) -> Iterator[str]:
    for term in _TERM.finditer(_seen(query)):
        if term[0].lower() == _OR:
            yield _OR
        elif parts := _parts(term["phrase"] or term["word"] or ""):
            yield f'{term["without"]}"{" ".join(parts)}"'


def begins(query: str) -> str:
    """The query for `to_tsquery`: each word must begin a word of the text or, in scripts without spaces, occur."""
    return " & ".join(_begins(word) for word in _BETWEEN.sub(" ", _seen(query)).split())


def _begins(word: str) -> str:
    parts = _parts(word)
    if len(parts) == 1:
        return f"'{word}':*"
    # Also as a whole, because the index of names has undivided words from before migration 0016.
    in_a_row = " <-> ".join(f"'{part}'" for part in parts)
    return f"({in_a_row}:* | '{word}':*)"


def _parts(text: str) -> list[str]:
    return _UNDIVIDED.sub(r" \1 ", _BETWEEN.sub(" ", text)).split()


def _seen(text: str) -> str:
    return _UNSEEN.sub("", unicodedata.normalize("NFKD", text))
