"""What a tool returns, as a short text for a mind that will speak of it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from typing import Any

LONGEST = 1_200
"""Characters; the rest is cut off, and that is said."""
_MOMENT = re.compile(r"\b(\d{4}-\d\d-\d\d)T(\d\d:\d\d)(?::\d\d(?:\.\d+)?)?\b")


def in_words(result: Any) -> str:
    """``result`` without brackets and quotes, of bearable length."""
    text = "; ".join(_lines(result)) or "Done."
    return text if len(text) <= LONGEST else f"{text[:LONGEST].rstrip()} ... and more"


def _lines(value: Any, name: str = "") -> Iterator[str]:
    label = f"{name.replace('_', ' ')}: " if name else ""
    if value is None or value == "" or (isinstance(value, list | tuple | dict) and not value):
        return
    if isinstance(value, Mapping):
        for key, each in value.items():
            yield from _lines(each, f"{name} {key}" if name else str(key))
    elif isinstance(value, list | tuple | set | frozenset):
        if any(isinstance(each, Mapping | list | tuple) for each in value):
            for number, each in enumerate(value, 1):
                inner = ", ".join(_lines(each))
                yield f"{label}{number}. {inner}" if number == 1 else f"{number}. {inner}"
        else:
            yield label + ", ".join(map(_plain, value))
    else:
        yield label + _plain(value)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.10g}"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M")
    if isinstance(value, date):
        return value.isoformat()
    return _MOMENT.sub(r"\1 \2", " ".join(str(value).split()))
