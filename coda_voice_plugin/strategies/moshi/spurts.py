"""Cuts Moshi's endless speech into turns: it speaks all the time, mostly silence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from coda_voice_plugin.kyutai.line import Spoken

AUDIBLE = 0.01
"""Root mean square from which a frame is a voice: -40 dB of full scale."""
TAIL = 7
"""Quiet frames that end a spurt: 560 ms, longer than a pause between clauses."""


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """A frame, and what it is to the listener."""

    spoken: Spoken
    speech: bool
    """From the first audible frame, or word, to the end of its tail."""
    quiet: bool
    """Silence inside a spurt: it may be left out when the listener is behind."""
    loudness: float = 0.0
    """Root mean square of its sound."""


class Spurts:
    """Tells speech from silence, frame by frame; one per call."""

    def __init__(self) -> None:
        self._quiet = TAIL

    def push(self, spoken: Spoken) -> Piece:
        loudness = float(np.sqrt(np.mean(np.square(spoken.sound))))
        self._quiet = 0 if loudness >= AUDIBLE or spoken.talking else self._quiet + 1
        return Piece(spoken, self._quiet < TAIL, self._quiet > 0, loudness)
