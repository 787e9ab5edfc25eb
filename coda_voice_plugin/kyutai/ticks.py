"""What the ticks of a wheel cost, and whether it keeps up."""

from __future__ import annotations

from collections import deque

import numpy as np

KEPT = 7_500
"""Ticks remembered: ten minutes in real time."""
LOOKED_AT = 125
"""Ticks that decide about overload: ten seconds in real time."""
OVERLOAD = 0.2
"""Part of them that overran."""


class TickStats:
    """Counts and durations; times are the event loop's, in seconds."""

    def __init__(self, slots: int, period: float | None) -> None:
        self.slots = slots
        self.period = period
        self.count = 0
        self.overruns = 0
        """Ticks that took longer than their period."""
        self.late = 0
        """Ticks whose results came more than a period after the tick was due."""
        self.skipped = 0
        """Ticks given up because the wheel was far behind."""
        self.restarts = 0
        """How often the model was begun anew."""
        self.rows = 0
        """Slots served, over all ticks."""
        self._durations: deque[float] = deque(maxlen=KEPT)
        self._recent: deque[bool] = deque(maxlen=LOOKED_AT)

    def note(self, rows: int, began: float, ended: float, due: float) -> None:
        """One tick for ``rows`` slots is over."""
        self.count += 1
        self.rows += rows
        self._durations.append(ended - began)
        if self.period is None:
            return
        over = ended - began > self.period
        self.overruns += over
        self.late += ended - due > self.period
        self._recent.append(over)

    @property
    def overloaded(self) -> bool:
        """Whether more than a fifth of the last ten seconds' ticks overran."""
        recent = self._recent
        return len(recent) == LOOKED_AT and sum(recent) > OVERLOAD * LOOKED_AT

    @property
    def occupancy(self) -> float:
        """Mean part of the slots that took part in a tick, 0 to 1."""
        return self.rows / (self.count * self.slots) if self.count else 0.0

    def percentile(self, percent: float) -> float:
        """Seconds of a tick; 0 before the first."""
        return float(np.percentile(self._durations, percent)) if self._durations else 0.0
