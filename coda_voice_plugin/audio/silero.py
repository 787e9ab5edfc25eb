"""Silero VAD: the judge of speech.

The model and its calling convention are Silero's own
(https://github.com/snakers4/silero-vad): windows of 512 samples at 16 kHz, each
preceded by the last 64 samples of the one before, and a recurrent state.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import AudioError, EngineMissingError
from ..events import MIC_RATE
from .pcm import Floats

WINDOW = 512
"""Samples that are judged at once: 32 ms at 16 kHz."""
CONTEXT = 64
"""Samples of the window before, which the model reads again."""


@dataclass(slots=True)
class SileroState:
    """What the model remembers of one call: its input with context, and its memory."""

    heard: Floats = field(default_factory=lambda: np.zeros((1, CONTEXT + WINDOW), np.float32))
    memory: Any = field(default_factory=lambda: np.zeros((2, 1, 128), np.float32))

    def reset(self) -> None:
        """Forget everything, as at the beginning of a stream."""
        self.heard[:] = 0.0
        self.memory = np.zeros((2, 1, 128), np.float32)


class Silero:
    """One loaded model, shared by all calls; each call has a :class:`SileroState`.

    Raises EngineMissingError without onnxruntime, AudioError when ``path`` is not
    the model. Loading takes about 30 ms: do it in a thread.
    """

    def __init__(self, path: Path | str) -> None:
        self._session = onnx_session(path, "silero")
        self._rate = np.array(MIC_RATE, np.int64)

    def state(self) -> SileroState:
        """Return the state of a new call."""
        return SileroState()

    def judge(self, state: SileroState, window: Floats) -> float:
        """Return the probability that ``window`` (512 samples, 16 kHz) holds speech.

        ``state`` moves on by one window. About 70 microseconds.
        """
        heard = state.heard
        heard[0, :CONTEXT] = heard[0, WINDOW:]
        heard[0, CONTEXT:] = window
        feed = {"input": heard, "state": state.memory, "sr": self._rate}
        probability, state.memory = self._session.run(None, feed)
        return float(probability[0, 0])


def onnx_session(path: Path | str, engine: str) -> Any:
    """Open the ONNX model at ``path`` for one thread.

    Raises EngineMissingError without onnxruntime, AudioError when the file is not
    a model that it can read.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineMissingError(engine, "onnxruntime", "cpu") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # A pool that spins would take a core from the other models.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # Processors with AVX2 and nothing newer would saturate in 8-bit products, and be wrong by 0.1.
    options.add_session_config_entry("session.x64quantprecision", "1")
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise AudioError(f"{path} is not a model for {engine}: {error}") from error
