"""PCM16 to float samples and back, exact both ways."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..errors import AudioError

Floats = npt.NDArray[np.float32]
"""Mono samples, -1.0 to 1.0."""

FULL_SCALE = 32_768
"""A PCM16 sample of -32768 is -1.0; the loudest positive one, 32767, stays below 1.0."""


def to_floats(pcm: bytes) -> Floats:
    """PCM16 little endian to samples; ``to_pcm`` gives the same bytes back.

    Raises AudioError when half a sample is left over.
    """
    if len(pcm) % 2:
        raise AudioError(f"PCM16 has two bytes per sample, and {len(pcm)} bytes came; send pairs.")
    samples = np.frombuffer(pcm, "<i2").astype(np.float32)
    samples *= 1 / FULL_SCALE  # a power of two: exact
    return samples


def to_pcm(samples: Floats) -> bytes:
    """Samples to PCM16 little endian, rounded to the nearest step and clipped.

    Raises AudioError for NaN, which is no sound: something upstream is broken.
    """
    scaled = np.rint(samples * np.float32(FULL_SCALE))
    if np.isnan(scaled).any():
        raise AudioError("the samples contain NaN; whatever made them is broken.")
    steps: npt.NDArray[np.int16] = np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype("<i2")
    return steps.tobytes()
