"""The last seconds of a stream, by position."""

from __future__ import annotations

import numpy as np

from .pcm import Floats


class Recent:
    """Keeps at least the last ``keep`` samples of a stream in constant memory."""

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._held = np.zeros(2 * keep + 4_096, np.float32)
        self._first = 0
        self.end = 0
        """Position just after the newest sample."""

    def push(self, samples: Floats) -> None:
        """Take the next samples; at most ``keep`` at once."""
        used = self.end - self._first
        if used + len(samples) > len(self._held):
            self._held[: self._keep] = self._held[used - self._keep : used]
            self._first = self.end - self._keep
            used = self._keep
        self._held[used : used + len(samples)] = samples
        self.end += len(samples)

    def cut(self, start: int, end: int) -> Floats:
        """Return a copy of the samples from ``start`` to just before ``end``.

        What is no longer kept or not yet there is left out.
        """
        start, end = max(start, self._first), min(end, self.end)
        return self._held[start - self._first : max(start, end) - self._first].copy()
