"""Tools for a model whose server has no field for them: told in the system prompt.

The wording was chosen with Qwen2.5-Coder 0.5B and 1.5B: signatures in one line each and
an example; descriptions in JSON made the smaller one call a tool when it was greeted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from coda_voice_plugin import Message, Tool

_HOW_TO_CALL = (
    'To use a tool, write only JSON such as {"name": "weather", "arguments": {"city": "Oslo"}}. '
    "Its result comes back to you. Never guess what a tool can tell. When no tool fits, answer "
    "in words."
)
_COMMON = {"tell", "tells", "please", "pleas", "user", "wants", "want", "with", "that", "this"}
_COMMON |= {"what", "from", "have", "your", "about", "when", "does", "would", "could", "there"}
# Chosen of four wordings with the 0.5B model, on eight results: the others were read out
# ("The result of get_time is") or answered by another call.
_RESULT = "{said}\nNow answer me in one short sentence, without JSON."


def with_tools(messages: Sequence[Message], tools: Sequence[Tool]) -> list[dict[str, str]]:
    """The conversation in the words of any chat template: system, user, assistant.

    The tools follow the system prompt; the user tells the result of a call.
    """
    said = [_plain(message) for message in messages]
    if tools:
        if not said or said[0]["role"] != "system":
            said.insert(0, {"role": "system", "content": ""})
        text = f"{said[0]['content']}\n\n{_described(tools)}"
        said[0] = {"role": "system", "content": text.lstrip()}
        if messages[-1].role == "user":
            said[-1]["content"] += _reminder(messages[-1].content, tools)
    return said


def _reminder(question: str, tools: Sequence[Tool]) -> str:
    """A line behind a question that shares a word with a tool, naming the call.

    After some turns without a call the small models answer by guessing. Measured on four
    requests after three plain turns: without it 1 of 4 called the tool (0.5B) and 0 of 4
    (1.5B), with it 4 of 4 each; questions that share no word are left as they are.
    """
    near = [tool for tool in tools if _stems(question) & _stems(f"{tool.name} {tool.description}")]
    if not near:
        return ""
    calls = " or ".join(map(_example, near))
    return f"\n(If one of the tools fits, write only its JSON, such as {calls})"


def _example(tool: Tool) -> str:
    given = dict.fromkeys(tool.parameters.get("properties", {}), "...")
    return json.dumps({"name": tool.name, "arguments": given})


def _stems(text: str) -> set[str]:
    """Beginnings of the words that carry a meaning."""
    found = re.findall(r"[a-z]{4,}", text.lower().replace("_", " "))
    return {word[:5] for word in found} - _COMMON


def _plain(message: Message) -> dict[str, str]:
    if message.role == "tool":
        return {"role": "user", "content": _RESULT.format(said=message.content)}
    used = " and ".join(call.name for call in message.tool_calls)
    # in words: after a call in JSON the small models answer its result with another call
    text = f"I used {used}." if used and not message.content else message.content
    return {"role": message.role, "content": text}


def _described(tools: Sequence[Tool]) -> str:
    return "\n".join(["Tools you can use:", *map(_signature, tools), _HOW_TO_CALL])


def _signature(tool: Tool) -> str:
    """``- weather(city: string, days?: integer): Tells the weather of a city.``"""
    required = tool.parameters.get("required", ())
    given = ", ".join(
        f"{name}{'' if name in required else '?'}: {_kind(each)}"
        for name, each in tool.parameters.get("properties", {}).items()
    )
    return f"- {tool.name}({given}): {tool.description}"


def _kind(schema: Any) -> str:
    schema = schema if isinstance(schema, dict) else {}
    if choices := schema.get("enum"):
        return "|".join(map(str, choices))
    return str(schema.get("type", "any"))
