"""An ear, a mouth and a mind without models, exact to the sample and to the token."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence

import numpy as np

from ..audio import Floats
from ..config import VoiceConfig
from ..engine import (
    ChatOptions,
    LanguageModel,
    Recognition,
    SpeechToText,
    SpokenAudio,
    TextToSpeech,
)
from ..errors import EngineError
from ..events import Message, SpeakingStyle, Tool, ToolCall

WINDOW = 512
"""Samples (16 kHz) of one step of scripted sound; it carries one level."""
RATE = 8_000
"""Output rate of scripted speech."""
LETTER = RATE // 20
"""Samples of one letter of scripted speech: 50 ms."""


class ScriptedRecognition(Recognition):
    def __init__(self, stt: ScriptedSTT) -> None:
        self._stt = stt
        self._sound: list[Floats] = []

    def accept(self, samples: Floats) -> None:
        self._sound.append(samples)

    async def text(self, *, final: bool) -> str:
        sound = np.concatenate(self._sound)
        if self._stt.delay:
            await asyncio.sleep(self._stt.delay)
        if final and self._stt.failures:
            self._stt.failures -= 1
            raise EngineError("scripted", "the recogniser broke.")
        windows = np.rint(sound[WINDOW // 2 :: WINDOW] * 1000).astype(int)
        words: list[str] = []
        for value in windows[windows > 50]:
            word = f"u{value - 100}"
            if not words or words[-1] != word:
                words.append(word)
        return " ".join(words)


class ScriptedSTT(SpeechToText):
    name = "scripted"

    def __init__(self, settings: VoiceConfig, delay: float = 0.02) -> None:
        super().__init__(settings)
        self.delay = delay
        self.failures = 0

    def listen(self) -> Recognition:
        return ScriptedRecognition(self)


class ScriptedTTS(TextToSpeech):
    """Every letter lasts 50 ms; words are spread by the reply itself."""

    name = "scripted"
    sample_rate = RATE

    def __init__(self, settings: VoiceConfig, delay: float = 0.01) -> None:
        super().__init__(settings)
        self.delay = delay
        self.failures = 0
        self.spoken: list[str] = []

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        await asyncio.sleep(self.delay)
        if self.failures:
            self.failures -= 1
            raise EngineError("scripted", "the voice broke.")
        self.spoken.append(text)
        samples = np.full((len(text) + 1) * LETTER, 0.1, np.float32)
        half = len(samples) // 2
        yield SpokenAudio(samples[:half])
        await asyncio.sleep(self.delay)
        yield SpokenAudio(samples[half:])


class ScriptedLLM(LanguageModel):
    """Answers the n-th question with words an1 an2 ..., one token at a time."""

    name = "scripted"
    supports_tools = True

    def __init__(self, settings: VoiceConfig) -> None:
        super().__init__(settings)
        self.first_token = 0.05
        self.between = 0.01
        self.words = 12
        self.failures = 0
        self.fail_after = 3
        self.open = 0
        self.asked: list[tuple[Message, ...]] = []
        self.script: list[list[str | ToolCall]] = []
        self.yielded = 0

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        self.open += 1
        self.asked.append(tuple(messages))
        number = len(self.asked)
        pieces = self.script.pop(0) if self.script else self._words(number)
        try:
            await asyncio.sleep(self.first_token)
            for count, piece in enumerate(pieces):
                if self.failures and count == self.fail_after:
                    self.failures -= 1
                    raise EngineError("scripted", "the mind broke.")
                self.yielded += 1
                yield piece
                await asyncio.sleep(self.between)
        finally:
            self.open -= 1

    def _words(self, number: int) -> list[str | ToolCall]:
        ends = {4: ".", self.words - 1: "."}
        return [f"a{number}x{n}{ends.get(n, '')} " for n in range(self.words)]
