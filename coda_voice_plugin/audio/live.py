"""The microphone for who listens to raw sound: 20 ms frames at a rate of their own."""

from __future__ import annotations

import numpy as np

from ..errors import AudioError
from ..events import AudioFrame
from .pcm import Floats, to_pcm
from .resample import Resampler

FRAMES_PER_S = 50
"""Frames of :class:`Framing` in a second: each is 20 ms."""
_RATES = range(8_000, 48_001, FRAMES_PER_S)


class Framing:
    """Cuts a stream of samples at ``rate`` hertz into 20 ms frames with their positions.

    Raises AudioError for a rate outside 8 to 48 kHz, or of which 20 ms are no whole
    number of samples.
    """

    def __init__(self, rate: int) -> None:
        if rate not in _RATES:
            raise AudioError(
                f"a strategy cannot listen at {rate} Hz; its mic_rate is 8000 to 48000, "
                f"a multiple of {FRAMES_PER_S}."
            )
        self._rate = rate
        self._size = rate // FRAMES_PER_S
        self._rest: Floats = np.zeros(0, np.float32)
        self._position = 0

    def push(self, samples: Floats) -> list[AudioFrame]:
        """Take the next samples and return the frames that are whole."""
        if len(self._rest):
            samples = np.concatenate((self._rest, samples))
        whole = len(samples) - len(samples) % self._size
        self._rest = samples[whole:]
        return [self._frame(samples[at : at + self._size]) for at in range(0, whole, self._size)]

    def finish(self) -> list[AudioFrame]:
        """Return the rest, which is shorter than a frame."""
        rest, self._rest = self._rest, self._rest[:0]
        return [self._frame(rest)] if len(rest) else []

    def _frame(self, samples: Floats) -> AudioFrame:
        frame = AudioFrame(to_pcm(samples), self._rate, self._position)
        self._position = frame.end
        return frame


class Live:
    """One stream from ``in_rate`` to frames at ``rate``, as soon as can be.

    soxr's variable-rate filter holds 5 ms back from 48 to 24 kHz, where the usual one
    holds back 21 ms on average and 38 at most (15 and 37 from 16 to 24 kHz).
    """

    def __init__(self, in_rate: int, rate: int) -> None:
        self._framing = Framing(rate)
        self._resampler = Resampler(in_rate, rate, prompt=True)

    def push(self, samples: Floats) -> list[AudioFrame]:
        """Take the next samples at ``in_rate``."""
        return self._framing.push(self._resampler.push(samples))

    def finish(self) -> list[AudioFrame]:
        """End the stream: return what is left of it."""
        return self._framing.push(self._resampler.finish()) + self._framing.finish()
