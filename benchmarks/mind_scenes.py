"""Models, voices and words for ``mind.py``."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from coda_voice_plugin import SpeakingStyle, SpokenAudio, TextToSpeech, VoiceConfig, hookimpl
from coda_voice_plugin.engines.llamacpp import LlamaCpp

MODEL = "smollm2-135m"
TOKEN_S = 0.03
"""Between two tokens of the scripted model."""
ANSWERS = (
    "The weather stays calm today, with a little rain in the evening. "
    "Tomorrow morning you may see some snow on the hills around the lake.",
    "Bread needs flour, water, salt and a lot of patience. "
    "Let the dough rest for an hour, then bake it until the crust turns brown.",
    "Whales sleep with one half of their brain at a time. "
    "The other half keeps them breathing, and watches for anything that comes near.",
    "Your train leaves at noon from the second platform. "
    "If you walk quickly, there is still time to buy a newspaper and something to drink.",
    "Rome was not built in a day, as people like to say. "
    "Most of its old streets, though, were laid out within a single lifetime.",
    "A good song often begins with a simple melody. "
    "Hum it while you walk, and write down only what you still remember at home.",
)
QUESTIONS = (
    "What is the capital of France?",
    "Tell me something about the moon.",
    "What do cows eat?",
    "Name a large city in Japan.",
    "Is the sun a star?",
    "How do birds find their way?",
    "What should I cook tonight?",
    "Who wrote the play Hamlet?",
)


@dataclass
class Model:
    """A scripted model behind Ollama's API; notes when each token left."""

    first_s: float = 0.2
    token_s: float = TOKEN_S
    text: str = ANSWERS[0]
    tokens: list[float] = field(default_factory=list)
    """When each token of the last answer left."""
    closed: float = 0.0
    """When the last answer ended, or was left."""

    async def answer(self, body: dict[str, Any]) -> AsyncGenerator[str, None]:
        loop = asyncio.get_running_loop()
        self.tokens.clear()
        try:
            await asyncio.sleep(self.first_s)
            for number, word in enumerate(self.text.split()):
                self.tokens.append(loop.time())
                yield f" {word}" if number else word
                await asyncio.sleep(self.token_s)
        finally:
            self.closed = loop.time()


class NotedVoice(TextToSpeech):
    """A voice that notes when it was asked for what."""

    def __init__(self, voice: TextToSpeech) -> None:
        self._voice = voice
        self.name, self.sample_rate = voice.name, voice.sample_rate
        self.asked: list[tuple[float, int]] = []
        """When, and how many words."""

    @property
    def label(self) -> str:
        return self._voice.label

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        self.asked.append((asyncio.get_running_loop().time(), len(text.split())))
        async with aclosing(self._voice.synthesize(text, style)) as pieces:
            async for piece in pieces:
                yield piece


class QuickVoice(TextToSpeech):
    """Every word lasts a hundredth of a second, so that nobody waits for the listener."""

    name = "quick"

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        yield SpokenAudio(np.full(len(text.split()) * self.sample_rate // 100, 0.1, np.float32))


class Counting:
    """In front of llama.cpp: notes how much of each prompt was read anew."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.timings: list[dict[str, Any]] = []

    def handle_chat_completions(self, request: dict[str, Any], take: Callable[[Any], bool]) -> None:
        def noted(event: Any) -> bool:
            for part in event if isinstance(event, list) else [event]:
                if "timings" in part and part["timings"].get("predicted_n"):
                    self.timings.append(part["timings"])
            return take(event)

        self._server.handle_chat_completions(request, noted)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._server, name)


class Memory:
    """A plugin that adds a line to every prompt, another one each time."""

    turn = 0

    @hookimpl
    def reply_context(self) -> str:
        self.turn += 1
        return f"The user looked at the clock {self.turn} times today."


def small() -> LlamaCpp:
    return LlamaCpp(
        VoiceConfig.model_validate(
            {"embedded_llm": {"model": MODEL, "fallback_model": None, "max_tokens": 40}}
        )
    )
