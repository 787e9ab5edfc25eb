"""The sound of one utterance on its way into a recogniser: 16 kHz in, frames of 24 kHz out."""

from __future__ import annotations

import numpy as np

from ..audio import Floats, Resampler
from ..events import MIC_RATE
from .frames import FRAME, RATE

RECENT = 2_048
"""Samples (16 kHz) that are kept to say what the resampler holds back: 600 at most, and enough
before them that a resampler which begins there agrees (to 1e-7)."""


class Sound:
    """Cuts sound of any length into frames, and knows the rest without disturbing it."""

    def __init__(self) -> None:
        self._resampler = Resampler(MIC_RATE, RATE)
        self._recent: Floats = np.zeros(0, np.float32)
        self._made = 0  # samples that the resampler has given
        self._part: Floats = np.zeros(0, np.float32)  # of a frame
        self.length = 0
        """Samples (16 kHz) pushed."""

    def push(self, samples: Floats) -> list[Floats]:
        """Take the next samples; return the frames, ``[1920]``, that are whole."""
        self.length += len(samples)
        self._recent = np.concatenate([self._recent, samples])[-RECENT - 1 :]
        made = self._resampler.push(samples)
        self._made += len(made)
        sound = np.concatenate([self._part, made])
        whole = len(sound) // FRAME * FRAME
        self._part = sound[whole:]
        return [sound[first : first + FRAME] for first in range(0, whole, FRAME)]

    def rest(self) -> list[Floats]:
        """What was pushed and is in no frame yet, in frames filled up with silence.

        More sound may follow as if this had not been asked.
        """
        sound = np.concatenate([self._part, self._held_back()])
        frames = -(-len(sound) // FRAME)
        padded = np.pad(sound, (0, frames * FRAME - len(sound)))
        return [padded[first : first + FRAME] for first in range(0, len(padded), FRAME)]

    def _held_back(self) -> Floats:
        """The resampler cannot be asked, so another one repeats its last samples."""
        begin = self.length - len(self._recent)
        odd = begin % 2  # every second sample in falls together with one out
        again = Resampler(MIC_RATE, RATE)
        sound = np.concatenate([again.push(self._recent[odd:]), again.finish()])
        return sound[self._made - (begin + odd) * RATE // MIC_RATE :]
