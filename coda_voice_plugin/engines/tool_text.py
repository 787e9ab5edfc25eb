"""Tool calls that a model writes as text, taken out of an answer while it is streamed.

Many templates have no channel for calls: the model writes
``{"name": "weather", "arguments": {"city": "Rome"}}``, bare, in a fence, or between
tags. What may become such a call is held back until it is one, or is not.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from coda_voice_plugin import ToolCall

logger = logging.getLogger(__name__)

LIMIT = 4_000
"""Characters that are held back at most for what may be a call."""

_TAGS = {
    "<tool_call>": "</tool_call>",
    "<tools>": "</tools>",
    "<function_call>": "</function_call>",
    "[TOOL_CALLS]": "",
    "<|python_tag|>": "",
}
"""What stands before and after a call: Hermes and Qwen, Qwen Coder, Mistral, Llama."""
_STRAY = tuple(close for close in _TAGS.values() if close)
_FENCE = re.compile(r"```[A-Za-z_]*[ \t]*\n?[ \t]*")
_IS_A_CALL = re.compile(r'"name"\s*:\s*"[^"]*"\s*,\s*"(arguments|parameters)"')
_FENCES = {"", "json", "tool_call", "tool_code", "tool"}
_NAMES = ("name", "function", "tool", "tool_name")
_FIRST_KEYS = (*_NAMES, "arguments", "parameters", "type", "id")


@dataclass(frozen=True, slots=True)
class _Read:
    """What stands at the beginning of a text: calls, and how many characters they take."""

    calls: tuple[ToolCall, ...]
    length: int


class _More(Exception):
    """Whether it is a call depends on text that has not come."""


class _NoCall(Exception):
    """It is text."""


class _Cut(Exception):
    """It is a call, and the answer ended within it."""


class CallReader:
    """Splits an answer into text and calls; the same for any split of the text.

    ``names`` are the tools that were offered. Unfinished and malformed calls between
    tags are dropped with a warning: they are no words for a listener.
    """

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)
        self._keys = (*_FIRST_KEYS, *self._names)
        self._held = ""

    def push(self, text: str) -> list[str | ToolCall]:
        """The next piece of the answer in; text to speak and calls out, in order."""
        self._held += text
        return list(self._read(ended=False))

    def finish(self) -> list[str | ToolCall]:
        """The answer is over: what was still held back."""
        pieces = list(self._read(ended=True))
        self._held = ""
        return pieces

    def _read(self, *, ended: bool) -> Iterator[str | ToolCall]:
        said = ""
        while self._held:
            start = _first_sign(self._held)
            said, self._held = said + self._held[:start], self._held[start:]
            if not self._held:
                break
            try:
                read = _call_at_start(self._held, self._keys, self._names, ended)
            except _More:
                break
            except _Cut:
                logger.warning("the answer ended within a tool call; it is left out")
                self._held = ""
                break
            except _NoCall:
                skip = len(self._held) - len(self._held.lstrip("`")) or 1
                said, self._held = said + self._held[:skip], self._held[skip:]
                continue
            if said:
                yield said
                said = ""
            yield from read.calls
            self._held = self._held[read.length :]
        if said:
            yield said


def _first_sign(text: str) -> int:
    """Where the first character stands with which a call may begin."""
    found = re.search(r"[{\[<`]", text)
    return found.start() if found else len(text)


def _call_at_start(text: str, keys: tuple[str, ...], names: frozenset[str], ended: bool) -> _Read:
    """Read the call with which ``text`` begins; raises _More or _NoCall."""
    for stray in _STRAY:
        if text.startswith(stray):
            return _Read((), len(stray))
    for tag, close in _TAGS.items():
        if text.startswith(tag):
            return _tagged(text, len(tag), close, names, ended)
    if not ended and any(tag.startswith(text) for tag in (*_TAGS, *_STRAY)):
        raise _More
    if text[0] == "`":
        return _fenced(text, keys, names, ended)
    if text[0] == "<":
        raise _NoCall
    end = _value_end(text, 0, keys, ended)
    return _Read(_calls(text[:end], names), end)


def _tagged(text: str, start: int, close: str, names: frozenset[str], ended: bool) -> _Read:
    """Between tags everything is a call, or what was meant to be one."""
    calls: list[ToolCall] = []
    at = start
    while True:
        at = _after_space(text, at)
        rest = text[at:]
        if close and rest.startswith(close):
            return _Read(tuple(calls), at + len(close))
        if not rest or close.startswith(rest):
            if ended:
                return _Read(tuple(calls), len(text))
            raise _More
        if rest[0] not in "{[":
            break
        try:
            end = _value_end(text, at, (), ended)
            calls.extend(_calls(text[at:end], names))
        except _NoCall:
            break
        at = end
        if not close:
            return _Read(tuple(calls), at)
    if calls:
        return _Read(tuple(calls), at)
    return _dropped(text, at, close, ended)


def _dropped(text: str, at: int, close: str, ended: bool) -> _Read:
    """A call that cannot be read goes, to its closing tag or to the end of the answer."""
    end = text.find(close, at) if close else -1
    if end < 0 and not ended:
        raise _More
    logger.warning("the model wrote a tool call that cannot be read; it is left out")
    return _Read((), end + len(close) if end >= 0 else len(text))


def _fenced(text: str, keys: tuple[str, ...], names: frozenset[str], ended: bool) -> _Read:
    if not text.strip("`") and not ended:
        raise _More  # how many there are is not known
    found = _FENCE.match(text)
    if found is None or text.startswith("````"):
        raise _NoCall
    if found.end() == len(text) and not ended:
        raise _More
    if found[0].strip("` \t\n").lower() not in _FENCES:
        raise _NoCall
    calls: list[ToolCall] = []
    at = _after_space(text, found.end())
    while True:
        if at == len(text) and not ended:
            raise _More
        if text[at : at + 1] not in ("{", "["):
            break
        try:
            end = _value_end(text, at, keys, ended)
            calls.extend(_calls(text[at:end], names))
        except _NoCall:
            break
        at = _after_space(text, end)
    if not calls:
        raise _NoCall
    rest = text[at:]
    if not ended and "```".startswith(rest):
        raise _More
    return _Read(tuple(calls), at + (3 if rest.startswith("```") else 0))


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n,;":
        at += 1
    return at


def _value_end(text: str, start: int, keys: tuple[str, ...], ended: bool) -> int:
    """Where the JSON object or list ends that begins at ``start``.

    With ``keys`` it must begin like a call: with one of them.
    """
    if keys:
        _must_begin_like_a_call(text[start:], keys)
    depth, quoted, escaped = 0, False, False
    for at in range(start, min(len(text), start + LIMIT)):
        sign = text[at]
        if quoted:
            if escaped:
                escaped = False
            elif sign == "\\":
                escaped = True
            elif sign == '"':
                quoted = False
        elif sign == '"':
            quoted = True
        elif sign in "{[":
            depth += 1
        elif sign in "}]":
            depth -= 1
            if depth == 0:
                return at + 1
    if len(text) - start >= LIMIT:
        raise _NoCall
    if not ended:
        raise _More
    if _IS_A_CALL.search(text, start):
        raise _Cut
    raise _NoCall


def _must_begin_like_a_call(text: str, keys: tuple[str, ...]) -> None:
    rest = text.lstrip("[ \t\r\n") if text[0] == "[" else text
    if not rest:
        return
    if rest[0] != "{":
        raise _NoCall
    rest = rest[1:].lstrip()
    if not rest:
        return
    if rest[0] != '"':
        raise _NoCall
    key, quote, _ = rest[1:].partition('"')
    if not (key in keys if quote else any(each.startswith(key) for each in keys)):
        raise _NoCall


def _calls(text: str, names: frozenset[str]) -> tuple[ToolCall, ...]:
    """The calls that a JSON text describes; raises _NoCall when it describes something else."""
    try:
        value = json.loads(text, strict=False)
    except ValueError:
        raise _NoCall from None
    listed = value if isinstance(value, list) else [value]
    if not listed:
        raise _NoCall
    return tuple(_call(each, names) for each in listed)


def _call(value: Any, names: frozenset[str]) -> ToolCall:
    """One call, in any of the forms that models were taught."""
    if not isinstance(value, dict):
        raise _NoCall
    inner = value.get("function")
    if isinstance(inner, dict):
        return _call(inner, names)
    name = next(
        (value[key] for key in _NAMES if isinstance(value.get(key), str)),
        None,
    )
    given = next((value[k] for k in ("arguments", "parameters") if k in value), None)
    if name is None and len(value) == 1:
        ((name, given),) = value.items()
        if name not in names or not isinstance(given, dict):
            raise _NoCall
    if not name or (given is None and (name not in names or set(value) - {"name", "type", "id"})):
        raise _NoCall
    return ToolCall(name, as_object(given), str(value.get("id") or ""))


def as_object(arguments: Any) -> Mapping[str, Any]:
    """The arguments of a call, which some models write as JSON text; {} when there are none."""
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments, strict=False) if arguments.strip() else {}
        except ValueError:
            logger.warning("the arguments of a tool call are no JSON; it is called without")
            return {}
    return arguments if isinstance(arguments, dict) else {}
