"""One answer's sound: Moshi's voice and the other one take turns on it, and never speak at once."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np

from coda_voice_plugin import Call, Reply, Word
from coda_voice_plugin.audio import Floats, to_floats, to_pcm
from coda_voice_plugin.speakable import spoken_text

from .partner import Partner, Taking

MOST_GAIN = 2.0
"""6 dB."""
AUDIBLE = 0.01
"""Root mean square from which a piece of sound tells how loud a voice is."""


class Share:
    """Moshi, as one answer may use it.

    Once that answer is over nothing counts that it still asks for: its tasks may need a
    moment to end, and the next answer may have begun.
    """

    def __init__(self, partner: Partner) -> None:
        self._partner = partner
        self._used = False
        self._over = False

    def say(self, text: str) -> None:
        if self._uses():
            self._partner.say(text)

    def tell(self, text: str) -> None:
        if self._uses():
            self._partner.tell(text)

    def wake(self) -> None:
        if self._uses():
            self._partner.wake()

    def hold(self) -> None:
        if self._uses():
            self._partner.hold()

    def hush(self) -> None:
        if self._uses():
            self._partner.hush()

    def each_frame(self, does: Callable[[], None]) -> None:
        """Call ``does`` with each frame, until the answer is over."""
        if self._uses():
            self._partner.on_frame = does

    @contextmanager
    def take(self) -> Iterator[Taking]:
        if not self._uses():
            yield Taking()  # of which nothing comes
            return
        with self._partner.take() as taking:
            yield taking

    def end(self) -> None:
        """The answer is over, or cut: Moshi falls silent and listens. Only the first time
        counts."""
        if self._used and not self._over:
            self._partner.on_frame = lambda: None
            self._partner.untake()
            self._partner.hush()
        self._over = True

    def _uses(self) -> bool:
        self._used = self._used or not self._over
        return not self._over


class News(asyncio.Event):
    """An event that somebody is told of at once."""

    def __init__(self, tell: Callable[[], None]) -> None:
        super().__init__()
        self._tell = tell

    def set(self) -> None:
        super().set()
        self._tell()


class Stage:
    """What the opener and the answer share; one for each reply."""

    def __init__(self, call: Call, reply: Reply, partner: Partner) -> None:
        self.call = call
        self.reply = reply
        self.partner = partner
        """For its condition; what it does for this answer goes through :attr:`moshi`."""
        self.moshi = Share(partner)
        self.settings = call.config.hybrid
        self.mouth = asyncio.Lock()
        """Whoever holds it is heard."""
        self.open = asyncio.Event()
        """The user has paused, or is done: Moshi may speak, heard when the turn is confirmed."""
        self.ready = News(lambda: self.on_news())
        """The answer's first words could be heard now: the opener comes to its end."""
        self.on_news: Callable[[], None] = lambda: None
        """Called when the answer is ready, and when the turn is confirmed."""
        self.opened = ""
        """The words of the opener that were spoken."""
        self.told = ""
        """The opener as the mind was told of it: it may write that again."""
        self.loudness: list[float] = []
        """Of the opener, frame by frame."""
        self._gain: float | None = None
        self._before = 0  # characters of what was written that stand before the answer
        self._shadow: deque[tuple[int, str]] = deque()
        self._shadowed = False

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

    def shadow(self, text: str) -> None:
        """Have Moshi say ``text``, unheard, when the sound that comes next is sent."""
        if self.settings.shadow and self.partner.can_say:
            said = spoken_text(self.call.host.tts.sayable(text))
            self._shadow.append((self.reply.samples, said))
            self._shadowed = True
            self.moshi.each_frame(self.follow)

    def follow(self) -> None:
        """Give Moshi the words that are being heard now."""
        while self._shadow and self.reply.playback.sent > self._shadow[0][0]:
            self.moshi.say(self._shadow.popleft()[1])

    def unshadow(self) -> None:
        """Moshi is about to be heard: what it was to say unheard is dropped."""
        if self._shadowed:
            self._shadow.clear()
            self._shadowed = False
            self.moshi.hush()

    def leave(self) -> None:
        """The answer is over, or cut: Moshi listens again."""
        self._shadow.clear()
        self.moshi.end()


def _level(sound: Floats) -> float:
    return float(np.sqrt(np.mean(np.square(sound)))) if len(sound) else 0.0
