"""From a microphone's bytes to 16 kHz samples fit for recognition.

Two clocks meet here. Positions are samples at 16 kHz since the call began, and
every stage's delay is taken out, so that sample ``n`` of the output is what the
microphone heard at ``n / 16000`` seconds.
"""

from __future__ import annotations

from collections import deque
from functools import cache
from math import cos, pi, sin, sqrt

import numpy as np
import numpy.typing as npt

from ..config.model import AudioSettings
from ..errors import AudioError, EngineMissingError
from ..events import MIC_RATE
from .pcm import Floats, to_floats
from .resample import Resampler

FRAME = MIC_RATE // 100
"""Samples that the stages take at a time (10 ms, as WebRTC wants them)."""

_BLOCK = FRAME // 2
_FAR_AHEAD = 2 * MIC_RATE
_MIC_RATES = range(8_000, 96_001)


class Conditioner:
    """The stages between a microphone and the judge of speech, for one call.

    ``push`` takes PCM16 mono at ``input_rate`` (8 to 96 kHz), cut anywhere, even
    inside a sample: the output does not depend on the cuts. The stages are, in
    this order, each where ``settings`` wants it: resampling to 16 kHz, high-pass
    (second order, 80 Hz), echo cancellation, noise suppression, automatic gain.
    WebRTC's canceller brings its own high-pass, whatever the settings say.

    Echo cancellation needs the sound that the loudspeaker plays. What ``far`` is
    given counts as played from the latest microphone sample on, or right after
    what ``far`` was given before, while that lasts; so speech may be handed over
    ahead of time, up to two seconds (more is left out). The echo has to come back
    5 to 500 ms after that (network, the client's buffer, the air): what comes
    earlier is not recognised as an echo.

    Raises AudioError for an impossible rate and EngineMissingError where a stage
    needs the package pywebrtc-audio and it is not installed.
    """

    def __init__(self, settings: AudioSettings, input_rate: int, far_rate: int) -> None:
        if input_rate not in _MIC_RATES:
            raise AudioError(f"a microphone at {input_rate} Hz: use 8000 to 96000.")
        self._input_rate = input_rate
        self._odd = b""
        self._received = 0
        self._resampler = Resampler(input_rate, MIC_RATE, prompt=input_rate < MIC_RATE)
        self._far = Loudspeaker(far_rate) if settings.echo_cancellation else None
        self._stage = _stage(settings, self._far)
        self._rest: Floats = np.empty(0, np.float32)
        self._taken = 0

    def push(self, pcm: bytes) -> Floats:
        """Take the next bytes of the microphone and return what is ready, at 16 kHz."""
        return self.condition(self.read(pcm))

    def read(self, pcm: bytes) -> Floats:
        """Take the next bytes and return their samples as they are, for :meth:`condition`."""
        if self._odd or len(pcm) % 2:
            pcm = self._odd + pcm
            even = len(pcm) & ~1
            pcm, self._odd = pcm[:even], pcm[even:]
        self._received += len(pcm) // 2
        return to_floats(pcm)

    def condition(self, samples: Floats) -> Floats:
        """Take what :meth:`read` returned; return what is ready, at 16 kHz."""
        return self._staged(self._resampler.push(samples))

    def far(self, pcm: bytes) -> None:
        """Take the next sound that the loudspeaker plays: PCM16 mono at ``far_rate``."""
        if self._far is not None:
            self._far.push(pcm, self._received * MIC_RATE // self._input_rate)

    def finish(self) -> Floats:
        """The microphone ended: return the rest. Nothing may be pushed afterwards."""
        rest = self._staged(self._resampler.finish())
        if self._stage is None:
            return rest
        lag = self._stage.lag
        owed = len(self._rest) + min(self._taken, lag)
        tail = self._staged(np.zeros(lag + FRAME, np.float32))
        return np.concatenate((rest, tail[:owed]))

    def _staged(self, samples: Floats) -> Floats:
        """Run whole frames through the stage; keep what is less than a frame."""
        if self._stage is None:
            return samples
        if len(self._rest):
            samples = np.concatenate((self._rest, samples))
        whole = len(samples) // FRAME * FRAME
        self._rest = samples[whole:]
        if not whole:
            return samples[:0]
        out = self._stage.run(samples[:whole])
        late = max(self._stage.lag - self._taken, 0)
        self._taken += whole
        return out[late:] if late else out


class Loudspeaker:
    """What is played, on the microphone's clock: the canceller's reference."""

    def __init__(self, rate: int) -> None:
        self._odd = b""
        self._resampler = Resampler(rate, MIC_RATE)
        self._pieces: deque[tuple[int, Floats]] = deque()
        self._position = 0
        self._end = 0
        self._sounds = False

    def push(self, pcm: bytes, now: int) -> None:
        """Take the next sound; it follows what still sounds, or begins at ``now``."""
        pcm = self._odd + pcm
        even = len(pcm) & ~1
        self._odd = pcm[even:]
        if not self._sounds:
            self._sounds = True
            self._end = max(self._end, now)
        self._append(self._resampler.push(to_floats(pcm[:even])), now)

    def take(self, count: int) -> Floats:
        """Return the next samples; silence where nothing sounds."""
        start, end = self._position, self._position + count
        if self._sounds and self._end < end:
            # What the resampler holds back is due: the speech is over, or late.
            self._sounds = False
            self._append(self._resampler.finish(), start)
        out = np.zeros(count, np.float32)
        while self._pieces and self._pieces[0][0] < end:
            at, samples = self._pieces.popleft()
            if at + len(samples) > end:
                self._pieces.appendleft((end, samples[end - at :]))
            samples = samples[max(start - at, 0) : end - at]
            at = max(at, start) - start
            out[at : at + len(samples)] = samples
        self._position = end
        return out

    def _append(self, samples: Floats, now: int) -> None:
        if len(samples) and self._end - now < _FAR_AHEAD:
            self._pieces.append((self._end, samples))
        self._end += len(samples)


class WebRTC:
    """Echo cancellation, noise suppression and gain of the WebRTC project."""

    def __init__(self, settings: AudioSettings, far: Loudspeaker | None) -> None:
        try:
            from pywebrtc_audio import AudioProcessor
        except ImportError as error:
            raise EngineMissingError("sound conditioning", "pywebrtc-audio", "cpu") from error
        self._far = far
        self._processor = AudioProcessor(
            MIC_RATE,
            echo_cancellation=settings.echo_cancellation,
            noise_suppression=settings.noise_reduction,
            auto_gain_control=settings.auto_gain_control,
            high_pass_filter=settings.high_pass,
        )
        # Samples by which its blocks hold the sound back (measured by correlation).
        self.lag = 128 * settings.echo_cancellation + 96 * settings.noise_reduction

    def run(self, samples: Floats) -> Floats:
        """Process a whole number of frames."""
        far = None if self._far is None else self._far.take(len(samples))
        out: Floats = self._processor.process(samples, far)
        return out


class HighPass:
    """Second-order Butterworth high-pass at 80 Hz for 16 kHz sound.

    A linear filter over a block of samples is a matrix: this one takes the block
    and the two numbers of state to the filtered block and the next state. Blocks
    have one fixed size, so the rounding is the same however the sound was cut.
    """

    lag = 0

    def __init__(self) -> None:
        self._matrix = _high_pass_matrix()
        self._input = np.zeros(_BLOCK + 2)
        self._output = np.zeros(_BLOCK + 2)
        # Views that are made once: making them would cost as much as the product.
        self._samples, self._state = self._input[:_BLOCK], self._input[_BLOCK:]
        self._filtered, self._next = self._output[:_BLOCK], self._output[_BLOCK:]

    def run(self, samples: Floats) -> Floats:
        """Filter a whole number of frames."""
        out = np.empty_like(samples)
        blocks = zip(samples.reshape(-1, _BLOCK), out.reshape(-1, _BLOCK), strict=True)
        for block, result in blocks:
            self._samples[:] = block
            np.dot(self._matrix, self._input, out=self._output)
            result[:] = self._filtered
            self._state[:] = self._next
        return out


@cache
def _high_pass_matrix() -> npt.NDArray[np.float64]:
    """The filter of R. Bristow-Johnson's "Audio EQ Cookbook" (HPF, Q = 1/sqrt 2), as a matrix."""
    w = 2 * pi * 80 / MIC_RATE
    alpha = sin(w) / sqrt(2)
    a0 = 1 + alpha
    b0 = (1 + cos(w)) / 2 / a0
    b1, b2 = -2 * b0, b0
    a1, a2 = -2 * cos(w) / a0, (1 - alpha) / a0
    unit = np.eye(_BLOCK + 2)
    first, second = unit[_BLOCK], unit[_BLOCK + 1]
    rows = []
    for x in unit[:_BLOCK]:  # transposed direct form II, on all unit inputs at once
        y = b0 * x + first
        first, second = b1 * x - a1 * y + second, b2 * x - a2 * y
        rows.append(y)
    return np.array([*rows, first, second])


def _stage(settings: AudioSettings, far: Loudspeaker | None) -> HighPass | WebRTC | None:
    if far is not None or settings.noise_reduction or settings.auto_gain_control:
        return WebRTC(settings, far)
    return HighPass() if settings.high_pass else None
