"""The items of a Realtime conversation: messages, calls of functions and their results."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ...events import Message, ToolCall
from . import Part, Refusal

Kind = Literal["message", "function_call", "function_call_output"]
Status = Literal["completed", "incomplete", "in_progress"]

TEXTS = {"system": ("input_text",), "user": ("input_text",), "assistant": ("output_text", "text")}
"""Types of content that are text, by role."""
MOST_ID = 64
MOST_CHARACTERS = 100_000


@dataclass(slots=True)
class Item:
    """One item. What was said is ``text``, whether it was written or spoken (``sound``)."""

    id: str
    kind: Kind
    role: Literal["system", "user", "assistant"] = "assistant"
    text: str | None = None
    """None: spoken words that are not known."""
    sound: bool = False
    status: Status = "completed"
    name: str = ""
    """Of the function."""
    call_id: str = ""
    arguments: str = ""
    output: str = ""

    def as_dict(self) -> dict[str, Any]:
        head = {"id": self.id, "object": "realtime.item", "type": self.kind, "status": self.status}
        match self.kind:
            case "message":
                return {**head, "role": self.role, "content": self._content()}
            case "function_call":
                call = {"name": self.name, "call_id": self.call_id, "arguments": self.arguments}
                return {**head, **call}
            case "function_call_output":
                return {**head, "call_id": self.call_id, "output": self.output}

    def _content(self) -> list[dict[str, Any]]:
        direction = "output" if self.role == "assistant" else "input"
        if self.role == "assistant" and not self.text and self.status == "in_progress":
            return []
        if self.sound:
            return [{"type": f"{direction}_audio", "transcript": self.text}]
        return [{"type": f"{direction}_text", "text": self.text}]


def read_item(part: Part, new_id: str) -> Item:
    """An item that a client makes; ``new_id`` is for one without a name. Raises Refusal."""
    item_id = part.optional_text("id") or new_id
    if len(item_id) > MOST_ID:
        part.refuse("id", f"must have at most {MOST_ID} characters.")
    kind = part.text("type")
    part.given("object"), part.given("status")
    match kind:
        case "message":
            item = _message(part, item_id)
        case "function_call":
            item = Item(
                item_id,
                "function_call",
                name=part.text("name"),
                call_id=part.optional_text("call_id") or new_id,
                arguments=part.text("arguments"),
            )
            if not isinstance(_arguments(item), dict):
                part.refuse("arguments", "must be a JSON object.")
        case "function_call_output":
            item = Item(
                item_id,
                "function_call_output",
                call_id=part.text("call_id"),
                output=part.text("output"),
            )
        case _:
            known = "message, function_call or function_call_output"
            part.refuse("type", f"must be {known}.", "not_supported")
    part.done()
    return item


def _message(part: Part, item_id: str) -> Item:
    role = part.choice("role", tuple(TEXTS))
    texts = []
    sound = False
    for index, value in enumerate(part.items("content")):
        content = Part(value, f"{part.name('content')}[{index}]")
        kind = content.text("type")
        if kind in TEXTS[role]:
            texts.append(content.text("text"))
        elif kind in ("input_audio", "output_audio"):
            sound = True
            content.given("audio")
            transcript = content.optional_text("transcript")
            if transcript is None:
                must = "needs a transcript here; sound itself goes to input_audio_buffer.append."
                content.refuse("audio", must, "not_supported")
            texts.append(transcript)
        else:
            content.refuse("type", f"cannot be {kind[:40]!r} here.", "not_supported")
        content.done()
    text = "\n".join(texts)
    if len(text) > MOST_CHARACTERS:
        part.refuse("content", f"must have at most {MOST_CHARACTERS} characters.")
    if not text.strip():
        part.refuse("content", "must say something.")
    return Item(item_id, "message", role, text, sound)  # type: ignore[arg-type]


def as_messages(items: Iterable[Item]) -> list[Message]:
    """The conversation as a mind reads it. Calls without a result are left out: a mind takes
    them for its own unfinished work."""
    items = list(items)
    calls = {each.call_id: each for each in items if each.kind == "function_call"}
    done = {each.call_id for each in items if each.kind == "function_call_output"}
    messages = []
    for each in items:
        match each.kind:
            case "message" if each.text:
                messages.append(Message(each.role, each.text))
            case "function_call" if each.call_id in done:
                call = ToolCall(each.name, _arguments(each), each.call_id)
                messages.append(Message("assistant", "", tool_calls=(call,)))
            case "function_call_output" if each.call_id in calls:
                messages.append(Message("tool", each.output, name=calls[each.call_id].name))
    return messages


def _arguments(item: Item) -> Any:
    try:
        return json.loads(item.arguments)
    except (ValueError, RecursionError) as error:
        message = f"item.arguments must be JSON: {error}."
        raise Refusal("invalid_value", message, "item.arguments") from error


MOST_ITEMS = 2_000
"""Items of one conversation; then the oldest is forgotten."""


class Items:
    """The items of one conversation in order."""

    def __init__(self) -> None:
        self._items: list[Item] = []

    def __iter__(self) -> Iterator[Item]:
        return iter(self._items)

    def add(self, item: Item, after: str | None = None) -> str | None:
        """Put ``item`` behind ``after`` ("root": first), or at the end; return the id of the
        item before it. Raises Refusal for a name that is taken, or an unknown ``after``."""
        if any(each.id == item.id for each in self._items):
            raise Refusal("invalid_value", f"there is an item {item.id!r} already.", "item.id")
        place = len(self._items)
        if after == "root":
            place = 0
        elif after is not None:
            place = self._items.index(self.get(after, "previous_item_id")) + 1
        self._items.insert(place, item)
        previous = self._items[place - 1].id if place else None
        if len(self._items) > MOST_ITEMS:
            del self._items[0]
        return previous

    def previous(self, item: Item) -> str | None:
        """The id of the item before ``item``."""
        place = self._items.index(item)
        return self._items[place - 1].id if place else None

    def get(self, item_id: str, param: str = "item_id") -> Item:
        """The item of that name; raises Refusal."""
        for each in reversed(self._items):
            if each.id == item_id:
                return each
        raise Refusal("item_not_found", f"there is no item {item_id[:MOST_ID]!r}.", param)

    def remove(self, item: Item) -> None:
        self._items.remove(item)

    def of_call(self, call_id: str) -> Item:
        """The function_call item; raises Refusal."""
        for each in reversed(self._items):
            if each.kind == "function_call" and each.call_id == call_id:
                return each
        message = f"there is no function call {call_id[:MOST_ID]!r}."
        raise Refusal("item_not_found", message, "item.call_id")
