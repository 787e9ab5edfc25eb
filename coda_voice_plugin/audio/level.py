"""Where speech really ended, by its loudness."""

from __future__ import annotations

import numpy as np

from .pcm import Floats

STEP = 160
"""Samples of which the level is taken: 10 ms."""
ABOVE_FLOOR = 2.0
"""Speech is at least so many times the level of the noise."""
BELOW_PEAK = 0.03
"""What is 30 dB below the loud parts does not count as speech."""
AT_MOST = 0.1
"""The noise is not believed to be louder than this part of the loud parts."""


def last_loud(samples: Floats, search: int) -> int | None:
    """Return where the last speech in the last ``search`` samples ends.

    The result counts from the end of ``samples`` backwards, in steps of 10 ms; it is
    None when nothing there is loud. ``samples`` are some seconds of 16 kHz sound: they
    tell how loud the speech and the noise are. A single loud step is a click.
    """
    steps = len(samples) // STEP
    pieces = samples[len(samples) - steps * STEP :].reshape(steps, STEP)
    level = np.sqrt(np.einsum("ij,ij->i", pieces, pieces) / STEP)
    floor, peak = np.percentile(level, (10, 95))
    least = max(BELOW_PEAK * peak, min(ABOVE_FLOOR * floor, AT_MOST * peak), 1e-6)
    loud = level > least
    loud[1:-1] &= loud[:-2] | loud[2:]
    found = np.flatnonzero(loud[max(0, steps - search // STEP) :])
    if not len(found):
        return None
    return (min(steps, search // STEP) - 1 - int(found[-1])) * STEP
