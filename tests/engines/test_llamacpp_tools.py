"""Tools and the change of models with real weights: Qwen 0.5B knows tools, SmolLM2 does not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio
from ollama_server import CHAT, OllamaServer, speak_through
from weather import WEATHER, config, look_outside

from coda_voice_plugin import (
    ChatOptions,
    ContextOverflowError,
    EngineError,
    Message,
    ToolCall,
    VoiceConfig,
    weights,
)
from coda_voice_plugin.engines.llamacpp import LlamaCpp, knows_tools
from coda_voice_plugin.engines.ollama import OllamaClient

pytestmark = [pytest.mark.real, pytest.mark.asyncio(loop_scope="module")]

SYSTEM = Message("system", VoiceConfig().prompt.system)
HELLO = [Message("user", "Hello.")]


def needs(*names: str) -> None:
    for name in names:
        if not weights.verified(name, VoiceConfig().models):
            pytest.skip(f"needs `coda-voice fetch {name}`")


async def read(mind: LlamaCpp | OllamaClient, messages: Any = HELLO, **more: Any) -> list[Any]:
    return [piece async for piece in mind.chat(messages, **more)]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def qwen() -> AsyncIterator[LlamaCpp]:
    needs("qwen2.5-coder-0.5b")
    async with LlamaCpp(config("qwen2.5-coder-0.5b")).open() as mind:
        yield mind


async def test_a_tool_is_called_and_its_result_told(qwen: LlamaCpp) -> None:
    await asks_for_the_weather(qwen)


async def test_a_greeting_calls_nothing(qwen: LlamaCpp) -> None:
    answer = await read(qwen, [SYSTEM, *HELLO], tools=[WEATHER])
    assert all(isinstance(piece, str) for piece in answer)
    assert "{" not in "".join(answer)


async def test_the_same_through_ollamas_api(qwen: LlamaCpp) -> None:
    server = OllamaServer(speak_through(qwen), {"qwen:0.5b": CHAT})
    async with (
        server.open(),
        OllamaClient(
            config("-", base_url=server.url, temperature=0, max_tokens=120)
        ).open() as mind,
    ):
        assert mind.supports_tools
        await asks_for_the_weather(mind)
        long = [Message("user", "again and again " * 600)]
        with pytest.raises(ContextOverflowError, match=r"has \d{4} tokens"):
            await read(mind, long)


async def asks_for_the_weather(mind: LlamaCpp | OllamaClient) -> None:
    messages = [SYSTEM, Message("user", "What is the weather in Rome today?")]
    answer = await read(mind, messages, tools=[WEATHER])
    (call,) = [piece for piece in answer if isinstance(piece, ToolCall)]
    assert call.name == "weather"
    assert call.arguments["city"] == "Rome"
    result = await look_outside(call.arguments)
    messages += [
        Message("assistant", "", tool_calls=(call,)),
        Message("tool", result, name="weather"),
    ]
    told = await read(mind, messages, tools=[WEATHER])
    assert "sunny" in "".join(map(str, told)).lower()


async def test_another_file_answers_from_the_next_answer_on() -> None:
    needs("smollm2-135m", "qwen2.5-coder-0.5b")
    async with LlamaCpp(config("qwen2.5-coder-0.5b")).open() as mind:
        assert mind.supports_tools
        short = ChatOptions(max_tokens=4)
        async with aclosing(mind.chat(HELLO, options=short)) as answer:
            assert await anext(answer)
            async with asyncio.TaskGroup() as group:
                switching = group.create_task(mind.switch("smollm2-135m"))
                rest = [piece async for piece in answer]
                await switching
            assert rest
        assert mind.label == "llamacpp smollm2-135m"
        assert not mind.supports_tools
        assert await read(mind, options=short)
        assert len(mind._all) == 1
        with pytest.raises(EngineError, match="neither a file nor one of"):
            await mind.switch("nowhere.gguf")
        assert await read(mind, options=short)


async def test_the_template_in_the_file_is_asked() -> None:
    needs("smollm2-135m", "qwen2.5-coder-0.5b")
    settings = VoiceConfig().models
    assert knows_tools(weights.find("qwen2.5-coder-0.5b", settings))
    assert not knows_tools(weights.find("smollm2-135m", settings))
