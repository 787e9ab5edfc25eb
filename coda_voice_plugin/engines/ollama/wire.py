"""What goes over the line: our messages and tools in Ollama's words, its lines made safe."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from typing import Any

from coda_voice_plugin import Message, Tool

from ..tool_text import as_object

_SPLITS_A_LINE = re.compile(rb"\xc2\x85|\xe2\x80[\xa8\xa9]")
"""U+0085, U+2028 and U+2029 in UTF-8: legal inside JSON, but ends of lines for the client."""


def as_message(message: Message) -> dict[str, Any]:
    """One line of the conversation as the server reads it."""
    # half a character (a lone surrogate) cannot be sent; a question mark stands for it
    text = message.content.encode("utf-8", "replace").decode()
    said: dict[str, Any] = {"role": message.role, "content": text}
    if message.role == "tool":
        said["tool_name"] = message.name
    if message.tool_calls:
        said["tool_calls"] = [
            {"function": {"name": call.name, "arguments": dict(call.arguments)}}
            for call in message.tool_calls
        ]
    return said


def as_tool(tool: Tool) -> dict[str, Any]:
    """A tool as the server reads it."""
    described = {
        "name": tool.name,
        "description": tool.description,
        "parameters": _known_to_the_client(tool.parameters),
    }
    return {"type": "function", "function": described}


def _known_to_the_client(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema with "this or null" written plainly: the client drops ``anyOf``."""
    properties = {
        name: _plain(each) if isinstance(each, Mapping) else each
        for name, each in schema.get("properties", {}).items()
    }
    return {"type": "object", **schema, "properties": properties}


def _plain(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    choices = [each for key in ("anyOf", "oneOf") for each in schema.get(key, ())]
    real = [each for each in choices if each.get("type") != "null"]
    return {**schema, **real[0]} if real and "type" not in schema else schema


async def clean_lines(response: Any) -> None:
    """Make the lines of a chat safe for the client; a hook of httpx, called at each response."""
    import httpx

    inner = response.stream
    encoded = response.headers.get("content-encoding", "identity") != "identity"
    if encoded or not response.request.url.path.endswith("/api/chat"):
        return

    class CleanLines(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            held = b""
            async for piece in inner:
                *lines, held = (held + piece).split(b"\n")
                for line in lines:
                    if line.strip():
                        yield clean(line) + b"\n"
            if held.strip():
                yield clean(held)

        async def aclose(self) -> None:
            await inner.aclose()

    response.stream = CleanLines()


def clean(line: bytes) -> bytes:
    """The line with arguments of tool calls as objects, and nothing in it that ends a line.

    What is no JSON is left as it is: the client says so.
    """
    if b'"tool_calls"' not in line and not _SPLITS_A_LINE.search(line):
        return line
    try:
        part = json.loads(line)
        for call in part.get("message", {}).get("tool_calls") or ():
            call["function"]["arguments"] = as_object(call["function"].get("arguments"))
    except (ValueError, AttributeError, KeyError, TypeError):
        return line
    return json.dumps(part).encode()


def thinking(mode: str, able: bool, by_level: bool) -> bool | str:
    """The request's ``think``: off wherever a model can stop thinking.

    Models that think by level (gpt-oss) cannot be stopped; the least is "low".
    """
    if not able:
        return False
    if by_level:
        return {"off": "low", "enhanced": "high"}.get(mode, mode)
    return mode != "off"


def keep_alive(text: str) -> str | float:
    """The setting as the server wants it: a number of seconds must not be a string."""
    try:
        return float(text)
    except ValueError:
        return text
