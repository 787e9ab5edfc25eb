"""A host whose ear, mouth and strategy follow a script: real sessions, no models."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from coda_voice_plugin import (
    Call,
    Host,
    Recognition,
    SpeakingStyle,
    SpeechToText,
    SpokenAudio,
    Strategy,
    TextToSpeech,
    VoiceConfig,
    Word,
    hookimpl,
    load_plugins,
    open_host,
)
from coda_voice_plugin.engine import Floats

RATE = 24_000
WORD_S = 0.22


def ear(words: Iterator[str]) -> type[SpeechToText]:
    """An ear that writes down the next of ``words`` for each utterance it hears."""

    class Said(Recognition):
        def __init__(self) -> None:
            self.samples = 0
            self.line = next(words, "and so on")

        def accept(self, samples: Floats) -> None:
            self.samples += len(samples)

        async def text(self, *, final: bool) -> str:
            spoken = self.line.split()
            return " ".join(spoken if final else spoken[: max(1, self.samples // 5_000)])

    class ScriptedEar(SpeechToText):
        name = "scripted-ear"

        def listen(self) -> Recognition:
            return Said()

    return ScriptedEar


class ToneVoice(TextToSpeech):
    """A mouth that hums: each word is a tone of 220 ms."""

    name = "tone"

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        size = int(WORD_S * RATE)
        time = np.arange(size) / RATE
        envelope = np.sin(np.pi * time / WORD_S) ** 0.5
        for index, word in enumerate(text.split()):
            tones = [
                np.sin(2 * np.pi * tone * time) / tone for tone in (140, 280 + 40 * index, 900)
            ]
            samples = (60 * envelope * sum(tones)).astype(np.float32) / 2
            yield SpokenAudio(np.clip(samples, -0.8, 0.8), (Word(word, 0, size),))
            await asyncio.sleep(0)


def speaker(answers: Iterator[str], think_s: float) -> type[Strategy]:
    """A strategy that gives the next of ``answers``; some of them are special."""

    class Scripted(Strategy):
        name = "scripted"
        needs = ("stt", "tts")

        async def converse(self, call: Call) -> None:
            async for utterance in call.utterances():
                if utterance.text == "break":
                    raise RuntimeError("a bug in the strategy")
                if utterance.text == "flood":  # more than any socket buffer holds
                    for _ in range(400):
                        call.notify("flood", data="x" * 50_000)
                    continue
                if utterance.text == "goodbye":
                    return
                answer = next(answers, f"You said: {utterance.text}.")
                async with call.reply(utterance) as reply:
                    await asyncio.sleep(think_s)
                    reply.mark("llm_first_token")
                    reply.generated = answer
                    await reply.say(answer)

    return Scripted


@asynccontextmanager
async def scripted_host(
    store: Path,
    hears: list[str] | None = None,
    answers: list[str] | None = None,
    *,
    think_s: float = 0.0,
    recorded: bool = False,
    handlers: dict[str, Any] | None = None,
    **settings: Any,
) -> AsyncIterator[Host]:
    """A running host; ``settings`` are merged into the configuration."""
    strategy = speaker(iter(answers or []), think_s)

    @hookimpl
    def register_strategies(register: Any) -> None:
        register(strategy)

    @hookimpl
    def register_stt(register: Any) -> None:
        register(ear(iter(hears or [])))

    @hookimpl
    def register_tts(register: Any) -> None:
        register(ToneVoice)

    @hookimpl
    def register_protocols(register: Any) -> None:
        for path, handler in (handlers or {}).items():
            register(path, handler)

    parts = SimpleNamespace(
        register_strategies=register_strategies,
        register_stt=register_stt,
        register_tts=register_tts,
        register_protocols=register_protocols,
    )
    values = {
        "strategy": "scripted",
        "stt": "scripted-ear",
        "tts": "tone",
        "store": {"path": str(store / "sessions.db"), "audio": recorded},
        "audio": {"vad": "webrtc"},
        "turn": {"acoustic_hint": False},
        "server": {"port": 0},
        **settings,
    }
    others = ("ollama", "moonshine", "hibari", "llamacpp", "ollama-llm", "auto-llm", "echo")
    plugins = load_plugins(disabled=others, extra=[("scripted", parts)])
    async with open_host(VoiceConfig.model_validate(values), plugins) as host:
        yield host
