"""Reading JSON messages strictly: every field has a type, a range and a size."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from ..errors import WireError
from .kinds import MAX_COUNT, Choice, Count, Flag, Kind, Numbers, Text, UnfitError


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
            raise WireError(f"{self.kind} has no field {shown(name)}.")

    def any(self, name: str) -> Any:
        """The field as it came; raises WireError when it is not there."""
        if name not in self._left:
            raise WireError(f'{self.kind} needs the field "{name}".')
        return self._left.pop(name)

    def flag(self, name: str, default: bool | None = None) -> bool:
        if default is not None and name not in self._left:
            return default
        return bool(self._take(name, Flag()))

    def count(self, name: str, least: int = 0, most: int = MAX_COUNT) -> int:
        return int(self._take(name, Count(least, most)))

    def text(self, name: str, most: int | None = None) -> str:
        """A string of at most ``most`` characters that UTF-8 can carry."""
        return str(self._take(name, Text(most)))

    def optional_text(self, name: str) -> str | None:
        """A string; None where the field is null or left out."""
        if self._left.get(name) is None:
            self._left.pop(name, None)
            return None
        return self.text(name)

    def choice(self, name: str, allowed: tuple[str, ...]) -> str:
        return str(self._take(name, Choice(allowed)))

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
        return dict(self._take(name, Numbers()))

    def number(self, name: str) -> float:
        value = self.any(name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self._refuse(name, "a number")
        try:
            return float(value)
        except OverflowError:
            self._refuse(name, "a number of usual size")

    def _take(self, name: str, kind: Kind) -> Any:
        value = self.any(name)
        try:
            return kind.read(value)
        except UnfitError as error:
            self._refuse(name, str(error))

    def _refuse(self, name: str, must_be: str) -> NoReturn:
        raise WireError(f'{self.kind}: the field "{name}" must be {must_be}.')


def shown(name: str) -> str:
    """A name from outside, fit for a message: quoted, and not too long."""
    return json.dumps(name if len(name) <= 40 else name[:40] + "...")
