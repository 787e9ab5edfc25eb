from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Self

import pytest
from world import ScriptedLLM, ScriptedSTT, ScriptedTTS, World, config

from coda_voice_plugin import (
    BusyError,
    Call,
    EngineError,
    LanguageModel,
    PluginError,
    SpeechToText,
    Strategy,
    TextToSpeech,
    UnknownNameError,
    WeightsError,
    hookimpl,
    load_plugins,
    open_host,
    weights,
)
from coda_voice_plugin.host import needed_weights, provision
from coda_voice_plugin.strategies.ollama import OllamaStrategy

OPENED: list[str] = []


class Mind(ScriptedLLM):
    name = "mind"

    async def weights(self) -> Sequence[Sequence[str]]:
        return (("qwen2.5-coder-0.5b", "smollm2-135m"),)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        OPENED.append("mind")
        yield self
        OPENED.remove("mind")


class BrokenMind(Mind):
    name = "broken-mind"

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        raise EngineError("broken-mind", "there is no such model.")
        yield


class Quiet(Strategy):
    name = "quiet"

    async def converse(self, call: Call) -> None:
        async for _ in call.mic:
            pass


class Guests:
    @hookimpl
    def register_strategies(self, register: Callable[[type[Strategy]], None]) -> None:
        register(Quiet)

    @hookimpl
    def register_stt(self, register: Callable[[type[SpeechToText]], None]) -> None:
        register(ScriptedSTT)

    @hookimpl
    def register_tts(self, register: Callable[[type[TextToSpeech]], None]) -> None:
        register(ScriptedTTS)

    @hookimpl
    def register_llms(self, register: Callable[[type[LanguageModel]], None]) -> None:
        register(Mind)
        register(BrokenMind)


def guests() -> object:
    return load_plugins(extra=[("guests", Guests())])


SETTINGS = config(stt="scripted", tts="scripted", llm="mind", models={"offline": True})


async def test_engines_are_open_while_the_host_is_and_freed_after() -> None:
    async with open_host(SETTINGS, guests()) as host:
        assert OPENED == ["mind"]
        assert host.label("llm") == "mind"
        assert host.capacity == SETTINGS.server.max_sessions
    assert OPENED == []


async def test_what_was_opened_is_freed_when_the_next_engine_fails() -> None:
    settings = SETTINGS.model_copy(update={"llm": "broken-mind"})
    with pytest.raises(EngineError, match="there is no such model"):
        async with open_host(settings, guests()):
            pass
    assert OPENED == []


async def test_an_unknown_engine_is_told_with_the_nearest_name() -> None:
    settings = SETTINGS.model_copy(update={"llm": "minds"})
    with pytest.raises(UnknownNameError, match="Did you mean 'mind'"):
        async with open_host(settings, guests()):
            pass


async def test_a_strategy_must_say_what_it_needs() -> None:
    settings = SETTINGS.model_copy(update={"strategy": "quiet"})
    async with open_host(settings, guests()) as host:
        assert host.label("llm") == ""
        with pytest.raises(PluginError, match=r"strategy 'quiet' uses llm"):
            _ = host.llm


def test_a_full_house_is_busy_and_a_place_comes_back() -> None:
    world = World(OllamaStrategy(), config(server={"max_sessions": 1}))
    with world.host.admit(), pytest.raises(BusyError, match="all 1 places"), world.host.admit():
        pass
    with world.host.admit():
        assert world.host.calls == 1


def test_a_reload_changes_what_can_change_live_and_nothing_else() -> None:
    world = World(OllamaStrategy())
    new = config(turn={"barge_in_ms": 300}, tts="another")
    world.host.reload(new)
    assert world.host.config.turn.barge_in_ms == 300
    assert world.host.config.tts == world.config.tts


async def test_the_hearing_and_the_engines_name_their_weights() -> None:
    settings = SETTINGS.model_copy(
        update={
            "audio": SETTINGS.audio.model_copy(update={"vad": "silero"}),
            "turn": SETTINGS.turn.model_copy(update={"acoustic_hint": True}),
        }
    )
    assert await needed_weights(settings, guests()) == [
        ("silero-vad",),
        ("smart-turn",),
        ("qwen2.5-coder-0.5b", "smollm2-135m"),
    ]


async def test_the_next_weights_are_fetched_when_the_first_cannot_be_had(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = []

    def fetch(name: str, *_: object) -> Path:
        asked.append(name)
        if name.startswith("qwen"):
            raise WeightsError("the hub does not answer.")
        return tmp_path

    monkeypatch.setattr(weights, "fetch", fetch)
    assert await provision(SETTINGS, guests()) == [tmp_path]
    assert asked == ["qwen2.5-coder-0.5b", "smollm2-135m"]


async def test_weights_that_cannot_be_had_at_all_are_one_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fetch(name: str, *_: object) -> Path:
        raise WeightsError(f"{name}: nobody has it.")

    monkeypatch.setattr(weights, "fetch", fetch)
    with pytest.raises(WeightsError, match=r"qwen.*; smollm2"):
        await provision(SETTINGS, guests())
