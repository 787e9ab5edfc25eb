"""Every mind of the house, held to the same contract."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import pytest
import pytest_asyncio
from ollama_server import CHAT, OllamaServer, speak_through

from coda_voice_plugin import LanguageModel, ToolCall, VoiceConfig, weights
from coda_voice_plugin.engines.auto import AutoMind
from coda_voice_plugin.engines.llamacpp import LlamaCpp
from coda_voice_plugin.engines.ollama import OllamaClient
from coda_voice_plugin.testing import LanguageModelContract, ScriptedLLM

SMALL = VoiceConfig.model_validate(
    {"embedded_llm": {"model": "smollm2-135m", "fallback_model": None, "context_window": 512}}
)
SERVER_TASKS = ("RequestHandler.", "BaseRequest", "BaseProtocol")
needs_smollm2 = pytest.mark.skipif(
    not weights.verified("smollm2-135m", SMALL.models),
    reason="needs `coda-voice fetch smollm2-135m`",
)


def settings(server: OllamaServer, **more: Any) -> VoiceConfig:
    return VoiceConfig.model_validate({"external_llm": {"base_url": server.url, **more}})


class Writing:
    """A scripted model behind the server, which knows how many answers it is writing."""

    def __init__(self) -> None:
        self.answers = 0

    async def answer(self, body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
        self.answers += 1
        try:
            if body.get("tools") and body["messages"][-1]["role"] == "user":
                yield ToolCall("weather", {"city": "Rome"})
                return
            for number in range(body["options"]["num_predict"]):
                await asyncio.sleep(0.01)
                yield f"word{number} "
        finally:
            self.answers -= 1


async def keeps_silent(body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
    await asyncio.Event().wait()
    yield ""


class TestScriptedMind(LanguageModelContract):
    repeats_itself = False  # it numbers its answers

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> LanguageModel:
        return ScriptedLLM(VoiceConfig())

    def working(self, engine: LanguageModel) -> bool:
        assert isinstance(engine, ScriptedLLM)
        return engine.writing > 0


class TestOllamaClient(LanguageModelContract):
    foreign_tasks = SERVER_TASKS
    calls_tools = True
    writing = Writing()

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def engine(cls) -> AsyncIterator[LanguageModel]:  # type: ignore[override]
        async with OllamaServer(cls.writing.answer).open() as server:
            yield OllamaClient(settings(server))

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def silent_engine(cls) -> AsyncIterator[LanguageModel]:  # type: ignore[override]
        async with OllamaServer(keeps_silent).open() as server:
            yield OllamaClient(settings(server, first_token_ms=200))

    def working(self, engine: LanguageModel) -> bool:
        return self.writing.answers > 0


class TestAutoMind(TestOllamaClient):
    """It passes everything on to the mind that it found."""

    writing = Writing()

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def engine(cls) -> AsyncIterator[LanguageModel]:  # type: ignore[override]
        async with OllamaServer(cls.writing.answer).open() as server:
            yield AutoMind(settings(server, fallback_enabled=False))


@pytest.mark.real
@needs_smollm2
class TestLlamaCpp(LanguageModelContract):
    overlong_turns = 30

    @pytest.fixture(scope="class")
    @classmethod
    def engine(cls) -> LanguageModel:
        return LlamaCpp(SMALL)

    @pytest.fixture(scope="class")
    @classmethod
    def silent_engine(cls) -> LanguageModel:
        """It reads a prompt for longer than a thousandth of a second."""
        hurried = SMALL.external_llm.model_copy(update={"first_token_ms": 1})
        return LlamaCpp(SMALL.model_copy(update={"external_llm": hurried}))


@pytest.mark.real
@needs_smollm2
class TestOllamaClientWithRealWeights(LanguageModelContract):
    foreign_tasks = SERVER_TASKS
    overlong_turns = 30
    writing = 0

    @pytest_asyncio.fixture(scope="class", loop_scope="class")
    @classmethod
    async def engine(cls) -> AsyncIterator[LanguageModel]:  # type: ignore[override]
        async with LlamaCpp(SMALL).open() as mind:
            speak = speak_through(mind)

            async def answer(body: dict[str, Any]) -> AsyncGenerator[str | ToolCall, None]:
                cls.writing += 1
                try:
                    async with aclosing(speak(body)) as pieces:
                        async for piece in pieces:
                            yield piece
                finally:
                    cls.writing -= 1

            async with OllamaServer(answer, {"tiny:latest": CHAT[:1]}).open() as server:
                yield OllamaClient(settings(server))

    def working(self, engine: LanguageModel) -> bool:
        return self.writing > 0
