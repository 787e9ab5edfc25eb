"""Streaming change of sample rate (soxr)."""

from __future__ import annotations

import numpy as np
import soxr

from ..errors import AudioError
from .pcm import Floats

RATES = range(4_000, 384_001)
"""Hertz that sound can have."""


class Resampler:
    """One stream of sound from one rate to another.

    The output depends on the samples alone, not on how they were cut into
    pushes, and is aligned with the input: sample ``n`` out sounds at the same
    second as sample ``n * in_rate / out_rate`` in. Equal rates pass unchanged.
    soxr holds sound back: 21 ms on average from 48 to 16 kHz, 37 at most. From
    8 to 16 kHz that would be 64 and 115 ms; ``prompt`` takes its variable-rate
    filter, which holds back 30 ms there but costs more CPU (and is up to two
    samples out of line at some ratios). Raises AudioError for a rate outside
    :data:`RATES`.
    """

    def __init__(self, in_rate: int, out_rate: int, *, prompt: bool = False) -> None:
        for rate in (in_rate, out_rate):
            if rate not in RATES:
                raise AudioError(f"a sample rate of {rate} Hz is not {RATES[0]} to {RATES[-1]}.")
        self._stream = (
            None if in_rate == out_rate else soxr.ResampleStream(in_rate, out_rate, 1, vr=prompt)
        )

    def push(self, samples: Floats) -> Floats:
        """Take the next samples and return what is ready (perhaps nothing yet)."""
        if self._stream is None:
            return samples
        out: Floats = self._stream.resample_chunk(samples)
        return out

    def finish(self) -> Floats:
        """Return the rest; the next push begins a new stream."""
        if self._stream is None:
            return np.empty(0, np.float32)
        rest: Floats = self._stream.resample_chunk(np.empty(0, np.float32), last=True)
        self._stream.clear()
        return rest
