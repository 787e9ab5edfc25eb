"""The embedded mind keeps the promises that a server's mind keeps: tools, deadlines, switching."""

from __future__ import annotations

import asyncio
import struct
import threading
from collections.abc import Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from weather import WEATHER, config

from coda_voice_plugin import (
    AnswerBrokenError,
    ContextOverflowError,
    EngineError,
    EngineTimeoutError,
    Message,
    ToolCall,
    VoiceConfig,
)
from coda_voice_plugin.engines.llamacpp import LlamaCpp, _Loaded, knows_tools
from coda_voice_plugin.engines.ollama import OllamaClient
from coda_voice_plugin.engines.tool_prompt import with_tools

SYSTEM = Message("system", VoiceConfig().prompt.system)
HELLO = [Message("user", "Hello.")]


class ScriptedServer:
    """llama.cpp's side of a request: gives events until it is told to stop."""

    def __init__(self, *events: Any) -> None:
        self.events = events
        self.given = 0

    def handle_chat_completions(self, request: Any, take: Callable[[Any], bool]) -> None:
        for event in self.events:
            if callable(event):
                event()
                continue
            self.given += 1
            if take(event if isinstance(event, dict) else said(event)):
                return


def said(text: str) -> dict[str, Any]:
    return {"choices": [{"delta": {"content": text}}]}


def scripted(*events: Any, tools: bool = True, **settings: Any) -> LlamaCpp:
    mind = LlamaCpp(config("scripted", **settings))
    mind._loaded = _Loaded("scripted", ScriptedServer(*events), tools, 1)
    return mind


async def read(mind: LlamaCpp | OllamaClient, messages: Any = HELLO, **more: Any) -> list[Any]:
    return [piece async for piece in mind.chat(messages, **more)]


def slowly(release: Any) -> Callable[[], None]:
    return lambda: release.wait(10)


async def test_thinking_is_never_spoken() -> None:
    assert await read(scripted("<thi", "nk>a", "</think>", "Yes.")) == ["Yes."]


async def test_calls_written_as_text_are_calls() -> None:
    text = '{"name": "weather", "arguments": {"city": "Rome"}}'
    call = ToolCall("weather", {"city": "Rome"})
    assert await read(scripted("Wait. ", *text), tools=[WEATHER]) == ["Wait. ", call]
    assert "".join(await read(scripted(*text))) == text


async def test_a_model_that_was_taught_no_tools_refuses_them() -> None:
    mind = scripted("Hi.", tools=False)
    assert not mind.supports_tools
    with pytest.raises(EngineError, match="cannot call tools"):
        await read(mind, tools=[WEATHER])


async def test_an_empty_answer_is_no_piece() -> None:
    assert await read(scripted("", "")) == []


async def test_silence_before_the_first_token_is_late_though_the_prompt_is_read() -> None:
    release = threading.Event()
    mind = scripted("", slowly(release), "Hi.", first_token_ms=50)
    asyncio.get_running_loop().call_later(0.3, release.set)
    with pytest.raises(EngineTimeoutError, match=r"first token.*50 ms"):
        await read(mind)


async def test_silence_between_two_tokens_is_late() -> None:
    release = threading.Event()
    mind = scripted("Hi", slowly(release), " there.", " More.", between_tokens_ms=50)
    asyncio.get_running_loop().call_later(0.3, release.set)
    async with aclosing(mind.chat(HELLO)) as answer:
        assert await anext(answer) == "Hi"
        with pytest.raises(EngineTimeoutError, match=r"next token.*50 ms"):
            await anext(answer)
    server: Any = mind._loaded and mind._loaded._server
    assert server.given == 2  # it was told to stop at its next word


async def test_who_waits_too_long_for_a_place_is_late() -> None:
    release = threading.Event()
    mind = scripted("Hi", slowly(release), first_token_ms=100, between_tokens_ms=10_000)
    async with aclosing(mind.chat(HELLO)) as busy:
        assert await anext(busy) == "Hi"
        with pytest.raises(EngineTimeoutError, match="first token"):
            await read(mind)
        release.set()
        assert [piece async for piece in busy] == []
    release.set()
    assert await read(mind) == ["Hi"]


async def test_a_failure_is_told_by_its_kind() -> None:
    over = {"type": "exceed_context_size_error", "n_prompt_tokens": 900, "n_ctx": 512}
    with pytest.raises(ContextOverflowError, match="has 900 tokens and 512 fit") as raised:
        await read(scripted({"error": over}))
    assert (raised.value.need, raised.value.have) == (900, 512)
    with pytest.raises(EngineError, match="refused the request: no"):
        await read(scripted({"error": {"message": "no"}}))
    with pytest.raises(AnswerBrokenError, match="in the middle"):
        await read(scripted("Hi", {"error": {"message": "no"}}))

    def breaks() -> None:
        raise RuntimeError("no memory")

    with pytest.raises(EngineError, match="refused the request: no memory"):
        await read(scripted(breaks))


def test_tools_are_told_in_a_line_each_behind_the_system_prompt() -> None:
    first, second = with_tools([SYSTEM, *HELLO], [WEATHER])
    assert first["content"].startswith(SYSTEM.content)
    signature = "- weather(city: string, days?: integer, unit?: C|F): Tells the weather of a city."
    assert signature in first["content"].splitlines()
    assert second == {"role": "user", "content": "Hello."}
    (alone, _) = with_tools(HELLO, [WEATHER])
    assert alone["role"] == "system"
    assert with_tools(HELLO, ()) == [second]


def test_a_call_and_its_result_are_told_in_words() -> None:
    call = ToolCall("weather", {"city": "Rome"})
    told = with_tools(
        [
            Message("assistant", "", tool_calls=(call,)),
            Message("assistant", "Let me look.", tool_calls=(call,)),
            Message("tool", "Sunny.", name="weather"),
        ],
        (),
    )
    assert [each["role"] for each in told] == ["assistant", "assistant", "user"]
    assert [each["content"] for each in told] == [
        "I used weather.",
        "Let me look.",
        "Sunny.\nNow answer me in one short sentence, without JSON.",
    ]


@pytest.mark.parametrize(("template", "knows"), [("{% if tools %}", True), ("{{ m }}", False)])
def test_a_template_says_whether_its_model_knows_tools(
    tmp_path: Path, template: str, knows: bool
) -> None:
    key = b"tokenizer.chat_template"
    value = struct.pack("<IQ", 8, len(template)) + template.encode()
    path = tmp_path / "model.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<Q", len(key)) + key + value + b"tools")
    assert knows_tools(path) is knows
    path.write_bytes(b"GGUF, and no template for tools")
    assert not knows_tools(path)
