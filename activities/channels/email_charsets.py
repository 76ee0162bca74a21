"""Decodes the text of mails by the charset that they name, as mail programs mean it, or else by a guessed one."""

import re
from contextlib import suppress
from email.errors import MessageError
from email.header import decode_header, make_header
from typing import Final

from charset_normalizer import from_bytes

HEADER_LIMIT: Final = 10_000
"""How many characters of a header are read."""
BROKEN: Final = (MessageError, ValueError, LookupError, TypeError, AttributeError, AssertionError)
"""What the standard library raises for malformed headers and parts."""
_SAMPLE: Final = 100_000
_NO_CHARSETS: Final = {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined"}
"""Python codecs that are not mail charsets."""
_MEANT: Final = {
    **dict.fromkeys(("us-ascii", "ascii", "iso-8859-1", "latin-1", "latin1"), "cp1252"),
    **dict.fromkeys(("iso-8859-8", "iso-8859-8-i", "iso-8859-8-e"), "cp1255"),
    **dict.fromkeys(("iso-8859-11", "tis-620"), "cp874"),
    **dict.fromkeys(("gb2312", "gb-2312-80", "gbk", "cp936"), "gb18030"),
    **dict.fromkeys(("euc-kr", "ks-c-5601-1987", "ks-c-5601-1989", "ksc5601"), "cp949"),
    **dict.fromkeys(("shift-jis", "shift-j-is", "sjis", "cp943", "ms-kanji"), "cp932"),
    "big5": "big5hkscs",
    "iso-8859-6-i": "iso-8859-6",
    "iso-8859-9": "cp1254",
}
"""Windows' larger charsets are often sent under the names of those that they extend."""
_OF_WINDOWS: Final = re.compile(r"(?:windows|win|cp|ibm)-?(\d{2,5}j?)", re.ASCII)
_ESCAPED: Final = re.compile(r"iso-2022-|hz|utf-7")
"""Charsets that are ASCII to the eye: read as another one, their text would be gibberish."""
_NOT_TEXT: Final = dict.fromkeys([0, *range(0xD800, 0xE000)])
_IN_A_ROW: Final = re.compile(rb"[\x80-\xff]{3}")


def decoded(content: bytes, charset: str | None) -> str:
    """Text decoded by its declared charset or, if that fails, by a guessed one."""
    named = _codec(charset)
    for attempt in (named, "utf-8"):
        try:
            if attempt.replace("-", "_") not in _NO_CHARSETS:
                return content.decode(attempt, "replace" if _ESCAPED.match(attempt) else "strict").translate(_NOT_TEXT)
        except (LookupError, ValueError):
            continue
    return _guessed(content).translate(_NOT_TEXT)


def decoded_header(value: str) -> str:
    """A header's text on one line, with its encoded words and its bytes outside ASCII decoded."""
    value = _as_text(value[:HEADER_LIMIT])
    with suppress(*BROKEN):  # better undecoded than lost
        value = str(make_header([_word(word, charset) for word, charset in decode_header(value)]))
    return " ".join(value.translate(_NOT_TEXT).split())


def _word(word: bytes | str, charset: str | None) -> tuple[str, str | None]:
    if isinstance(word, str):
        return word, charset
    if charset is None:
        return word.decode("ascii" if word.isascii() else "raw_unicode_escape"), "utf-8"
    return decoded(word, charset.partition("*")[0]), "utf-8"  # after the * stands a language (RFC 2231)


def _as_text(value: str) -> str:
    """A header with its bytes outside ASCII decoded, which the standard library keeps as surrogates."""
    try:
        return decoded(value.encode("ascii", "surrogateescape"), None)
    except UnicodeEncodeError:
        return value  # it is text already


def _codec(charset: str | None) -> str:
    """Python's name of the codec that a charset's name means."""
    named = (charset or "utf-8").strip("\"' ").lower().replace("_", "-").removeprefix("x-")
    if windows := _OF_WINDOWS.fullmatch(named):
        named = {"31j": "cp932"}.get(windows[1], f"cp{windows[1]}")
    return _MEANT.get(named, named)


def _guessed(content: bytes) -> str:
    """Text of an unknown charset: damaged UTF-8, or a western one, where accents stand alone, or what fits best."""
    as_utf8 = content.decode("utf-8", "replace")
    damages = as_utf8.count("\ufffd")
    if sum(not each.isascii() for each in as_utf8) > 2 * damages:
        return as_utf8
    if _IN_A_ROW.search(content) is None:
        return content.decode("cp1252", "replace")
    best = from_bytes(content[:_SAMPLE]).best()
    return content.decode(best.encoding if best else "cp1252", "replace")
