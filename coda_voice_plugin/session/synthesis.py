"""The sound of a text, at the rate of a call, and where its words are in it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING

from ..audio import Resampler, to_pcm
from ..events import SpeakingStyle, Word
from ..speakable import align, spoken_text
from .playback import spread_words

if TYPE_CHECKING:
    from ..host import Host


async def speak(
    host: Host, text: str, style: SpeakingStyle, rate: int
) -> AsyncGenerator[tuple[bytes, tuple[Word, ...]], None]:
    """PCM16 mono at ``rate`` and, with the last piece, the words, whose places count from the
    first sample. Nothing for a text without words. Raises EngineError."""
    tts = host.tts
    tokens = tts.sayable(text)
    if not tokens:
        return
    said = spoken_text(tokens)
    words: tuple[Word, ...] = ()
    samples = 0
    resample = Resampler(tts.sample_rate, rate)
    scale = rate / tts.sample_rate
    async with aclosing(host.phrases.synthesize(tts, said, style)) as pieces:
        async for piece in pieces:
            words += tuple(scaled(word, scale, samples) for word in piece.words)
            pcm = to_pcm(resample.push(piece.samples))
            samples += len(pcm) // 2
            yield pcm, ()
    pcm = to_pcm(resample.finish())
    samples += len(pcm) // 2
    yield pcm, align(tokens, words or spread_words(said, 0, samples))


def scaled(word: Word, scale: float, offset: int) -> Word:
    """``word`` in samples of another rate, counted from ``offset`` earlier."""
    return Word(word.text, offset + round(word.start * scale), offset + round(word.end * scale))
