"""The sound of one utterance on its way to a recogniser, and the words that come back."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace

import numpy as np

from coda_voice_plugin import MIC_RATE, Word
from coda_voice_plugin.audio import Floats, Resampler
from coda_voice_plugin.wire.kyutai import FRAME, RATE, HeardWord, Marker, Step, WordEnd

KEPT_S = 60
"""Seconds of sound that can be sent again at most; older sound is then lost with a connection."""
LEAD = 2
"""Frames of silence before a marker: a last word is still being spelt when its sound is over,
and a busy server counts a marker's delay in steps that it made for others too."""
TAIL = 6
"""Frames of silence after it that are under way at once: the delay of ``stt-1b``. The server
answers when its model's delay has passed, and it has no clock but frames."""
BLIND_TAIL = 40
"""The same for a model that does not tell its steps: ``stt-2.6b``, whose delay is 32. Fewer
at first would be too few on a server that makes steps for others meanwhile."""
MAX_TAIL = 125
"""Frames after it at most, 10 s; Kyutai's own server appends as much to a file."""
CERTAIN = 8
"""Frames without a step told after which a server that we do not know tells none."""
PAUSE = 2
"""Which of the probabilities of a step is the pause that ends a turn."""
_SILENCE = np.zeros(FRAME, np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame for the server; ``begin`` and ``length`` are samples of the utterance at 24 kHz."""

    pcm: Floats
    begin: int
    length: int


@dataclass(slots=True)
class Manner:
    """What is known of a server from other utterances."""

    tells_steps: bool | None = None


class Tape:
    """Keeps every frame until a marker after it was answered: only then are its words final.

    What was sent on a connection that is lost is sent again on the next one, and the
    words that came for it are forgotten, so no sample is lost or heard twice.
    """

    def __init__(self, manner: Manner | None = None) -> None:
        self._manner = manner or Manner()
        self._resampler = Resampler(MIC_RATE, RATE)
        self._rest: Floats = np.zeros(0, np.float32)
        self._length = 0  # samples of the utterance at 24 kHz
        self._items: deque[Frame | Marker] = deque()
        self._sent = 0  # of them on this connection
        self._frames: list[tuple[int, int]] = []  # begin and length of those sent on it
        self._steps = 0
        self._kept = 0  # samples of the utterance in _items
        self._words: list[Word] = []
        self._final = 0  # words that stay whatever happens
        self._marks = 0
        self._tail = 0  # frames of silence after the newest marker
        self._fresh = False  # sound came after the newest marker
        self.pending: set[int] = set()
        """Markers that were not answered yet."""
        self.probability: float | None = None
        """That the user has stopped speaking, as of the last frame of the utterance that was
        heard; None before there is one, and for a model that does not judge it."""

    def push(self, samples: Floats) -> None:
        """Take the next samples (16 kHz)."""
        if len(samples):
            self._fresh = True
            self._cut(self._resampler.push(np.nan_to_num(samples)))

    def mark(self) -> int | None:
        """Close what came so far with a marker, and return its number.

        None when the words of everything are final already.
        """
        if not self._fresh:
            return max(self.pending, default=None)
        self._fresh = False
        self._cut(self._resampler.finish())
        if length := len(self._rest):
            self._add(np.pad(self._rest, (0, FRAME - length)), length)
            self._rest = self._rest[:0]
        self._marks += 1
        self.pending.add(self._marks)
        self._items.extend(Frame(_SILENCE, self._length, 0) for _ in range(LEAD))
        self._items.append(Marker(self._marks))
        self._tail = 0
        tells = self._manner.tells_steps
        if tells is None:
            tells = self._steps > 0 or len(self._frames) < CERTAIN
        self._add_tail(TAIL if tells else BLIND_TAIL)
        return self._marks

    def fill(self, *, blindly: bool = False) -> None:
        """Add silence if the server needs more to answer a marker.

        Where each step is told, what is under way stays the same; ``blindly`` is for
        models that tell none.
        """
        if not self.pending or not self._all_sent:
            return
        if self._manner.tells_steps:
            self._add_tail(1 if self.under_way < TAIL else 0)
        elif blindly:
            self._add_tail(BLIND_TAIL)

    def rewind(self) -> None:
        """A new connection: begin with the first frame whose words are not final."""
        self._sent = self._steps = 0
        self._frames.clear()
        first = next((item.begin for item in self._items if isinstance(item, Frame)), self._length)
        kept = sum(1 for word in self._words if word.end < _at_mic_rate(first))
        self._words = self._words[: max(self._final, kept)]

    def next(self) -> Frame | Marker | None:
        """What to send now; None when there is nothing."""
        if self._all_sent:
            return None
        item = self._items[self._sent]
        self._sent += 1
        if isinstance(item, Frame):
            self._frames.append((item.begin, item.length))
        return item

    @property
    def wanted(self) -> bool:
        """Whether a connection is needed: there is sound without final words, or a marker."""
        return self._kept > 0 or bool(self.pending)

    @property
    def under_way(self) -> int:
        """Frames that were sent and not told to be heard."""
        return max(0, len(self._frames) - self._steps)

    @property
    def backlog_s(self) -> float:
        """Seconds of sound that the server has not heard."""
        return (self.under_way + len(self._items) - self._sent) * FRAME / RATE

    @property
    def words(self) -> tuple[Word, ...]:
        """The words so far, in samples at ``MIC_RATE`` from the first one accepted."""
        return tuple(self._words)

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self._words)

    # What the server says.

    def stepped(self, step: Step) -> None:
        """The next frame was heard. The silence that we add ourselves says nothing of pauses."""
        self._manner.tells_steps = True
        if self._steps < len(self._frames):
            _, length = self._frames[self._steps]
            self._steps += 1
            if length and len(step.pauses) > PAUSE:
                self.probability = step.pauses[PAUSE]

    def heard(self, word: HeardWord) -> None:
        if text := " ".join(word.text.split()):
            floor = self._words[-1].end if self._words else 0
            start = max(floor, self._position(word.start_s))
            self._words.append(Word(text, start, start))

    def ended(self, end: WordEnd) -> None:
        if self._words:
            last = self._words[-1]
            self._words[-1] = replace(last, end=max(last.start, self._position(end.stop_s)))

    def answered(self, marker: Marker) -> bool:
        """Everything before ``marker`` is final; False for one that was not sent."""
        if marker.id not in self.pending:
            return False
        while self._items and self._sent:
            item = self._drop()
            if isinstance(item, Marker):
                self.pending.discard(item.id)
                if item.id == marker.id:
                    break
        self._final = len(self._words)
        if self._manner.tells_steps is None:
            self._manner.tells_steps = False
        return True

    def _position(self, seconds: float) -> int:
        """Sample of the utterance at 16 kHz that sounded at ``seconds`` of the connection."""
        index, within = divmod(round(seconds * RATE), FRAME)
        if index >= len(self._frames):
            return _at_mic_rate(self._length)
        begin, length = self._frames[index]
        return _at_mic_rate(begin + min(within, length))

    @property
    def _all_sent(self) -> bool:
        return self._sent == len(self._items)

    def _add_tail(self, frames: int) -> None:
        for _ in range(min(frames, MAX_TAIL - self._tail)):
            self._items.append(Frame(_SILENCE, self._length, 0))
            self._tail += 1

    def _cut(self, samples: Floats) -> None:
        """Make whole frames of ``samples`` at 24 kHz; keep the rest for the next."""
        sound = np.concatenate([self._rest, samples])
        whole = len(sound) // FRAME * FRAME
        for first in range(0, whole, FRAME):
            self._add(sound[first : first + FRAME], FRAME)
        self._rest = sound[whole:]

    def _add(self, pcm: Floats, length: int) -> None:
        self._items.append(Frame(pcm, self._length, length))
        self._length += length
        self._kept += length
        while self._kept > KEPT_S * RATE:
            self._drop()

    def _drop(self) -> Frame | Marker:
        item = self._items.popleft()
        self._sent = max(0, self._sent - 1)
        if isinstance(item, Frame):
            self._kept -= item.length
        return item


def _at_mic_rate(position: int) -> int:
    return position * MIC_RATE // RATE
