"""Words as tones, for models that are not there: written, spoken and heard exactly."""

from __future__ import annotations

import numpy as np

from coda_voice_plugin.engine import Floats
from coda_voice_plugin.wire.kyutai import RATE

WORDS = ("red", "green", "blue", "white", "black", "yellow", "purple", "orange")


def pitch(index: int) -> float:
    return 300.0 + 150.0 * index


def tone(index: int, seconds: float, rate: int, level: float = 0.3) -> Floats:
    """A word, as it sounds."""
    times = np.arange(round(seconds * rate)) / rate
    return (level * np.sin(2 * np.pi * pitch(index) * times)).astype(np.float32)


def tone_in(frame: Floats) -> int | None:
    """Which word is in ``frame`` (24 kHz); None for silence, noise and other sounds."""
    power = np.abs(np.fft.rfft(frame)) ** 2
    if np.sqrt(np.mean(frame**2)) < 0.02:
        return None
    top = int(np.argmax(power))
    near = power[max(0, top - 3) : top + 4].sum()
    index = (top * RATE / len(frame) - pitch(0)) / 150.0
    clear = near > 0.6 * power.sum() and abs(index - round(index)) < 0.15
    return round(index) if clear and 0 <= round(index) < len(WORDS) else None
