"""The user's sound on its way into the ticks: a queue that stays short."""

from __future__ import annotations

from collections import deque

import numpy as np

from .frames import FRAME, Floats

BACKLOG = 4
"""Frames that may wait; older ones are dropped: late sound is worse than none."""
WATCHED = 63
"""Frames over which a backlog that never empties is found: five seconds."""


class Arrivals:
    """Collects sound of any length and gives it out in frames of 80 ms.

    A frame that comes late costs its own slot a tick, and from then on one frame waits:
    the delay has grown by 80 ms, which hides the next lateness. When that has not
    been needed for five seconds, the oldest frame is dropped and the delay is gone.
    """

    def __init__(self) -> None:
        self._parts: deque[Floats] = deque()
        self._waiting = 0
        self._spare = BACKLOG
        self._watched = 0
        self.dropped = 0
        """Frames given up."""

    def push(self, samples: Floats) -> None:
        """Take sound, 24 kHz."""
        if len(samples):
            self._parts.append(samples)
            self._waiting += len(samples)
        while self._waiting >= (BACKLOG + 1) * FRAME:
            self._drop()

    @property
    def frames(self) -> int:
        """Whole frames that wait."""
        return self._waiting // FRAME

    def take(self) -> Floats | None:
        """The next frame, ``[1920]``; None while it has not arrived."""
        if self._waiting < FRAME:
            return None
        frame = self._cut()
        self._watch()
        return frame

    def _watch(self) -> None:
        self._spare = min(self._spare, self.frames)
        self._watched += 1
        if self._watched < WATCHED:
            return
        if self._spare:
            self._drop()
        self._spare, self._watched = BACKLOG, 0

    def _drop(self) -> None:
        self._cut()
        self.dropped += 1

    def _cut(self) -> Floats:
        frame = np.empty(FRAME, np.float32)
        filled = 0
        while filled < FRAME:
            part = self._parts[0]
            used = min(len(part), FRAME - filled)
            frame[filled : filled + used] = part[:used]
            filled += used
            if used == len(part):
                self._parts.popleft()
            else:
                self._parts[0] = part[used:]
        self._waiting -= FRAME
        return frame
