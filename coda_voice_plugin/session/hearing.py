"""One utterance while it is being heard."""

from __future__ import annotations

from collections import deque

import numpy as np

from ..audio import Began, Ended, Floats
from ..engine import Recognition
from ..events import MIC_RATE
from .interruption import Doubt

LOUD = 0.1
"""Part of the loudest sample so far under which a frame is not speech."""
MELODY_S = 8.0
"""The acoustic turn model hears this much of the end."""


class Hearing:
    """One utterance while it is being heard."""

    def __init__(self, began: Began, recognition: Recognition) -> None:
        self.start = began.at
        self.recognition = recognition
        self.doubt: Doubt | None = None
        """Whether it interrupts the reply over which it is spoken."""
        self.epoch = 0  # counts pauses and resumptions: work for an older one is stale
        self.paused_at: int | None = None
        self.ended: Ended | None = None
        self.ended_time = 0.0
        self.judged = -1  # epoch whose words are known
        self.text = ""
        self.text_time = 0.0
        self.pause_told = False
        self.partial_due = False
        self.unpublished = 0  # samples since the last partial
        self._tail: deque[Floats] = deque()
        self._tail_samples = 0
        self._peak = 0.0
        self.accept(began.pre_roll)

    def accept(self, samples: Floats) -> None:
        self.recognition.accept(samples)
        self.unpublished += len(samples)
        self._tail.append(samples)
        self._tail_samples += len(samples)
        while self._tail_samples - len(self._tail[0]) >= MELODY_S * MIC_RATE:
            self._tail_samples -= len(self._tail.popleft())

    def is_loud(self, samples: Floats) -> bool:
        """Whether ``samples`` sound like speech rather than like the end of it."""
        level = float(np.abs(samples).max(initial=0.0))
        self._peak = max(self._peak, level)
        return level >= LOUD * self._peak

    @property
    def tail(self) -> Floats:
        """The last seconds, for the acoustic turn model."""
        return np.concatenate(tuple(self._tail))

    @property
    def needs_words(self) -> bool:
        waiting = self.paused_at is not None or self.ended is not None
        return waiting and self.judged != self.epoch


class Wordless(Recognition):
    """Stands where nobody writes down: there are turns, and no words."""

    def accept(self, samples: Floats) -> None:
        pass

    async def text(self, *, final: bool) -> str:
        return ""
