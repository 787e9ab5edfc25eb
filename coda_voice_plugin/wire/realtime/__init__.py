"""What a client of OpenAI's Realtime API says, read strictly; ``docs/realtime.md`` lists it.

The shapes are those of the API's general release, as the types of the ``openai`` package
(3.57) describe them. What this server cannot do is refused by a :class:`Refusal` with a code
and the name of the field; it becomes an ``error`` event, and nothing of its message is done.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

from ...errors import WireError
from ..fields import read_object

MALFORMED = frozenset(
    {"invalid_json", "unknown_event", "missing_required_parameter", "invalid_type"}
)
"""Codes of what no client of the API would send; a socket that goes on with it is closed."""
MOST_MS = 2**31


class Refusal(Exception):
    """A message that is wrong, or asks for what this server does not have."""

    def __init__(
        self, code: str, message: str, param: str | None = None, event_id: str | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.event_id = event_id
        """The client's own name of its message."""


class Part:
    """An object of a message; each field is taken once. ``path`` is its name for errors."""

    def __init__(self, value: Any, path: str = "") -> None:
        self.path = path
        if not isinstance(value, dict):
            raise Refusal("invalid_type", f"{path or 'a message'} must be an object.", path)
        self._left = dict(value)

    def name(self, field: str) -> str:
        return f"{self.path}.{field}" if self.path else field

    def has(self, field: str) -> bool:
        return field in self._left

    def any(self, field: str) -> Any:
        """The field as it came; raises Refusal when it is not there."""
        if field not in self._left:
            name = self.name(field)
            raise Refusal("missing_required_parameter", f"{name} is missing.", name)
        return self._left.pop(field)

    def given(self, field: str) -> Any:
        """The field as it came; None when it is null or left out."""
        return self._left.pop(field, None)

    def text(self, field: str) -> str:
        value = self.any(field)
        if not isinstance(value, str):
            self.refuse(field, "must be a string.", "invalid_type")
        try:
            value.encode()
        except UnicodeEncodeError:
            self.refuse(field, "must not hold half surrogate pairs.")
        return value

    def optional_text(self, field: str) -> str | None:
        """A string; None where the field is null or left out."""
        if self._left.get(field) is None:
            self._left.pop(field, None)
            return None
        return self.text(field)

    def flag(self, field: str) -> bool:
        value = self.any(field)
        if not isinstance(value, bool):
            self.refuse(field, "must be true or false.", "invalid_type")
        return value

    def count(self, field: str, most: int = MOST_MS, least: int = 0) -> int:
        value = self.any(field)
        if isinstance(value, bool) or not isinstance(value, int):
            self.refuse(field, "must be a whole number.", "invalid_type")
        if not least <= value <= most:
            self.refuse(field, f"must be from {least} to {most}.")
        return value

    def number(self, field: str, least: float, most: float) -> float:
        value = self.any(field)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.refuse(field, "must be a number.", "invalid_type")
        if not (math.isfinite(value) and least <= value <= most):
            self.refuse(field, f"must be from {least:g} to {most:g}.")
        return float(value)

    def choice(self, field: str, allowed: Sequence[str]) -> str:
        value = self.text(field)
        if value not in allowed:
            self.refuse(field, f"must be one of {', '.join(allowed)}.")
        return value

    def items(self, field: str) -> list[Any]:
        value = self.any(field)
        if not isinstance(value, list):
            self.refuse(field, "must be a list.", "invalid_type")
        return value

    def part(self, field: str) -> Part:
        return Part(self.any(field), self.name(field))

    def unsupported(self, *fields: str) -> None:
        """Refuse those of ``fields`` that are there and not null."""
        for field in fields:
            if self.given(field) is not None:
                self.refuse(field, "is not supported by this server.", "not_supported")

    def refuse(self, field: str, must: str, code: str = "invalid_value") -> NoReturn:
        name = self.name(field)
        raise Refusal(code, f"{name} {must}", name)

    def done(self) -> None:
        """Refuse what is left."""
        for field in self._left:
            shown = field if len(field) <= 40 else field[:40] + "..."
            name = self.name(shown)
            raise Refusal("unknown_parameter", f"there is no parameter {name}.", name)


@dataclass(frozen=True, slots=True)
class SessionUpdate:
    """Settings of the session; ``session.py`` reads them."""

    session: Part


