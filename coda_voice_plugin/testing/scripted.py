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
    """One utterance of scripted sound."""

    def __init__(self, stt: ScriptedSTT) -> None:
        self._stt = stt
        self._sound: list[Floats] = []

    def accept(self, samples: Floats) -> None:
        self._sound.append(samples)

    async def text(self, *, final: bool) -> str:
        sound = np.concatenate([np.zeros(0, np.float32), *self._sound])
        if self._stt.delay:
            await asyncio.sleep(self._stt.delay)
        if final and self._stt.failures:
            self._stt.failures -= 1
            raise EngineError("scripted", "the recogniser broke.")
        words: list[str] = []
        for level in levels(sound):
            word = f"u{level - 100}"
            if not words or words[-1] != word:
                words.append(word)
        return " ".join(words)


def levels(sound: Floats) -> list[int]:
    """Level, in thousandths, of each window that is loud enough and of one level."""
    middle = sound[WINDOW // 2 :: WINDOW]
    before = sound[WINDOW // 2 - 1 :: WINDOW][: len(middle)]
    level = np.rint(1000 * middle[(middle > 0.0505) & (middle < 2.0) & (middle == before)])
    return [int(each) for each in level]


class ScriptedSTT(SpeechToText):
    """Hears word ``k`` where the sound has the level ``(100 + k) / 1000``.

    Each of the next ``failures`` final texts is an EngineError instead.
    """

    name = "scripted"

    def __init__(self, settings: VoiceConfig, delay: float = 0.02) -> None:
        super().__init__(settings)
        self.delay = delay
        self.failures = 0

    def listen(self) -> Recognition:
        return ScriptedRecognition(self)


class ScriptedTTS(TextToSpeech):
    """Every letter lasts 50 ms; words are spread by the reply itself.

    Each of the next ``failures`` texts is an EngineError instead.
    """

    name = "scripted"
    sample_rate = RATE

    def __init__(self, settings: VoiceConfig, delay: float = 0.01) -> None:
        super().__init__(settings)
        self.delay = delay
        self.failures = 0
        self.spoken: list[str] = []
        """What it was asked to say."""

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        await asyncio.sleep(self.delay)
        if self.failures:
            self.failures -= 1
            raise EngineError("scripted", "the voice broke.")
        if not any(map(str.isalnum, text)):
            return
        self.spoken.append(text)
        samples = np.full((len(text) + 1) * LETTER, 0.1, np.float32)
        half = len(samples) // 2
        yield SpokenAudio(samples[:half])
        await asyncio.sleep(self.delay)
        yield SpokenAudio(samples[half:])


class ScriptedLLM(LanguageModel):
    """Answers the n-th question with words an1 an2 ..., one token at a time.

    ``script`` replaces the next answers. Each of the next ``failures`` answers breaks
    off with an EngineError before its piece number ``fail_after``.
    """

    name = "scripted"
    supports_tools = True

    def __init__(self, settings: VoiceConfig) -> None:
        super().__init__(settings)
        self.first_token = 0.05
        """Seconds before the first token."""
        self.between = 0.01
        """Seconds after each token."""
        self.words = 12
        self.failures = 0
        self.fail_after = 3
        self.model = ""
        """The model that :meth:`switch` has chosen."""
        self.writing = 0
        """Answers that are being written now."""
        self.asked: list[tuple[Message, ...]] = []
        """What it read, by question."""
        self.script: list[list[str | ToolCall]] = []
        self.yielded = 0
        """Pieces given in all."""

    @property
    def label(self) -> str:
        return f"{self.name} {self.model}".strip()

    async def switch(self, model: str) -> None:
        """Any model will do but "none"."""
        await asyncio.sleep(0.02)
        if model == "none":
            raise EngineError(self.name, f"has no model {model!r}.")
        self.model = model

    async def chat(
        self,
        messages: Sequence[Message],
        *,
        tools: Sequence[Tool] = (),
        options: ChatOptions | None = None,
    ) -> AsyncGenerator[str | ToolCall, None]:
        self.writing += 1
        self.asked.append(tuple(messages))
        number = len(self.asked)
        pieces = self.script.pop(0) if self.script else self._words(number)
        pieces = pieces[: (options or ChatOptions()).max_tokens]
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
            self.writing -= 1

    def _words(self, number: int) -> list[str | ToolCall]:
        ends = {4: ".", self.words - 1: "."}
        return [f"a{number}x{n}{ends.get(n, '')} " for n in range(self.words)]
