"""Moshi's frames as the sound of a reply: at the call's rate, with its words in their places."""

from __future__ import annotations

from coda_voice_plugin import Reply, Word
from coda_voice_plugin.audio import Floats, Resampler, to_pcm
from coda_voice_plugin.kyutai.frames import RATE
from coda_voice_plugin.kyutai.line import Spoken


class Playing:
    """Plays one spurt into a reply; one for each spurt. ``rate`` is the reply's, in hertz."""

    def __init__(self, reply: Reply, rate: int, *, captions: bool = True) -> None:
        self._reply = reply
        self._rate = rate
        self._captions = captions
        self._resample = Resampler(RATE, rate)
        self.given = 0
        """Samples given to the reply."""

    @property
    def unsent(self) -> int:
        """Samples of it that have not left for the client."""
        return self.given - self._reply.playback.sent

    async def play(self, spoken: Spoken, sound: Floats | None = None) -> None:
        """Play one frame; ``sound`` in place of its own, where it is faded."""

        def place(sample: int) -> int:
            scaled = round((sample - spoken.start) * self._rate / RATE)
            return max(scaled, -self.given)  # the resampler holds some samples back

        words = tuple(
            Word(word.text, place(word.start), place(word.end))
            for word in spoken.words
            if self._captions
        )
        await self._give(self._resample.push(spoken.sound if sound is None else sound), words)

    async def finish(self) -> None:
        """Play what the resampler holds back."""
        await self._give(self._resample.finish(), ())

    async def _give(self, sound: Floats, words: tuple[Word, ...]) -> None:
        pcm = to_pcm(sound)
        await self._reply.play(pcm, words)
        self.given += len(pcm) // 2