@dataclass(frozen=True, slots=True)
class Append:
    """Sound of the user: base64 in the format of the session."""

    audio: str


@dataclass(frozen=True, slots=True)
class Commit:
    """What was appended is all that the user says now."""


@dataclass(frozen=True, slots=True)
class Clear:
    """What was appended was nothing."""


@dataclass(frozen=True, slots=True)
class ItemCreate:
    """``item`` joins the conversation behind ``after``; None: at its end. ``"root"``: first."""

    item: Part
    after: str | None


@dataclass(frozen=True, slots=True)
class ItemRetrieve:
    item_id: str


@dataclass(frozen=True, slots=True)
class ItemTruncate:
    """Of the assistant's item ``item_id`` only ``audio_end_ms`` were heard."""

    item_id: str
    audio_end_ms: int


@dataclass(frozen=True, slots=True)
class ItemDelete:
    item_id: str


@dataclass(frozen=True, slots=True)
class ResponseCreate:
    """Answer now; ``options`` are for this answer alone."""

    options: Part


@dataclass(frozen=True, slots=True)
class ResponseCancel:
    response_id: str | None


ClientMessage = (
    SessionUpdate
    | Append
    | Commit
    | Clear
    | ItemCreate
    | ItemRetrieve
    | ItemTruncate
    | ItemDelete
    | ResponseCreate
    | ResponseCancel
)


def _truncate(part: Part) -> ItemTruncate:
    if part.count("content_index"):
        part.refuse("content_index", "must be 0: an item here has one piece of content.")
    return ItemTruncate(part.text("item_id"), part.count("audio_end_ms"))


def _create(part: Part) -> ItemCreate:
    return ItemCreate(part.part("item"), part.optional_text("previous_item_id"))


def _respond(part: Part) -> ResponseCreate:
    given = part.given("response")
    return ResponseCreate(Part({} if given is None else given, "response"))


_READERS: dict[str, Callable[[Part], ClientMessage]] = {
    "session.update": lambda part: SessionUpdate(part.part("session")),
    "input_audio_buffer.append": lambda part: Append(part.text("audio")),
    "input_audio_buffer.commit": lambda part: Commit(),
    "input_audio_buffer.clear": lambda part: Clear(),
    "conversation.item.create": _create,
    "conversation.item.retrieve": lambda part: ItemRetrieve(part.text("item_id")),
    "conversation.item.truncate": _truncate,
    "conversation.item.delete": lambda part: ItemDelete(part.text("item_id")),
    "response.create": _respond,
    "response.cancel": lambda part: ResponseCancel(part.optional_text("response_id")),
}


def decode(message: str) -> tuple[ClientMessage, str | None]:
    """What a client says, and its ``event_id``; raises Refusal."""
    try:
        value = read_object(message)
    except WireError as error:
        raise Refusal("invalid_json", str(error)) from error
    name = value.get("event_id")
    event_id = name if isinstance(name, str) and len(name) <= 512 else None
    try:
        if name is not None and event_id is None:
            message = "event_id must be a string of at most 512 characters."
            raise Refusal("invalid_type", message, "event_id")
        return _read(value), event_id
    except Refusal as refusal:
        refusal.event_id = event_id
        raise


def _read(value: dict[str, Any]) -> ClientMessage:
    kind = value["type"]
    read = _READERS.get(kind)
    if kind == "output_audio_buffer.clear":
        message = "output_audio_buffer.clear is for WebRTC; send response.cancel instead."
        raise Refusal("not_supported", message, "type")
    if read is None:
        known = ", ".join(_READERS)
        message = f"there is no event {kind[:60]!r}; a client may send {known}."
        raise Refusal("unknown_event", message, "type")
    part = Part({name: each for name, each in value.items() if name not in ("type", "event_id")})
    found = read(part)
    part.done()
    return found


def encode(kind: str, event_id: str, fields: dict[str, Any]) -> str:
    """An event of the server."""
    event = {"type": kind, "event_id": event_id, **fields}
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def error_fields(
    code: str,
    message: str,
    param: str | None = None,
    event_id: str | None = None,
    kind: str = "invalid_request_error",
) -> dict[str, Any]:
    """The fields of an ``error`` event. ``kind`` is ``server_error`` where we are at fault."""
    error = {"type": kind, "code": code, "message": message, "param": param, "event_id": event_id}
    return {"error": error}
