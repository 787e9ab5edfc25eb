"""Short phrases that were spoken before, kept as sound: "One moment.", "Yes."."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import AsyncGenerator
from contextlib import aclosing

from ..engine import SpokenAudio, TextToSpeech
from ..events import SpeakingStyle

LONGEST = 48
"""Characters; longer text is hardly ever said twice."""
KEPT_S = 120.0
"""Seconds of sound in all; then the phrase that was not said for longest is forgotten."""


class PhraseCache:
    """Remembers what a voice made of short phrases; one for all calls of a process.

    Speaks as the engine does, sooner. What was cut off in the making is not kept.
    """

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str, SpeakingStyle], tuple[SpokenAudio, ...]] = (
            OrderedDict()
        )
        self._seconds = 0.0
        self.hits = 0

    async def synthesize(
        self, tts: TextToSpeech, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        """What ``tts.synthesize`` gives, from memory if it was said before."""
        key = (tts.label, text, style)
        if (kept := self._kept.get(key)) is not None:
            self._kept.move_to_end(key)
            self.hits += 1
            for piece in kept:
                yield piece
            return
        made = []
        async with aclosing(tts.synthesize(text, style)) as pieces:
            async for piece in pieces:
                made.append(piece)
                yield piece
        if len(text) <= LONGEST:
            self._keep(key, tuple(made), tts.sample_rate)

    def _keep(
        self, key: tuple[str, str, SpeakingStyle], made: tuple[SpokenAudio, ...], rate: int
    ) -> None:
        if key in self._kept:
            return  # another call made it at the same time
        self._kept[key] = made
        self._seconds += _seconds(made, rate)
        while self._seconds > KEPT_S:
            _, oldest = self._kept.popitem(last=False)
            self._seconds -= _seconds(oldest, rate)


def _seconds(made: tuple[SpokenAudio, ...], rate: int) -> float:
    return sum(len(piece.samples) for piece in made) / rate
