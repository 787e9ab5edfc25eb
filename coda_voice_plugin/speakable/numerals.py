"""English words for numbers, the American way: "one hundred five", "nineteen ninety-nine"."""

from __future__ import annotations


def listed(text: str) -> tuple[str, ...]:
    """The words of ``text``."""
    return tuple(text.split())


_ONES = listed(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen "
    "fifteen sixteen seventeen eighteen nineteen"
)
_TENS = listed("- ten twenty thirty forty fifty sixty seventy eighty ninety")
_SCALES = ("", " thousand", " million", " billion", " trillion")
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
    "twelve": "twelfth",
}
MOST_DIGITS = 15
"""Longer whole numbers are said digit by digit."""
_UNROUND = 7
"""From this many digits a whole number without separators is a code, unless it is round."""


def cardinal(number: int) -> str:
    """Words for 0 <= ``number`` < 10**15."""
    if number < 100:
        if number < 20:
            return _ONES[number]
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (f"-{_ONES[ones]}" if ones else "")
    if number < 1000:
        hundreds, rest = divmod(number, 100)
        return f"{_ONES[hundreds]} hundred" + (f" {cardinal(rest)}" if rest else "")
    groups: list[str] = []
    for scale in _SCALES:
        number, group = divmod(number, 1000)
        if group:
            groups.append(cardinal(group) + scale)
    return " ".join(reversed(groups))


def ordinal(number: int) -> str:
    """The place in a row: "twenty-first"."""
    words = cardinal(number)
    cut = max(words.rfind(" "), words.rfind("-")) + 1
    last = words[cut:]
    if last in _ORDINALS:
        return words[:cut] + _ORDINALS[last]
    return words[:cut] + (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")


def year(number: int) -> str:
    """A year from 1000 to 9999: "nineteen oh five", "two thousand five", "twenty twenty-four"."""
    century, rest = divmod(number, 100)
    if century % 10 == 0 and rest < 10:
        return cardinal(number)
    if rest == 0:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {f'oh {_ONES[rest]}' if rest < 10 else cardinal(rest)}"


def decade(number: int) -> str:
    """The years that begin with ``number``: 1990 or 90 is "(nineteen) nineties"."""
    words = year(number) if number >= 1000 else cardinal(number)
    if words.endswith("y"):
        return f"{words[:-1]}ies"
    return f"{words}es" if words.endswith("x") else f"{words}s"


def digits(text: str) -> str:
    """Each digit of ``text`` by itself; other characters are left out."""
    return " ".join(_ONES[ord(sign) - 48] for sign in text if "0" <= sign <= "9")


def number(text: str) -> str:
    """An unsigned number as written: digits, "," between thousands, "." before decimals."""
    whole, point, decimals = text.partition(".")
    plain = whole.replace(",", "")
    code = len(plain) >= _UNROUND and "," not in whole and not plain.endswith("000")
    if len(plain) > MOST_DIGITS or (code and not point) or (len(plain) > 1 and plain[0] == "0"):
        words = digits(plain)
    else:
        words = cardinal(int(plain or "0"))
    return f"{words} point {digits(decimals)}" if decimals else words


def fraction(above: int, below: int) -> str:
    """ "one half", "three quarters", "ten out of ten", "seven over five"."""
    if above > below or below == 0:
        return f"{cardinal(above)} over {cardinal(below)}"
    if above == below or not (above == 1 or below < 10 or below in (12, 16, 20, 32, 64, 100, 1000)):
        return f"{cardinal(above)} out of {cardinal(below)}"
    if below == 2:
        return "one half"
    part = "quarter" if below == 4 else ordinal(below)
    return f"{cardinal(above)} {part}{'' if above == 1 else 's'}"
