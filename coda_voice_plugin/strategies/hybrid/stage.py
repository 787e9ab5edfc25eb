"""One answer's sound: Moshi's voice and the other one take turns on it, and never speak at once."""

from __future__ import annotations

import asyncio
from collections import deque

import numpy as np

from coda_voice_plugin import Call, Reply, Word
from coda_voice_plugin.audio import Floats, to_floats, to_pcm
from coda_voice_plugin.speakable import spoken_text

from .partner import Partner

MOST_GAIN = 2.0
"""6 dB."""
AUDIBLE = 0.01
"""Root mean square from which a piece of sound tells how loud a voice is."""


class Stage:
    """What the opener and the answer share; one for each reply."""

    def __init__(self, call: Call, reply: Reply, partner: Partner) -> None:
        self.call = call
        self.reply = reply
        self.partner = partner
        self.settings = call.config.hybrid
        self.mouth = asyncio.Lock()
        """Whoever holds it is heard."""
        self.open = asyncio.Event()
        """The user has paused, or is done: Moshi may speak, heard when the turn is confirmed."""
        self.ready = asyncio.Event()
        """The answer's first words could be heard now: the opener comes to its end."""
        self.opened = ""
        """The words of the opener that were spoken."""
        self.loudness: list[float] = []
        """Of the opener, frame by frame."""
        self._gain: float | None = None
        self._before = 0  # characters of what was written that stand before the answer
        self._with_moshi = False
        self._left = False
        self._shadow: deque[tuple[int, str]] = deque()

    @property
    def seam(self) -> int:
        """Samples of a fade, at the reply's rate."""
        return self.settings.seam_ms * self.call.output_rate // 1000

    async def give(
        self, pcm: bytes, words: tuple[Word, ...] = (), *, before: int = 0, fade: bool = False
    ) -> None:
        """Play a piece of the other voice, as loud as Moshi's.

        ``words`` count from ``before`` samples ahead of it; with ``fade`` it comes in
        softly, because Moshi has just spoken.
        """
        sound = to_floats(pcm)
        gain = self._match(sound)
        if fade or gain != 1.0:
            sound = sound * gain
            if fade:
                ramp = min(self.seam, len(sound))
                sound[:ramp] *= np.linspace(0.0, 1.0, ramp, dtype=np.float32)
            pcm = to_pcm(np.clip(sound, -1.0, 1.0))
        placed = tuple(Word(each.text, each.start - before, each.end - before) for each in words)
        await self.reply.play(pcm, placed)

    def _match(self, sound: Floats) -> float:
        """Decided by the first audible piece, and then kept: a voice does not change in a word."""
        if self._gain is None and self.settings.match_level and self.loudness:
            level = _level(sound)
            if level < AUDIBLE:
                return 1.0
            target = float(np.sqrt(np.mean(np.square(self.loudness))))
            self._gain = float(np.clip(target / level, 1 / MOST_GAIN, MOST_GAIN))
        return 1.0 if self._gain is None else self._gain

    def note_opener(self, text: str) -> None:
        """``text`` is said before the answer, of which some may be written already."""
        reply, text = self.reply, f"{text} "
        at = len(reply.generated) if reply.has_content else self._before
        reply.generated = reply.generated[:at] + text + reply.generated[at:]
        self._before = at + len(text)

    # Moshi's part in it.

    def with_moshi(self) -> Partner:
        """Moshi takes part in this answer, so that it must be told when that is over."""
        self._with_moshi = True
        return self.partner

    def shadow(self, text: str) -> None:
        """Have Moshi say ``text``, unheard, when the sound that comes next is sent."""
        if self.settings.shadow and self.partner.can_say:
            said = spoken_text(self.call.host.tts.sayable(text))
            self._shadow.append((self.reply.samples, said))
            self.with_moshi().on_frame = self.follow

    def follow(self) -> None:
        """Give Moshi the words that are being heard now."""
        while self._shadow and self.reply.playback.sent >= self._shadow[0][0]:
            self.partner.say(self._shadow.popleft()[1])

    def leave(self) -> None:
        """The answer is over, or cut: Moshi listens again. Only the first time counts, since
        the next answer may have begun since."""
        if self._left:
            return
        self._left = True
        self._shadow.clear()
        if self._with_moshi:
            self.partner.on_frame = lambda: None
            self.partner.hush()


def _level(sound: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0
