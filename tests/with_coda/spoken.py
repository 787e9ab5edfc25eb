"""A voice for these tests: real sound and real turn detection, scripted ear, mind and mouth."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import numpy as np
from human_speech import clips

from coda_voice_plugin import (
    Call,
    ChatOptions,
    LanguageModel,
    Message,
    Recognition,
    SpeakingStyle,
    SpeechToText,
    SpokenAudio,
    Strategy,
    TextToSpeech,
    Tool,
    ToolCall,
    VoiceConfig,
    hookimpl,
)
from coda_voice_plugin.audio import Floats, to_pcm

QUESTION = "What time is it?"


class Mirror(Strategy):
    """Plays back each frame of the microphone as it comes."""

    name = "mirror"

    async def converse(self, call: Call) -> None:
        async with call.reply() as reply:
            async for frame in call.mic:
                await reply.play(frame.pcm)


class Script:
    """What will be heard and answered, and what the mind was asked."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        """Told one after the other, then :data:`QUESTION`."""
        self.answers: list[list[str | ToolCall]] = []
        """Written one after the other, then "It is noon."."""
        self.asked: list[tuple[Message, ...]] = []
        self.tools: list[tuple[str, ...]] = []
        """Names of the tools that the mind was offered, by question."""

    def texts(self, question: int = -1) -> list[str]:
        return [message.content for message in self.asked[question]]


def plugin(script: Script) -> object:
    """Registers ``stt``, ``tts`` and ``llm`` named "scripted"."""

    class Words(Recognition):
        def __init__(self) -> None:
            self.text_now: str | None = None

        def accept(self, samples: Floats) -> None:
            pass

        async def text(self, *, final: bool) -> str:
            if self.text_now is None:
                self.text_now = script.heard.pop(0) if script.heard else QUESTION
            return self.text_now

    class Ear(SpeechToText):
        name = "scripted"

        def listen(self) -> Recognition:
            return Words()

    class Mouth(TextToSpeech):
        name = "scripted"
        sample_rate = 16_000

        async def synthesize(
            self, text: str, style: SpeakingStyle
        ) -> AsyncGenerator[SpokenAudio, None]:
            await asyncio.sleep(0)
            yield SpokenAudio(np.full(400 * len(text), 0.1, np.float32))

    class Mind(LanguageModel):
        name = "scripted"
        supports_tools = True

        async def chat(
            self,
            messages: Sequence[Message],
            *,
            tools: Sequence[Tool] = (),
            options: ChatOptions | None = None,
        ) -> AsyncGenerator[str | ToolCall, None]:
            script.asked.append(tuple(messages))
            script.tools.append(tuple(tool.name for tool in tools))
            await asyncio.sleep(0)
            for piece in script.answers.pop(0) if script.answers else ["It is noon."]:
                yield piece

    class Scripted:
        @hookimpl
        def register_strategies(self, register: Callable[[type], None]) -> None:
            register(Mirror)

        @hookimpl
        def register_stt(self, register: Callable[[type], None]) -> None:
            register(Ear)

        @hookimpl
        def register_tts(self, register: Callable[[type], None]) -> None:
            register(Mouth)

        @hookimpl
        def register_llms(self, register: Callable[[type], None]) -> None:
            register(Mind)

    return Scripted()


def settings(**changes: Any) -> VoiceConfig:
    """Settings that need no model files and no port but a free one."""
    given: dict[str, Any] = {
        "strategy": "ollama",
        "stt": "scripted",
        "tts": "scripted",
        "llm": "scripted",
        "audio": {"sample_rate": 16_000, "vad": "webrtc"},
        "turn": {"acoustic_hint": False, "text_hint": False, "unsure_ms": 300},
        "prompt": {"summary_tokens": 0},
        "server": {"port": 0},
    }
    for key, value in changes.items():
        given[key] = {**given.get(key, {}), **value} if isinstance(value, dict) else value
    return VoiceConfig.model_validate(given)


def speech(seconds: float = 1.5) -> bytes:
    """Somebody speaking: PCM16 at 16 kHz."""
    _, samples = clips()[0]
    return to_pcm(samples[: round(16_000 * seconds)])


def wav(pcm: bytes, rate: int = 16_000) -> bytes:
    """``pcm`` as a WAV file."""
    import io
    import wave

    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(rate)
        out.writeframes(pcm)
    return file.getvalue()
