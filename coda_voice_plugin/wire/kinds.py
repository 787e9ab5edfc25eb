"""What a field of a JSON message may hold: read strictly, written, and told as JSON Schema.

Each kind says these three things in one place, so that they cannot differ.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from ..events import Word

MAX_COUNT = 2**32 - 1
"""Largest turn number and sample position: they are 32 bits on the wire."""
MAX_NUMBER = 1e15
"""Numbers are from minus this to this: milliseconds of 30,000 years."""


class UnfitError(ValueError):
    """A value that a field may not hold; the message says what it must be."""


class Kind(Protocol):
    """What the values of a field are."""

    def read(self, value: Any) -> Any:
        """``value`` as it came out of JSON, made Python's. Raises UnfitError."""

    def write(self, value: Any) -> Any:
        """The other way round. Raises UnfitError."""

    def schema(self) -> dict[str, Any]:
        """JSON Schema 2020-12 of what :meth:`read` takes."""


@dataclass(frozen=True, slots=True)
class Flag:
    """True or false."""

    def read(self, value: Any) -> bool:
        if not isinstance(value, bool):
            raise UnfitError("true or false")
        return value

    write = read

    def schema(self) -> dict[str, Any]:
        return {"type": "boolean"}


@dataclass(frozen=True, slots=True)
class Count:
    """A whole number. 3.0 is one too: JSON has a single kind of number."""

    least: int = 0
    most: int = MAX_COUNT

    def read(self, value: Any) -> int:
        # bool is an int in Python, but true is not a number on the wire
        whole = isinstance(value, int) or (isinstance(value, float) and value.is_integer())
        if isinstance(value, bool) or not whole or not self.least <= value <= self.most:
            raise UnfitError(f"a whole number from {self.least} to {self.most}")
        return int(value)

    write = read

    def schema(self) -> dict[str, Any]:
        return {"type": "integer", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Number:
    least: float = -MAX_NUMBER
    most: float = MAX_NUMBER

    def read(self, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UnfitError("a number")
        if not self.least <= value <= self.most:
            raise UnfitError(f"a number from {self.least:g} to {self.most:g}")
        return float(value)

    write = read

    def schema(self) -> dict[str, Any]:
        return {"type": "number", "minimum": self.least, "maximum": self.most}


@dataclass(frozen=True, slots=True)
class Text:
    """A string that UTF-8 can carry."""

    most: int | None = None
    """Characters at most."""
    pattern: str = ""
    """A search of this regular expression must find something, in Python and in JavaScript."""
    says: str = ""
    """What ``pattern`` asks for, as in "must be ..."."""

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            raise UnfitError("a string")
        if self.most is not None and len(value) > self.most:
            raise UnfitError(f"at most {self.most} characters long")
        if not is_unicode(value):
            raise UnfitError("a string without half surrogate pairs")
        if self.pattern and not re.search(self.pattern, value):
            raise UnfitError(self.says)
        return value

    def write(self, value: Any) -> str:
        if isinstance(value, str) and not is_unicode(value):
            # models cut their text anywhere, in the middle of an emoji too
            value = value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        return self.read(value)

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "string"}
        if self.most is not None:
            found["maxLength"] = self.most
        if self.pattern:
            found["pattern"] = self.pattern
        return found


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some names."""

    names: tuple[str, ...]

    def read(self, value: Any) -> str:
        if not isinstance(value, str) or value not in self.names:
            raise UnfitError("one of " + ", ".join(self.names))
        return value

    write = read

    def schema(self) -> dict[str, Any]:
        return {"enum": list(self.names)}


@dataclass(frozen=True, slots=True)
class Nullable:
    of: Kind

    def read(self, value: Any) -> Any:
        return None if value is None else self.of.read(value)

    def write(self, value: Any) -> Any:
        return None if value is None else self.of.write(value)

    def schema(self) -> dict[str, Any]:
        inner = self.of.schema()
        if "enum" in inner:
            return {"enum": [*inner["enum"], None]}
        return inner | {"type": [inner["type"], "null"]}


@dataclass(frozen=True, slots=True)
class Several:
    """A list of ``least`` to ``most`` values; a tuple in Python."""

    of: Kind
    least: int = 0
    most: int | None = None

    def read(self, value: Any) -> tuple[Any, ...]:
        if not isinstance(value, list):
            raise UnfitError("a list")
        self._measure(len(value))
        return tuple(map(self.of.read, value))

    def write(self, value: Any) -> list[Any]:
        self._measure(len(value))
        return [self.of.write(item) for item in value]

    def _measure(self, length: int) -> None:
        if length < self.least or (self.most is not None and length > self.most):
            most = "" if self.most is None else f" to {self.most}"
            raise UnfitError(f"a list of {self.least}{most} items")

    def schema(self) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "array", "items": self.of.schema()}
        if self.least:
            found["minItems"] = self.least
        if self.most is not None:
            found["maxItems"] = self.most
        return found


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """``[text, start, end]``: a :class:`~coda_voice_plugin.Word`."""

    def read(self, value: Any) -> Word:
        if not isinstance(value, list) or len(value) != 3:
            raise UnfitError("a list of [text, start, end]")
        return Word(Text().read(value[0]), Count().read(value[1]), Count().read(value[2]))

    def write(self, value: Word) -> list[Any]:
        return [Text().write(value.text), Count().write(value.start), Count().write(value.end)]

    def schema(self) -> dict[str, Any]:
        parts = [Text().schema(), Count().schema(), Count().schema()]
        return {"type": "array", "prefixItems": parts, "items": False, "minItems": 3}


@dataclass(frozen=True, slots=True)
class Numbers:
    """An object whose values are numbers."""

    def read(self, value: Any) -> dict[str, float]:
        if not isinstance(value, Mapping):
            raise UnfitError("an object")
        return {key: Number().read(number) for key, number in value.items()}

    write = read

    def schema(self) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": Number().schema()}


@dataclass(frozen=True, slots=True)
class Anything:
    """An object with anything in it."""

    def read(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise UnfitError("an object")
        return dict(value)

    write = read

    def schema(self) -> dict[str, Any]:
        return {"type": "object"}


def is_unicode(text: str) -> bool:
    """UTF-8 can carry it: it has no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
