"""Reading JSON messages strictly: every field has a type, a range and a size."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from ..errors import WireError

MAX_COUNT = 2**32 - 1
"""Largest turn number and sample position: they are 32 bits on the wire."""


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is out of range")
    return value


def read_object(message: str) -> dict[str, Any]:
    """Parse ``message`` as a JSON object with a string ``type``.

    Raises WireError; NaN and Infinity are refused.
    """
    try:
        value = json.loads(message, parse_constant=_refuse_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise WireError(f"a text message must be JSON: {error}.") from error
    if not isinstance(value, dict):
        raise WireError("a text message must be a JSON object.")
    if not isinstance(value.get("type"), str):
        raise WireError('a text message needs a "type" that is a string.')
    return value


def write_object(kind: str, fields: Mapping[str, Any]) -> str:
    """Write a message of type ``kind``; raises WireError for what JSON cannot say."""
    try:
        return json.dumps({"type": kind, **fields}, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(f"{kind}: a field cannot be written as JSON: {error}.") from error


class Fields:
    """The fields of one message; each is taken once, and none may be left over."""

    def __init__(self, value: dict[str, Any]) -> None:
        self.kind: str = value["type"]
        self._left = {name: field for name, field in value.items() if name != "type"}

    def done(self) -> None:
        """Raise WireError when the message has fields that nobody asked for."""
        if self._left:
            name = next(iter(self._left))
            raise WireError(f"{self.kind} has no field {_shown(name)}.")

    def any(self, name: str) -> Any:
        """The field as it came; raises WireError when it is not there."""
        if name not in self._left:
            raise WireError(f'{self.kind} needs the field "{name}".')
        return self._left.pop(name)

    def flag(self, name: str, default: bool | None = None) -> bool:
        if default is not None and name not in self._left:
            return default
        value = self.any(name)
        if not isinstance(value, bool):
            self._refuse(name, "true or false")
        return value

    def count(self, name: str, least: int = 0, most: int = MAX_COUNT) -> int:
        value = self.any(name)
        # bool is an int in Python, but true is not a number on the wire
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            self._refuse(name, f"a whole number from {least} to {most}")
        return value

    def text(self, name: str, most: int | None = None) -> str:
        """A string of at most ``most`` characters that UTF-8 can carry."""
        value = self.any(name)
        if not isinstance(value, str):
            self._refuse(name, "a string")
        if most is not None and len(value) > most:
            self._refuse(name, f"at most {most} characters long")
        if not _is_unicode(value):
            self._refuse(name, "a string without half surrogate pairs")
        return value

    def optional_text(self, name: str) -> str | None:
        """A string; None where the field is null or left out."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.text(name)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        value = self.any(name)
        if value not in allowed:
            self._refuse(name, "one of " + ", ".join(allowed))
        return str(value)

    def items(self, name: str) -> list[Any]:
        value = self.any(name)
        if not isinstance(value, list):
            self._refuse(name, "a list")
        return value

    def object(self, name: str) -> dict[str, Any]:
        value = self.any(name)
        if not isinstance(value, dict):
            self._refuse(name, "an object")
        return value

    def numbers(self, name: str) -> dict[str, float]:
        """An object whose values are numbers."""
        return {key: self._number(name, value) for key, value in self.object(name).items()}

    def number(self, name: str) -> float:
        return self._number(name, self.any(name))

    def _number(self, name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(name, "a number")
        try:
            return float(value)
        except OverflowError:
            self._refuse(name, "a number of usual size")

    def _refuse(self, name: str, must_be: str) -> NoReturn:
        raise WireError(f'{self.kind}: the field "{name}" must be {must_be}.')


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _shown(name: str) -> str:
    return json.dumps(name if len(name) <= 40 else name[:40] + "...")
