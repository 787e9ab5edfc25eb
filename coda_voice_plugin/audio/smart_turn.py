"""Smart Turn: does the melody of what was said sound finished?

The model is Daily's Smart Turn v3.2 (https://github.com/pipecat-ai/smart-turn), a Whisper
encoder with a classifier. It reads the log-mel spectrogram of Whisper (Radford et al.,
"Robust Speech Recognition via Large-Scale Weak Supervision", 2022, section 2.2: 80 bands,
windows of 25 ms every 10 ms) over the last 8 seconds, the speech at the end.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..events import MIC_RATE
from .pcm import Floats
from .silero import onnx_session

SPAN = 8 * MIC_RATE
"""Samples that the model looks at."""
BANDS = 80
FFT = 400
HOP = 160
FLOOR = 1e-10
"""Least power, so that silence has a logarithm."""
RANGE = 8.0
"""Decades below the loudest point that are kept."""

Doubles = npt.NDArray[np.float64]


class SmartTurn:
    """One loaded model, shared by all calls.

    Raises EngineMissingError without onnxruntime, AudioError when ``path`` is not
    the model. Loading takes about 0.2 s: do it in a thread.
    """

    def __init__(self, path: Path | str) -> None:
        self._session = onnx_session(path, "smart-turn")

    def probability(self, samples: Floats) -> float:
        """Return the probability that a turn which sounds like this is complete.

        ``samples`` (16 kHz) are the utterance so far; the last 8 s count. Blocks for
        about 30 ms: run it in a ModelThread.
        """
        features = log_mel(last_seconds(samples))
        (probability,) = self._session.run(None, {"input_features": features[np.newaxis]})
        return float(probability[0, 0])


def last_seconds(samples: Floats) -> Floats:
    """Return exactly the last 8 s; shorter sound is preceded by zeros."""
    tail = samples[-SPAN:].astype(np.float32, copy=False)
    return np.concatenate((np.zeros(SPAN - len(tail), np.float32), tail))


def log_mel(samples: Floats) -> Floats:
    """Return Whisper's features of ``samples`` (16 kHz): (80, len(samples) // 160).

    The samples are brought to zero mean and unit variance first, as the model was
    trained. The result lies at about -1 to 1.
    """
    normal = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
    padded = np.pad(normal, FFT // 2, mode="reflect")
    pieces = np.lib.stride_tricks.sliding_window_view(padded, FFT)[::HOP]
    # A frame is centred on each hop; the one centred on the very end is not used.
    spectrum = np.fft.rfft(pieces[: len(samples) // HOP] * hann())
    power = spectrum.real**2 + spectrum.imag**2
    decades = np.log10(np.maximum(mel_bands() @ power.T, FLOOR))
    decades = np.maximum(decades, decades.max() - RANGE)
    features: Floats = ((decades + 4.0) / 4.0).astype(np.float32)
    return features


@cache
def hann() -> Doubles:
    """Return the periodic Hann window of one frame."""
    return 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(FFT) / FFT)


@cache
def mel_bands() -> Doubles:
    """Return the mel filters, (80, 201): triangles of equal area from 0 to 8000 Hz.

    Their corners are equally spaced on the scale of Slaney's Auditory Toolbox (1998),
    which is linear below 1000 Hz and logarithmic above.
    """
    edges = np.linspace(0.0, hertz_to_mel(MIC_RATE / 2), BANDS + 2, dtype=np.float64)
    corners = mel_to_hertz(edges)
    left, peak, right = corners[:-2, None], corners[1:-1, None], corners[2:, None]
    hertz = np.arange(FFT // 2 + 1) * (MIC_RATE / FFT)
    rising = (hertz - left) / (peak - left)
    falling = (right - hertz) / (right - peak)
    triangles: Doubles = np.clip(np.minimum(rising, falling), 0.0, None)
    return triangles * (2.0 / (right - left))


def hertz_to_mel(hertz: float) -> float:
    """Return ``hertz`` (at least 1000) on Slaney's scale."""
    return 15.0 + 27.0 * float(np.log(hertz / 1_000.0) / np.log(6.4))


def mel_to_hertz(mel: Doubles) -> Doubles:
    """Return what points of Slaney's scale are in hertz."""
    return np.where(mel < 15.0, mel * (200.0 / 3.0), 1_000.0 * 6.4 ** ((mel - 15.0) / 27.0))
