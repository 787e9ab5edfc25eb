"""Whether the arguments of a tool call fit the tool's JSON schema.

The part of JSON Schema that tools use: ``type``, ``enum``, ``const``, ``required``,
``properties``, ``additionalProperties: false``, ``items``, ``minimum``, ``maximum``.
Other keywords are not judged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, Mapping),
    "array": lambda value: isinstance(value, list | tuple),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "null": lambda value: value is None,
    "number": _is_number,
    "integer": lambda value: _is_number(value) and value == int(value),
}


def faults(value: Any, schema: Mapping[str, Any], where: str = "") -> Iterator[str]:
    """What is wrong with ``value``, in words for the mind that wrote it; nothing if it fits."""
    name = where or "the arguments"
    types = schema.get("type", ())
    allowed = (types,) if isinstance(types, str) else tuple(types)
    if allowed and not any(_TYPES.get(each, _anything)(value) for each in allowed):
        yield f"{name} must be of type {' or '.join(allowed)}, not {value!r}"
        return
    if "enum" in schema and value not in schema["enum"]:
        yield f"{name} must be one of {', '.join(map(repr, schema['enum']))}, not {value!r}"
    if "const" in schema and value != schema["const"]:
        yield f"{name} must be {schema['const']!r}, not {value!r}"
    if _is_number(value):
        if value < schema.get("minimum", value):
            yield f"{name} must be at least {schema['minimum']}, not {value}"
        if value > schema.get("maximum", value):
            yield f"{name} must be at most {schema['maximum']}, not {value}"
    if isinstance(value, Mapping):
        yield from _object_faults(value, schema, where)
    if isinstance(value, list | tuple) and isinstance(schema.get("items"), Mapping):
        for index, item in enumerate(value):
            yield from faults(item, schema["items"], f"{name}[{index}]")


def _object_faults(
    value: Mapping[str, Any], schema: Mapping[str, Any], where: str
) -> Iterator[str]:
    prefix = f"{where}." if where else ""
    known = schema.get("properties", {})
    for name in schema.get("required", ()):
        if name not in value:
            yield f"{prefix}{name} is missing"
    for name, item in value.items():
        if name in known:
            yield from faults(item, known[name], f"{prefix}{name}")
        elif schema.get("additionalProperties") is False:
            yield f"{prefix}{name} is not an argument of this tool"


def _anything(value: Any) -> bool:
    return True
