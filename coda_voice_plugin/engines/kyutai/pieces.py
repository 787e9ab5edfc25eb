"""Sound and words that come separately, put together into pieces of speech."""

from __future__ import annotations

from collections import deque

import numpy as np

from coda_voice_plugin import SpokenAudio, Word
from coda_voice_plugin.audio import Floats
from coda_voice_plugin.wire.kyutai import FRAME, RATE

HOLD = 5 * FRAME
"""Samples of an unfinished word that are held back at most (0.4 s): a word lies in one piece,
but nobody waits long for a long one. The last word is told when its sound has come."""


class Pieces:
    """Cuts the sound of one answer between its words.

    Words are told before their sound is complete, but for the last one. A word whose
    beginning had to be let go has its true end, and begins with the piece it ends in.
    """

    def __init__(self) -> None:
        self._chunks: list[Floats] = []
        self._begin = 0  # sample of the answer at which _chunks begin
        self._end = 0
        self._words: deque[Word] = deque()  # not given yet, in samples of the answer

    @property
    def begun(self) -> bool:
        """Sound has come."""
        return self._end > 0

    def word(self, text: str, start_s: float, stop_s: float) -> None:
        """A word sounds from ``start_s`` to ``stop_s`` of the answer."""
        if text := " ".join(text.split()):
            floor = self._words[-1].end if self._words else 0
            start = max(floor, round(start_s * RATE))
            self._words.append(Word(text, start, max(start, round(stop_s * RATE))))

    def sound(self, pcm: Floats) -> SpokenAudio | None:
        """Take the next samples; return the piece that is ready."""
        self._chunks.append(np.clip(pcm, -1.0, 1.0))
        self._end += len(pcm)
        return self._piece(self._ready())

    def rest(self) -> SpokenAudio | None:
        """The answer is over: what is left of it, with all its words."""
        if self._begin == self._end:
            return None
        self._words = deque(
            Word(word.text, min(word.start, self._end), min(word.end, self._end))
            for word in self._words
        )
        return self._piece(self._end)

    def _ready(self) -> int:
        """The last sample at which no word is cut in two, or as much as may be held back.

        A frame stays in any case: the last word needs sound to be told with.
        """
        most = self._end - FRAME
        edges = [edge for word in self._words for edge in (word.start, word.end) if edge <= most]
        cut = max(edges, default=self._begin)
        if not self._words and not self._begin:
            cut = most  # the first sound is not waited with: answers begin with a breath
        return max(cut, self._end - HOLD)

    def _piece(self, cut: int) -> SpokenAudio | None:
        length = cut - self._begin
        if length <= 0:
            return None
        sound = np.concatenate(self._chunks)
        self._chunks = [sound[length:]]
        words = []
        floor = 0
        while self._words and self._words[0].end <= cut:
            word = self._words.popleft()
            start = max(floor, word.start - self._begin)
            floor = max(start, word.end - self._begin)
            words.append(Word(word.text, start, floor))
        self._begin = cut
        return SpokenAudio(sound[:length], tuple(words))
