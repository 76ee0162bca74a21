"""How many segments an SMS is billed as: GSM-7 if its alphabet suffices, otherwise UCS-2."""

from typing import Final

import gsm0338

_GSM: Final = gsm0338.Codec()
_GSM_ONE, _GSM_MANY = 160, 153
_UCS_ONE, _UCS_MANY = 70, 67


def segments(text: str) -> int:
    """The number of segments. Each of several has a header and so holds less. Two-unit characters are never split."""
    units = _gsm_units(text)
    if units is not None:
        return _count(units, _GSM_ONE, _GSM_MANY)
    return _count([len(character.encode("utf-16-be", "surrogatepass")) // 2 for character in text], _UCS_ONE, _UCS_MANY)


def _gsm_units(text: str) -> list[int] | None:
    """The septets of each character; None if one is not in the alphabet."""
    try:
        return [len(_GSM.encode(character)[0]) for character in text]
    except UnicodeError:
        return None


def _count(units: list[int], one: int, many: int) -> int:
    if sum(units) <= one:
        return 1
    count, filled = 1, 0
    for unit in units:
        if filled + unit > many:
            count, filled = count + 1, 0
        filled += unit
    return count
