"""What an English voice says for each written word, with a look at its neighbours.

Words of letters pass untouched. Acronyms do too: voices spell PDF and say NASA by
themselves; only those known to come out wrong are respelled.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from . import quantities as q
from .addresses import address, path
from .numerals import cardinal, digits, fraction, listed, number, ordinal, year

_LONG = 80
"""Characters from which a word is only taken apart, not understood."""
_OPENING = "\"'“‘«([{¿¡"
_CLOSING = ".,;:!?…\"'”’»)]}"
_ODD = re.compile(
    r"[0-9_*/\\@#$%&+=<>^|{}~€£¥₹¢°º№℃℉±×÷·≈≠≤≥→←↔⇒√∞⁰¹²³⁴⁵⁶⁷⁸⁹½¼¾⅓⅔⅛§µπ−]|\w[.:]\w|\.{2,}\w|^\.\w"
)
_INITIALS = re.compile(r"(?:[^\W\d_]\.){2,}")
_SAID = {
    "&": "and", "@": "at", "+": "plus", "=": "equals", "==": "equals", "===": "equals",
    "!=": "is not", "≠": "is not", "<": "is less than", ">": "is more than", "≤": "is at most",
    "<=": "is at most", "≥": "is at least", ">=": "is at least", "~": "about", "≈": "about",
    "×": "times", "*": "times",
    "**": "to the power of", "÷": "divided by", "→": "to", "->": "to", "⇒": "gives",
    "=>": "gives", "±": "plus or minus", "°": "degrees", "√": "square root of", "∞": "infinity",
    "π": "pi", "§": "section", "№": "number", "%": "percent", "$": "dollar", "€": "euro",
    "£": "pound", "¥": "yen", "+=": "plus equals", "&&": "and", "||": "or",
    "C++": "C plus plus", "c++": "C plus plus", "C#": "C sharp", "F#": "F sharp",
    "AT&T": "AT and T", "w/": "with", "w/o": "without", "b/c": "because", "n/a": "not applicable",
    "N/A": "not applicable", "c/o": "care of", "JSON": "jason", "YAML": "yammel",
    "km/h": "kilometers per hour", "m/s": "meters per second",
    "+/-": "plus or minus", "I/O": "I O", "TCP/IP": "TCP IP", "CI/CD": "CI CD",
}  # fmt: skip
_SHORT = {
    "e.g": "for example", "eg": "for example", "i.e": "that is", "etc": "et cetera",
    "vs": "versus", "approx": "approximately", "prof": "Professor", "gen": "General",
    "jr": "Junior", "sr": "Senior", "ave": "Avenue", "blvd": "Boulevard", "dept": "department",
    "est": "established", "cf": "compare", "resp": "respectively", "incl": "including",
    "a.m": "AM", "p.m": "PM", "viz": "namely", "ph.d": "PhD", "ca": "circa", "al": "al",
    "jan": "January", "feb": "February", "mar": "March", "apr": "April", "jun": "June",
    "jul": "July", "aug": "August", "sep": "September", "sept": "September", "oct": "October",
    "nov": "November", "dec": "December",
}  # fmt: skip
"""Said instead of the abbreviation with its dot."""
_COUNTED = {"no": "number", "nos": "numbers", "fig": "figure", "figs": "figures", "p": "page",
            "pp": "pages", "vol": "volume", "ch": "chapter", "sec": "section", "eq": "equation",
            "min": "minutes", "max": "maximum", "art": "article", "c": "circa"}  # fmt: skip
"""Said only before a number."""
_CAPITAL = frozenset(("gen", "jan", "mar", "jun", "dec", "sr", "jr", "prof", "ave"))
"""Abbreviations only when they begin with a capital."""
_MONTHS = frozenset(q.MONTHS) | {"Jan", "Feb", "Mar", "Apr", "Jun", "Jul", "Aug", "Sep", "Sept",
                                 "Oct", "Nov", "Dec"}  # fmt: skip
_BEFORE_YEAR = frozenset(
    listed(
        "in since from by of until till year around circa before after to and between early "
        "late mid summer winter spring autumn fall during through copyright"
    )
)
_PARTS = frozenset(
    listed(
        "War Part Chapter Act Volume Phase Type Section Book Class Level Bowl Scene Title Article "
        "Mark Appendix Stage Episode Rocky"
    )
)
_RULERS = frozenset(
    listed(
        "Henry Louis Elizabeth George Charles James William Edward Richard Philip Pius Benedict "
        "Paul Nicholas Alexander Catherine Frederick Wilhelm Francis Leo Ramses Napoleon Gregory"
    )
)
_ROMAN = re.compile(r"(?=[IVX]{1,6}$)X{0,2}(?:IX|IV|V?I{0,3})")
_VERSIONED = frozenset(
    listed("Python version Version Java Node PHP Ruby Ubuntu Debian Fedora release")
)
_SIGNS = frozenset("+-=*/−×")
_UNHEARD = str.maketrans("", "", "[]{}")
_PER = frozenset(listed("second minute hour day week month year person capita head"))
_ASSIGNED = re.compile(r"([^=<>!+]{1,60})=([^=<>]{1,60})")
_LONE = frozenset("-–—−/")
_TERM = re.compile(r"[0-9]{1,9}[a-z]")
_AND_PART = re.compile(r"([1-9])/([2-9]|1[06])")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹]{1,9}")
_HIGH = "⁰¹²³⁴⁵⁶⁷⁸⁹"
_RAISED_DIGITS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹", "0123456789")
_LOOSE_STOP = re.compile(" ([.,;:!?])")
_POWER = re.compile(r"(?<=\w)(?:\^|\*\*)([0-9]{1,3}|[a-z])(?![^\W_])")
_SCAN = re.compile(
    r"[0-9]{1,3}(?:,[0-9]{3})+(?![0-9])|[0-9]+(?:\.[0-9]+)?|[-+=<>!&|]{2}|\.{2,}|[^\W\d_]+|\s+|."
)
_LOOSE = {**{sign: _SAID[sign] for sign in "&@+=<>%×*÷→≈≠≤≥±°√∞π~$€£¥§"},
          "=>": "gives", "->": "to", "==": "equals", "!=": "is not", "<=": "is at most",
          ">=": "is at least", "&&": "and", "||": "or", "++": "plus plus", "#": "hash"}  # fmt: skip
_DIGITS = re.compile("[0-9]")


def say_english(words: Sequence[str], starts: frozenset[int] = frozenset()) -> list[str]:
    """What is said for each of ``words``; "" where nothing is. ``starts`` begin a line."""
    cores = [word.strip(_OPENING + _CLOSING) for word in words]
    equation = "=" in words
    said: list[str] = []
    for index, word in enumerate(words):
        before = cores[index - 1] if index else ""
        after = cores[index + 1] if index + 1 < len(cores) else ""
        marker = index in starts and bool(after)
        said.append(_say(word, before, after, marker=marker, equation=equation))
    return said


def _say(word: str, before: str, after: str, *, marker: bool, equation: bool) -> str:
    if marker and len(word) <= 3 and word[-1] in ".)" and word[:-1].isdecimal() and word.isascii():
        return f"{cardinal(int(word[:-1]))},"
    if not word.isascii():
        word = "".join(map(_western, word))
    body = word.lstrip(_OPENING)
    opening = word[: len(word) - len(body)]
    core = body.rstrip(_CLOSING)
    closing = body[len(core) :]
    if not core:
        return word
    if word in _LONE:
        return _lone(word, before, after, equation=equation)
    if ")" in closing and "(" in core:  # a call: f(x1), get_name()
        core, closing = core.rstrip("("), closing.replace(")", "", 1)
    if "'" in core or "’" in core:
        closing = closing.lstrip('"”') if core[0].isdigit() else closing
    if len(word) > _LONG:
        return _dress(opening, address(core) or _apart(core), closing)
    if opening.endswith(("'", "‘")) and core[0].isdigit() and core[-1] == "s":
        opening = opening[:-1]
    if "." in body and (short := _abbreviated(core, closing, before, after)) is not None:
        return opening + short
    if not _ODD.search(core):
        plain = _contextual(core, before, after)
        if plain and closing == "." and before[-1:].isdigit() and after[:1].islower():
            closing = ""  # a unit with a dot: "2 tbsp. butter"
        return _dress(opening, plain, closing) if plain else word.lstrip("-") or word
    if _INITIALS.fullmatch(f"{core}."):
        return word
    return _dress(opening, _odd(core, before, after), closing)


def _lone(sign: str, before: str, after: str, *, equation: bool) -> str:
    """A dash or stroke by itself: between numbers it is a word, elsewhere a pause."""
    between = q.is_number(before) and q.is_number(after)
    if sign == "−" or (sign == "-" and equation):
        return "minus" if between or (len(before) <= 2 and len(after) <= 2) else sign
    if not between:
        return sign
    return "divided by" if sign == "/" else "to"


def _western(sign: str) -> str:
    """Digits of other scripts, and in circles, as 0 to 9; raised ones are powers and stay."""
    plain = sign.isdigit() and sign not in _HIGH
    return str(unicodedata.digit(sign)) if plain else sign


def _dress(opening: str, said: str, closing: str) -> str:
    """``said`` in its punctuation; square and curly brackets are seen, not heard."""
    if not said:
        return ""
    return f"{opening.translate(_UNHEARD)}{said}{closing.translate(_UNHEARD)}"


def _abbreviated(core: str, closing: str, before: str, after: str) -> str | None:
    """``core`` with its dot as a whole word, with what remains of the closing signs."""
    key = core.lower()
    dotted = closing.startswith(".")
    rest = closing[1:] if dotted else closing
    if key in ("dr", "st") and dotted and core[0].isupper():
        name = after[:1].isupper() and before[-2:].lower() not in ("th", "st", "nd", "rd")
        if key == "dr":
            street = not name and before[:1].isupper()
            return ("Drive" if street else "Doctor") + rest
        return ("Saint" if name else "Street") + rest
    if key in _COUNTED and dotted and after[:1].isdigit():
        return (_COUNTED[key].capitalize() if core[0].isupper() else _COUNTED[key]) + rest
    if key not in _SHORT or not (dotted or "." in core) or (key in _CAPITAL and core.islower()):
        return None
    if key in ("jan", "mar", "al") and not after:
        return None
    ends = not after or (
        after[:1].isupper() and after[1:2].islower() and key in ("etc", "jr", "sr", "p.m", "a.m")
    )
    said = _SHORT[key]
    if key in ("e.g", "i.e") and not rest:
        rest = ","
    return said + ("." if dotted and ends and not rest else "") + rest


def _contextual(core: str, before: str, after: str) -> str | None:
    """Words of letters that mean something else beside a number or a name."""
    if core in _SAID:
        return _SAID[core]
    if core in q.SCALE_WORDS:
        return f"{core} {q.coin_of(before)}" if q.is_money(before) else None
    if before[-1:].isdigit():
        if (called := q.unit(core, before)) is not None:
            return called
        if (half := q.half_of_day(core)) and core != "Am":
            return half
    if core in ("eg", "ie") or core == "vs":
        return {"eg": "for example", "ie": "that is", "vs": "versus"}[core]
    if core in _MONTHS and len(core) < 5 and (after[:1].isdigit() or before[:1].isdigit()):
        return _SHORT.get(core.lower())
    if core != "I" and core.isupper() and _ROMAN.fullmatch(core):
        return _numeral(core, before)
    return None


def _numeral(core: str, before: str) -> str | None:
    values = {"I": 1, "V": 5, "X": 10}
    total = 0
    for sign, follower in zip(core, core[1:] + " ", strict=True):
        value = values[sign]
        total += -value if values.get(follower, 0) > value else value
    if before in _RULERS and len(core) > 1:
        return f"the {ordinal(total)}"
    return cardinal(total) if before in _PARTS else None


def _odd(core: str, before: str, after: str) -> str:
    """A word with digits or signs in it."""
    if core in _SAID:
        return _said(core, before)
    if (place := address(core)) is not None:
        return place
    if core[0] == core[-1] == "$":
        core = core.strip("$") or core
    core = core.strip("|\\^{}*") or core
    if before.isdecimal() and (part := _AND_PART.fullmatch(core)):
        return f"and {fraction(int(part[1]), int(part[2]))}"
    if _TERM.fullmatch(core.lstrip("-")) and (before in _SIGNS or after in _SIGNS):
        return _apart(core)
    if core[0] in "#@" and len(core) > 1:
        lead = "at" if core[0] == "@" else "number" if core[1].isdigit() else "hashtag"
        return f"{lead} {_part(core[1:])}"
    if core.isascii() and core.isdigit():
        return _whole(core, before, after)
    if (said := _quantity(core, before, after)) is not None:
        return said
    if (called := q.unit(core, before)) is not None or (called := path(core)) is not None:
        return called
    return _compound(core)


def _said(core: str, before: str) -> str:
    if core in ("$", "€", "£", "¥", "%", "°") and before[-1:].isdigit():
        return q.unit(core, before) or _SAID[core]
    return _SAID[core]


def _quantity(core: str, before: str, after: str) -> str | None:
    if not _DIGITS.search(core) and not core[-1].isnumeric():
        return None
    return (
        q.phone(core)
        or q.date(core)
        or q.version(core, named=before in _VERSIONED)
        or q.clock(core, after)
        or q.counted(core, before)
        or q.money(core, after)
        or q.measure(core)
    )


def _whole(core: str, before: str, after: str) -> str:
    if q.dialled(core, before, after):
        return digits(core)
    if before in _MONTHS and len(core) <= 2 and 0 < int(core) <= 31:
        return ordinal(int(core))
    if after in _MONTHS and len(core) <= 2 and 0 < int(core) <= 31 and before not in _MONTHS:
        return (
            f"{ordinal(int(core))} of"
            if before.lower() == "the"
            else f"the {ordinal(int(core))} of"
        )
    like_year = len(core) == 4 and "1100" <= core <= "2099" and q.unit(after, core) is None
    named = before.lower() in _BEFORE_YEAR or before in _MONTHS
    return year(int(core)) if like_year and (named or core >= "1900") else number(core)


def _compound(core: str) -> str:
    """Words glued by signs: each part by its own rules, the signs as words or not at all."""
    if found := _ASSIGNED.fullmatch(core):
        return f"{_part(found[1])} equals {_part(found[2])}"
    if "/" in core.strip("/"):
        parts = [part for part in core.split("/") if part]
        if len(parts) == 2 and parts[1] in _PER:
            return f"{_part(parts[0])} per {parts[1]}"
        words = all(part.isalpha() and not part.isupper() for part in parts)
        glue = " or " if words and "and" not in parts else " "
        return glue.join(filter(None, (_part(part) for part in parts)))
    if "-" in core.strip("-") and not any(sign in core for sign in "=<>+*^@"):
        return " ".join(filter(None, (_part(part) for part in core.split("-") if part)))
    return _apart(core)


def _part(part: str) -> str:
    if not _ODD.search(part):
        return part
    if part in _SAID:
        return _SAID[part]
    if part.isascii() and part.isdigit():
        return _whole(part, "", "")
    return _quantity(part, "", "") or path(part) or _apart(part)


def _apart(core: str) -> str:
    """Whatever it is: letters stay, numbers and the signs that mean something are said."""
    core = _POWER.sub(_power, _RAISED.sub(_raised, core))
    pieces = _SCAN.findall(core)
    said: list[str] = []
    for index, piece in enumerate(pieces):
        follower = pieces[index + 1][:1] if index + 1 < len(pieces) else ""
        previous = pieces[index - 1][-1:] if index else ""
        said.append(_piece(piece, previous, follower))
    return _LOOSE_STOP.sub(r"\1", " ".join("".join(said).split()))


def _raised(match: re.Match[str]) -> str:
    return "^" + match[0].translate(_RAISED_DIGITS)


def _power(match: re.Match[str]) -> str:
    power = match[1]
    if power in ("2", "3"):
        return " squared " if power == "2" else " cubed "
    return f" to the power of {power} "


def _piece(piece: str, previous: str, follower: str) -> str:
    """One piece of a word, with a space around it unless it is glued to letters."""
    if piece[0] in "0123456789":
        return f" {number(piece)} "
    if piece[0].isalpha():
        return piece
    if piece in _LOOSE:
        return f" {_LOOSE[piece]} "
    if piece == "." and previous.isalnum() and follower.isalnum():
        return " dot " if not (previous.islower() and follower.isupper()) else ". "
    if piece == "-" and previous.isdigit() and follower.isdigit():
        return " "
    if piece == "-" and (not previous or previous in "=(<>*/+ ") and follower.isdigit():
        return " minus "
    if piece in "'’" and previous.isalpha() and follower.isalpha():
        return piece
    if piece[:2] == "..":
        return "... "
    if piece in ".,;:!?…—":
        return f"{piece} " if previous.isalnum() or previous == piece else " "
    return _mark(piece)


def _mark(piece: str) -> str:
    """Combining marks and joiners belong to their letters; other signs part words."""
    joins = piece in "\u200c\u200d" or (piece > "\u02ff" and f"a{piece}".isidentifier())
    return piece if joins else " "
