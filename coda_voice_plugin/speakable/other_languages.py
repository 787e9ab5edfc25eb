"""Numbers in other languages, through num2words where it is installed and knows the language.

Without it numbers are left as they are: many voices read them by themselves.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from importlib import import_module
from typing import Any

_NUMBER = re.compile(
    r"([-−]?)([0-9]{1,15}|[0-9]{1,3}(?:[.,\u00a0\u202f'][0-9]{3}){1,4})(?:([.,])([0-9]{1,9}))?(%?)"
)
_POINT = frozenset(("he", "hi", "ja", "ko", "th", "zh"))
"""Languages with a point before decimals; the others have a comma."""
_PERCENT = {
    "ca": "per cent", "da": "procent", "de": "Prozent", "es": "por ciento", "fi": "prosenttia",
    "fr": "pour cent", "it": "per cento", "nl": "procent", "no": "prosent", "pl": "procent",
    "pt": "por cento", "ro": "la sută", "sv": "procent", "tr": "yüzde",
}  # fmt: skip
_OPENING = "\"'“‘«([{„¿¡"
_CLOSING = ".,;:!?…\"'”’»)]}"


def say_other(word: str, language: str) -> str:
    """``word``, or its number in words of ``language``, with the punctuation around it."""
    if not any("0" <= sign <= "9" for sign in word) or len(word) > 40:
        return word
    body = word.lstrip(_OPENING)
    core = body.rstrip(_CLOSING)
    said = _number(core, language)
    if said is None:
        return word
    return word[: len(word) - len(body)] + said + body[len(core) :]


def _number(core: str, language: str) -> str | None:
    found = _NUMBER.fullmatch(core)
    words = _speller(language) if found else None
    if found is None or words is None:
        return None
    sign, whole, mark, decimals, percent = found.groups()
    base = language.partition("_")[0]
    if percent and base not in _PERCENT:
        return None
    point = "." if base in _POINT else ","
    if mark and mark != point and len(decimals) == 3 and len(whole) <= 3:
        whole, decimals = whole + decimals, ""
    value: int | float = int(re.sub("[^0-9]", "", whole))
    if decimals:
        value = float(f"{value}.{decimals}")
    try:
        said = str(words(-value if sign else value, lang=language))
    except Exception:  # noqa: BLE001 - what one of its fifty languages does not know stays digits
        return None
    return f"{said} {_PERCENT[base]}" if percent else said


@lru_cache(maxsize=32)
def _speller(language: str) -> Callable[..., Any] | None:
    """num2words, if it is there and knows ``language``. The first call imports it (0.2 s)."""
    try:
        module = import_module("num2words")
    except ImportError:
        return None
    known = module.CONVERTER_CLASSES
    spell: Callable[..., Any] = module.num2words
    return spell if language in known or language[:2] in known else None
