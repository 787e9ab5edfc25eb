"""What the front end of a call reports about the microphone.

All positions count 16 kHz samples from the beginning of the microphone's stream, except
those of an AudioFrame, which count at its own rate.
One utterance reads: ``Began``, any number of ``Voice``, once ``Lasted``, pairs of
``Paused`` and ``Continued``, and at last ``Paused`` and ``Ended``.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..events import AudioFrame
from .pcm import Floats


@dataclass(frozen=True, slots=True, eq=False)
class Began:
    """Speech of at least ``turn.min_speech_ms`` started at ``at``."""

    at: int
    pre_roll: Floats
    """Samples from up to ``turn.pre_roll_ms`` before ``at`` through everything heard so
    far: the beginning of the utterance, so that its first word is whole."""


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """The next samples of the open utterance, silence inside it included."""

    samples: Floats


@dataclass(frozen=True, slots=True)
class Lasted:
    """The speech inside this utterance has lasted ``ms``: it counts as an interruption.

    Comes once per utterance; at once, with 0, when the talk key opened it.
    """

    ms: int


@dataclass(frozen=True, slots=True)
class Paused:
    """The speech ended at ``at``, perhaps for good: the time to begin work on an answer."""

    at: int


@dataclass(frozen=True, slots=True)
class Continued:
    """Speech again, from ``at`` on, after a :class:`Paused`."""

    at: int


@dataclass(frozen=True, slots=True)
class Ended:
    """The utterance is over: speech from ``start`` to just before ``end``."""

    start: int
    end: int


Sound = AudioFrame | Began | Voice | Lasted | Paused | Continued | Ended
