"""When did a sample arrive? Microphone positions on the event loop's clock."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque

from ..events import MIC_RATE

KEPT = 2_048
"""Arrivals remembered: more than 40 s of 20 ms frames."""


class ArrivalClock:
    """Remembers when each stretch of the microphone's stream arrived."""

    def __init__(self) -> None:
        self._positions: deque[int] = deque(maxlen=KEPT)
        self._times: deque[float] = deque(maxlen=KEPT)

    def arrived(self, position: int, now: float) -> None:
        """All samples before ``position`` are here at ``now``."""
        self._positions.append(position)
        self._times.append(now)

    def when(self, position: int) -> float:
        """The time at which the sample before ``position`` arrived.

        For a position older than what is remembered: the oldest time known.
        """
        if not self._positions:
            return 0.0
        index = bisect_left(self._positions, position)
        if index == len(self._positions):
            return self._times[-1]
        arrived = self._times[index]
        spoken = arrived - (self._positions[index] - position) / MIC_RATE
        # a file may arrive faster than it was spoken: not before what came before it
        return max(spoken, self._times[index - 1]) if index else spoken

    def length_ms(self, position: int) -> float:
        """How long the piece of sound was in which the sample before ``position`` came: so long
        it waited at most to be sent. 0 when that is not remembered."""
        index = bisect_left(self._positions, position)
        if not 0 < index < len(self._positions):
            return 0.0
        return round(1000 * (self._positions[index] - self._positions[index - 1]) / MIC_RATE, 1)
