"""Sizes as people write them: ``8GB``, ``512 MB``, ``20GiB``."""

from __future__ import annotations

import re

_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_SIZE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([kmgt])i?b\s*", re.IGNORECASE)
_SMALLEST = 1024**2


def parse_size(value: object) -> object:
    """Read a size as bytes; leave what is no text to the caller's own check.

    GB and GiB are both 1024^3 bytes, as Coda and the makers of GPUs count.
    Raises ValueError for text that is no size, and for a number so small that a
    unit was forgotten.
    """
    if isinstance(value, str):
        match = _SIZE.fullmatch(value)
        if match is None:
            raise ValueError('write a number and a unit, such as "8GB" or "512MB"')
        return round(float(match[1]) * _UNITS[match[2].lower()])
    if isinstance(value, int | float) and 0 < value < _SMALLEST:
        raise ValueError(f'a number means bytes; write a unit, such as "{value:g}GB"')
    return value


def format_size(value: int) -> str:
    """Write bytes in the largest unit that divides them: ``8GB``, or the plain number."""
    for unit in "TGM":
        step = _UNITS[unit.lower()]
        if value and value % step == 0:
            return f"{value // step}{unit}B"
    return str(value)
