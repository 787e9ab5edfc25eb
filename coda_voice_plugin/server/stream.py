"""Speech as one endless stream: Moshi's clients expect sound all the time. No I/O."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

import numpy as np

from ..audio import Floats, Resampler, to_floats
from ..audio.opus import PACKET, RATE
from ..events import Caption, Flush, Held, Speech, SpeechEnd

READY = 3 * PACKET
"""Speech of which less is ready begins one piece later: what comes live comes unevenly."""
FULL_S = 1.0
"""Speech that may wait to be sent; the session keeps about 200 ms there."""


class SpeechStream:
    """Pieces of 40 ms for one listener: speech while there is some, else silence.

    Words go with the piece in which they begin to sound. ``rate`` is that of the speech.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._resampler = Resampler(rate, RATE)
        self._parts: deque[Floats] = deque()
        self._waiting = 0
        self._pushed = 0
        """Samples of speech that came, those that were flushed too."""
        self._turn = 0
        self._begin = 0
        """Where the turn begins, in samples that came."""
        self._open = False
        """More of the turn may come."""
        self._words: deque[tuple[int, str]] = deque()
        self._held = False
        """The turn stands still; its sound waits."""
        self._flows = False
        self._changed = asyncio.Event()

    # What the session says.

    def push(self, event: Speech | Caption | SpeechEnd | Held | Flush) -> None:
        """Take what belongs to the speech of a turn."""
        match event:
            case Speech(turn, frame):
                self._enter(turn)
                self._add(self._resampler.push(to_floats(frame.pcm)))
            case Caption(turn, words):
                self._enter(turn)
                for word in words:
                    place = self._begin + round(word.start * RATE / self._rate)
                    self._words.append((place, word.text))
            case SpeechEnd():
                self._add(self._resampler.finish())
                self._open = False
            case Held(held=held):
                self._held = held
                self._changed.set()
            case Flush():
                self._open = self._held = False
                self._drop()

    async def room(self) -> None:
        """Wait until there is room for more speech."""
        await self._until(lambda: self._waiting <= FULL_S * RATE)

    async def drained(self) -> None:
        """Wait until all speech has been given out."""
        await self._until(lambda: self.silent)

    # What the client gets.

    @property
    def silent(self) -> bool:
        """Whether the next piece is silence and nothing else."""
        return self._held or (not self._waiting and (self._open or not self._words))

    def next(self) -> tuple[Floats, list[str]]:
        """The next piece, ``[960]``, and the words that begin in it."""
        piece = np.zeros(PACKET, np.float32)
        if self._held:
            self._flows = False
            return piece, []
        if self._waiting and not self._flows:
            self._flows = True
            if self._waiting < READY:
                return piece, []
        filled = 0
        while self._parts and filled < PACKET:
            part = self._parts.popleft()
            used = min(len(part), PACKET - filled)
            piece[filled : filled + used] = part[:used]
            filled += used
            if used < len(part):
                self._parts.appendleft(part[used:])
        self._waiting -= filled
        self._flows = filled > 0
        self._changed.set()
        return piece, self._words_of_piece()

    def _enter(self, turn: int) -> None:
        if turn != self._turn:
            self._turn, self._begin, self._open = turn, self._pushed, True

    def _add(self, sound: Floats) -> None:
        if len(sound):
            self._parts.append(sound)
            self._pushed += len(sound)
            self._waiting += len(sound)

    def _drop(self) -> None:
        self._resampler = Resampler(self._rate, RATE)
        self._parts.clear()
        self._words.clear()
        self._waiting = 0
        self._changed.set()

    def _words_of_piece(self) -> list[str]:
        """Words that have begun; when all is said, those at the very end too."""
        position = self._pushed - self._waiting
        over = not self._waiting and not self._open
        words = []
        while self._words and (over or self._words[0][0] < position):
            words.append(self._words.popleft()[1])
        return words

    async def _until(self, true: Callable[[], bool]) -> None:
        while not true():
            self._changed.clear()
            await self._changed.wait()
