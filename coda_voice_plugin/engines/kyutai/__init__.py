"""Kyutai's recogniser and voice: in this process, or on their server.

Which of the two is used is said by ``kyutai.stt_url`` and ``kyutai.tts_url``: with an address
nothing is loaded here, and PyTorch is not needed. What is not used is not imported.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import TYPE_CHECKING, Self

from coda_voice_plugin import (
    Recognition,
    SpeakingStyle,
    SpeechToText,
    SpokenAudio,
    TextToSpeech,
    VoiceConfig,
    hookimpl,
)

if TYPE_CHECKING:
    from .local_tts import LocalKyutaiTTS
    from .remote_tts import RemoteKyutaiTTS


class KyutaiSTT(SpeechToText):
    """The ear that the settings ask for."""

    name = "kyutai"
    languages = ("en", "fr")

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        self._ear = _ear(config)

    @property
    def label(self) -> str:
        return self._ear.label

    async def weights(self) -> Sequence[Sequence[str]]:
        return await self._ear.weights()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        async with self._ear.open():
            yield self

    def listen(self) -> Recognition:
        return self._ear.listen()


class KyutaiTTS(TextToSpeech):
    """The mouth that the settings ask for."""

    name = "kyutai"
    languages = ("en", "fr")
    sample_rate = 24_000

    def __init__(self, config: VoiceConfig) -> None:
        super().__init__(config)
        self._mouth = _mouth(config)

    @property
    def label(self) -> str:
        return self._mouth.label

    async def weights(self) -> Sequence[Sequence[str]]:
        return await self._mouth.weights()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        async with self._mouth.open():
            yield self

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        async with aclosing(self._mouth.synthesize(text, style)) as pieces:
            async for piece in pieces:
                yield piece

    async def synthesize_stream(
        self, texts: AsyncIterable[str], style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        """Speak ``texts`` as one answer while they come; each holds whole words."""
        async with aclosing(self._mouth.synthesize_stream(texts, style)) as pieces:
            async for piece in pieces:
                yield piece


def _ear(config: VoiceConfig) -> SpeechToText:
    if config.kyutai.stt_url:
        from .remote_stt import RemoteKyutaiSTT

        return RemoteKyutaiSTT(config)
    from .local_stt import LocalKyutaiSTT

    return LocalKyutaiSTT(config)


def _mouth(config: VoiceConfig) -> LocalKyutaiTTS | RemoteKyutaiTTS:
    if config.kyutai.tts_url:
        from .remote_tts import RemoteKyutaiTTS

        return RemoteKyutaiTTS(config)
    from .local_tts import LocalKyutaiTTS

    return LocalKyutaiTTS(config)


@hookimpl
def register_stt(register: Callable[[type[SpeechToText]], None]) -> None:
    register(KyutaiSTT)


@hookimpl
def register_tts(register: Callable[[type[TextToSpeech]], None]) -> None:
    register(KyutaiTTS)
