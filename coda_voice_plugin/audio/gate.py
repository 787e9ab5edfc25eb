"""The two steps that decide what is speech: a cheap gate, then the judge.

WebRTC's detector costs a few microseconds per frame and says "perhaps" too often;
Silero is right and costs 70 microseconds per window. So Silero runs only while the
gate is open or an utterance is. When the gate opens, Silero starts afresh and reads
the last few windows again, because its judgement of a window rests on those before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from ..errors import EngineMissingError
from ..events import MIC_RATE
from .pcm import Floats
from .silero import WINDOW, Silero

GATE_MODE = 1
"""WebRTC's aggressiveness as a gate: it may be wrong about noise, not about speech."""
ALONE_MODE = 3
"""WebRTC's aggressiveness without a judge behind it."""
REPLAY = 8
"""Windows (256 ms) that Silero reads again when the gate opens."""
HANGOVER = 16
"""Windows (512 ms) for which Silero goes on after the gate has closed."""


class Gate:
    """WebRTC's voice activity detector over 10, 20 or 30 ms frames of PCM16 at 16 kHz.

    Raises EngineMissingError without webrtcvad.
    """

    def __init__(self, mode: int) -> None:
        try:
            import webrtcvad
        except ImportError as error:
            raise EngineMissingError("webrtcvad", "webrtcvad-wheels", "cpu") from error
        self._vad: Any = webrtcvad.Vad(mode)
        self._open_until = 0

    def hear(self, pcm: bytes, end: int) -> None:
        """Take the next frame, which ends at position ``end``."""
        if self._vad.is_speech(pcm, MIC_RATE):
            self._open_until = end

    def open_since(self, position: int) -> bool:
        """Say whether a frame that ended after ``position`` may have been speech."""
        return self._open_until > position


class WebRtcJudge:
    """The gate alone: what it lets through is speech."""

    def __init__(self) -> None:
        self._gate = Gate(ALONE_MODE)

    def hear(self, pcm: bytes, end: int) -> None:
        """Take the next frame of PCM16, which ends at position ``end``."""
        self._gate.hear(pcm, end)

    def judge(
        self, start: int, window: Callable[[int], Floats], *, utterance_open: bool
    ) -> Iterator[tuple[int, float]]:
        """Yield ``(start, probability)`` of the window at ``start``."""
        yield start, float(self._gate.open_since(start))


class SileroJudge:
    """Silero behind the gate."""

    def __init__(self, silero: Silero) -> None:
        self._gate = Gate(GATE_MODE)
        self._silero = silero
        self._state = silero.state()
        self._asleep_at = 0
        """First window that Silero has not read, or -1 while it follows."""

    def hear(self, pcm: bytes, end: int) -> None:
        """Take the next frame of PCM16, which ends at position ``end``."""
        self._gate.hear(pcm, end)

    def judge(
        self, start: int, window: Callable[[int], Floats], *, utterance_open: bool
    ) -> Iterator[tuple[int, float]]:
        """Yield ``(start, probability)`` of the window at ``start``.

        ``window(start)`` gives the samples of a window. When the gate has just opened,
        the windows before it come first, with what Silero thinks of them now.
        """
        awake = utterance_open or self._gate.open_since(start - HANGOVER * WINDOW)
        if not awake:
            if self._asleep_at < 0:
                self._asleep_at = start
            yield start, 0.0
            return
        first = start
        if self._asleep_at >= 0:
            # Windows that it has read already need no second look, unless it forgot them.
            first = max(0, start - REPLAY * WINDOW)
            self._state.reset()
            self._asleep_at = -1
        for each in range(first, start + WINDOW, WINDOW):
            yield each, self._silero.judge(self._state, window(each))
