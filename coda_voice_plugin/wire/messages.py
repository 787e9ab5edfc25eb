"""Tables of JSON messages: one description reads them, writes them and tells their schema."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ..errors import WireError
from .fields import read_object, shown, write_object
from .kinds import Kind, UnfitError


class _Needed:
    """The field may not be left out."""


NEEDED = _Needed()


@dataclass(frozen=True, slots=True)
class Field:
    """One field: also the name of the attribute of the event that it stands for."""

    name: str
    kind: Kind
    says: str
    """For people: what it means."""
    default: Any = NEEDED


@dataclass(frozen=True, slots=True)
class Rule:
    """What must hold between fields."""

    holds: Callable[[dict[str, Any]], bool]
    """Of the values, as they are in Python."""
    says: str
    """The sentence for one who breaks it."""
    schema: dict[str, Any]
    """The same as JSON Schema."""


@dataclass(frozen=True, slots=True)
class Form:
    """A message: the name of its type, the class of its event, and its fields."""

    name: str
    event: type
    says: str
    fields: tuple[Field, ...] = ()
    rules: tuple[Rule, ...] = ()
    inside: str = ""
    """Attribute of the event that has the fields; empty: the event itself."""
    make: Callable[..., Any] | None = None
    """Makes the event of the fields; None: its class does."""

    def read(self, value: dict[str, Any]) -> Any:
        """The event in ``value``, a JSON object of this type. Raises WireError."""
        found: dict[str, Any] = {}
        for field in self.fields:
            if field.name in value:
                found[field.name] = self._fit(field, field.kind.read, value[field.name])
            elif field.default is NEEDED:
                raise WireError(f'{self.name} needs the field "{field.name}".')
            else:
                found[field.name] = field.default
        for name in value:
            if name not in found and name != "type":
                raise WireError(f"{self.name} has no field {shown(name)}.")
        self._check(found)
        return (self.make or self.event)(**found)

    def write(self, event: Any, *, whole: bool) -> str:
        """``event`` as JSON; without ``whole`` fields that have their default are left out.

        Raises WireError.
        """
        source = getattr(event, self.inside) if self.inside else event
        values = {field.name: getattr(source, field.name) for field in self.fields}
        self._check(values)
        written = {
            field.name: self._fit(field, field.kind.write, values[field.name])
            for field in self.fields
            if whole or values[field.name] != field.default
        }
        return write_object(self.name, written)

    def schema(self) -> dict[str, Any]:
        """JSON Schema of the message."""
        properties: dict[str, Any] = {"type": {"const": self.name}}
        for field in self.fields:
            properties[field.name] = {"description": field.says, **field.kind.schema()}
            if field.default is not NEEDED:
                default = field.default
                properties[field.name]["default"] = (
                    list(default) if isinstance(default, tuple) else default
                )
        found: dict[str, Any] = {
            "description": self.says,
            "type": "object",
            "properties": properties,
            "required": ["type", *(f.name for f in self.fields if f.default is NEEDED)],
            "additionalProperties": False,
        }
        if self.rules:
            found["allOf"] = [{"description": rule.says, **rule.schema} for rule in self.rules]
        return found

    def _fit(self, field: Field, kind: Callable[[Any], Any], value: Any) -> Any:
        try:
            return kind(value)
        except UnfitError as error:
            raise WireError(f'{self.name}: the field "{field.name}" must be {error}.') from error

    def _check(self, values: dict[str, Any]) -> None:
        for rule in self.rules:
            if not rule.holds(values):
                raise WireError(f"{self.name}: {rule.says}")


class Table:
    """All JSON messages of one direction. ``sender`` is who sends them, as in "a client"."""

    def __init__(self, sender: str, *forms: Form, whole: bool) -> None:
        self.sender = sender
        self._whole = whole
        self._by_type = {form.name: form for form in forms}
        self._by_event = {form.event: form for form in forms}

    def __iter__(self) -> Iterator[Form]:
        return iter(self._by_type.values())

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(self._by_type)

    def form_of(self, event: Any) -> Form | None:
        """What ``event`` is written with; None: it is no JSON message of this direction."""
        return self._by_event.get(type(event))

    def read(self, message: str) -> Any:
        """The event in ``message``. Raises WireError."""
        value = read_object(message)
        form = self._by_type.get(value["type"])
        if form is None:
            known = ", ".join(self._by_type)
            raise WireError(
                f"no message of type {value['type'][:40]!r}; {self.sender} may send {known}."
            )
        return form.read(value)

    def write(self, event: Any) -> str:
        """``event`` as JSON. Raises WireError."""
        form = self.form_of(event)
        if form is None:
            raise WireError(f"{type(event).__name__} is no message that {self.sender} sends.")
        return form.write(event, whole=self._whole)
