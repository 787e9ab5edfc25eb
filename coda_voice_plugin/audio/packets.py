"""Bare Opus packets (RFC 6716), mono, through the libopus that PyAV brings (extra ``cpu``).

A decoded stream sounds 6.5 ms after what was encoded: Opus looks ahead that far.
"""

from __future__ import annotations

from fractions import Fraction
from types import ModuleType
from typing import Any

import numpy as np

from ..errors import AudioError, EngineMissingError
from .pcm import Floats

PACKET_RATES = (8_000, 12_000, 16_000, 24_000, 48_000)
"""Hertz that Opus knows."""
FRAMES_MS = (10, 20, 40, 60)
"""Milliseconds that a packet of ours may hold."""
MOST_MS = 120
"""Milliseconds that any packet may hold (RFC 6716, section 3.2.5)."""
MOST_BYTES = 7_672
"""A packet of six frames of 1275 bytes and what describes them."""
LOOK_AHEAD_S = 0.0065
_PRIMED_MS = 120
_DECODED_RATE = 48_000
_EFFORT = 5
"""Of 10; above it costs twice as much and cannot be heard in speech."""


def packet_ms(packet: bytes) -> float:
    """How many milliseconds ``packet`` holds, by its first bytes (RFC 6716, section 3.1).

    Raises AudioError for what is no packet.
    """
    if not packet or len(packet) > MOST_BYTES:
        raise AudioError(f"an Opus packet has 1 to {MOST_BYTES} bytes; this one has {len(packet)}.")
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame = (10.0, 20.0, 40.0, 60.0)[config & 3]
    elif config < 16:
        frame = (10.0, 20.0)[config & 1]
    else:
        frame = (2.5, 5.0, 10.0, 20.0)[config & 3]
    if code == 3 and len(packet) < 2:
        raise AudioError("an Opus packet of one byte cannot hold several frames.")
    count = (1, 2, 2, packet[1] & 63 if code == 3 else 0)[code]
    if not count or count * frame > MOST_MS:
        raise AudioError(f"an Opus packet holds up to {MOST_MS} ms; this one {count * frame:g}.")
    return count * frame


class PacketEncoder:
    """Writes one stream, a frame at a time.

    ``rate`` is that of the samples, one of :data:`PACKET_RATES`; ``bitrate`` is bits a second.
    0.1 to 0.3 ms for 20 ms of sound on a slow core. Raises AudioError for sizes that Opus does not
    have, EngineMissingError without PyAV.
    """

    def __init__(self, rate: int, frame_ms: int = 20, bitrate: int = 24_000) -> None:
        if rate not in PACKET_RATES:
            raise AudioError(f"Opus has no sound of {rate} Hz; take one of {PACKET_RATES}.")
        self._av = _av()
        self.rate = rate
        self._past: Floats = np.zeros(0, np.float32)
        self._start(frame_ms, bitrate)

    @property
    def frame(self) -> int:
        """Samples that the next packet takes."""
        return self.frame_ms * self.rate // 1000

    def encode(self, samples: Floats) -> bytes:
        """The packet for the next :attr:`frame` samples. Raises AudioError for another length."""
        if len(samples) != self.frame:
            raise AudioError(f"a packet takes {self.frame} samples, and {len(samples)} came.")
        self._past = np.concatenate([self._past, samples])[-_PRIMED_MS * self.rate // 1000 :]
        return self._encode(samples)

    def change(self, frame_ms: int, bitrate: int) -> None:
        """Go on in other packets. The decoder notices nothing: FFmpeg cannot change a running
        encoder, so a new one is led through the last 120 ms, unheard, to stand where the old
        one stood."""
        if (frame_ms, bitrate) == (self.frame_ms, self.bitrate):
            return
        self._start(frame_ms, bitrate)
        whole = len(self._past) // self.frame * self.frame
        for first in range(len(self._past) - whole, len(self._past), self.frame):
            self._encode(self._past[first : first + self.frame])

    def restart(self) -> None:
        """What comes next begins a stream: it owes nothing to what came before."""
        self._past = np.zeros(0, np.float32)
        self._start(self.frame_ms, self.bitrate)

    def _start(self, frame_ms: int, bitrate: int) -> None:
        if frame_ms not in FRAMES_MS:
            raise AudioError(f"a packet holds one of {FRAMES_MS} ms, not {frame_ms}.")
        self.frame_ms, self.bitrate = frame_ms, bitrate
        codec = self._av.CodecContext.create("libopus", "w")
        codec.sample_rate = self.rate
        codec.layout = "mono"
        codec.format = "flt"
        codec.bit_rate = bitrate
        codec.options = {
            "application": "audio",  # voip turns the phases of deep voices about
            "vbr": "constrained",
            "frame_duration": str(frame_ms),
            "compression_level": str(_EFFORT),
        }
        codec.open()
        self._codec = codec
        self._position = 0

    def _encode(self, samples: Floats) -> bytes:
        frame = self._av.AudioFrame.from_ndarray(samples[None, :], format="flt", layout="mono")
        frame.sample_rate = self.rate
        frame.pts = self._position
        frame.time_base = Fraction(1, self.rate)
        self._position += len(samples)
        (packet,) = self._codec.encode(frame)
        return bytes(packet)


class PacketDecoder:
    """Reads one stream, a packet at a time, as sound of ``rate`` (one of :data:`PACKET_RATES`).

    The sound should have been made at ``rate`` or below: what is higher would fold down.
    0.1 ms for 20 ms of sound on a slow core. Raises EngineMissingError without PyAV.
    """

    def __init__(self, rate: int = _DECODED_RATE) -> None:
        if rate not in PACKET_RATES:
            raise AudioError(f"Opus has no sound of {rate} Hz; take one of {PACKET_RATES}.")
        self._av = _av()
        self.rate = rate
        self._step = _DECODED_RATE // rate
        self._start()

    def decode(self, packet: bytes) -> Floats:
        """The samples of ``packet``: as many as :func:`packet_ms` says.

        Raises AudioError for what is no packet; the next one may be good again.
        """
        samples = int(packet_ms(packet) * self.rate / 1000)
        try:
            frames = self._codec.decode(self._av.Packet(packet))
        except (self._av.FFmpegError, ValueError) as error:
            self._start()
            raise AudioError("these bytes are no Opus packet.") from error
        parts = [frame.to_ndarray().reshape(-1) for frame in frames]
        sound: Floats = np.concatenate(parts) if parts else np.zeros(0, np.float32)
        if len(sound) != samples * self._step:
            raise AudioError("an Opus packet holds another length of sound than it says.")
        # broken packets may decode to millions
        return np.clip(sound[:: self._step], -1.0, 1.0)

    def _start(self) -> None:
        codec: Any = self._av.CodecContext.create("libopus", "r")
        codec.sample_rate = _DECODED_RATE
        codec.layout = "mono"
        codec.options = {"request_sample_fmt": "flt"}
        codec.open()
        self._codec = codec


def _av() -> ModuleType:
    try:
        import av
    except ImportError as error:
        raise EngineMissingError("opus", "av", "cpu") from error
    return av
