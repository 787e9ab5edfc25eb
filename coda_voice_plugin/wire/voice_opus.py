"""The binary messages of ``coda.voice.v1`` where Opus was agreed on, both ends; no I/O.

Speech is the header of ``voice.py`` and one bare Opus packet, a microphone bare packets. All
classes need PyAV (extra ``cpu``) and raise EngineMissingError without it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..audio.packets import PacketDecoder, PacketEncoder, packet_ms
from ..audio.pcm import Floats, to_floats, to_pcm
from ..errors import AudioError, WireError
from ..events import AudioFrame, Flush, ServerEvent, Speech, SpeechEnd
from .voice import HEADER, header
from .voice_table import OPUS_RATE

LEAST_MS, MOST_MS = 10, 60
"""Milliseconds of a packet."""
_NOTHING = np.zeros(0, np.float32)


@dataclass(frozen=True, slots=True)
class SpeechPacket:
    """One binary message of reply ``turn``: sound up to sample ``end``."""

    message: bytes
    turn: int
    end: int


class SpeechPackets:
    """Server: the replies of one session as messages.

    Frames may have any length; a packet leaves when it is full, the last one of a reply filled
    up with silence. Each reply begins a stream of its own. ``rate`` is that of the speech:
    Opus has only :data:`~coda_voice_plugin.audio.packets.PACKET_RATES`.
    """

    def __init__(self, rate: int, frame_ms: int = 20, bitrate: int = 32_000) -> None:
        self._encoder = PacketEncoder(rate, frame_ms, bitrate)
        self._rest: Floats = _NOTHING
        self._turn: int | None = None
        self._at = 0
        """Position of the first sample of the rest."""

    def change(self, frame_ms: int, bitrate: int) -> None:
        """Go on in other packets."""
        self._encoder.change(frame_ms, bitrate)

    def write(self, event: ServerEvent) -> list[SpeechPacket]:
        """The messages to send for ``event``; for one that is no :class:`Speech`, before it.

        Raises WireError for positions past 32 bits.
        """
        match event:
            case Speech():
                return self._speech(event)
            case SpeechEnd(turn) if turn == self._turn:
                messages = self._fill()
                self._turn = None
                return messages
            case Flush(turn) if turn == self._turn:
                self._rest, self._turn = _NOTHING, None
        return []

    def _speech(self, event: Speech) -> list[SpeechPacket]:
        messages: list[SpeechPacket] = []
        start = event.frame.start
        if event.turn != self._turn or start != self._at + len(self._rest):
            messages += self._fill() if event.turn == self._turn else []
            self._encoder.restart()
            self._rest, self._turn, self._at = _NOTHING, event.turn, start
        self._rest = np.concatenate([self._rest, to_floats(event.frame.pcm)])
        while len(self._rest) >= self._encoder.frame:
            messages.append(self._packet())
        return messages

    def _packet(self) -> SpeechPacket:
        assert self._turn is not None
        size = self._encoder.frame
        frame, self._rest = self._rest[:size], self._rest[size:]
        message = header(self._turn, self._at) + self._encoder.encode(frame)
        self._at += size
        return SpeechPacket(message, self._turn, self._at)

    def _fill(self) -> list[SpeechPacket]:
        """The rest, and silence behind it."""
        if not len(self._rest):
            return []
        lacking = self._encoder.frame - len(self._rest)
        self._rest = np.concatenate([self._rest, np.zeros(lacking, np.float32)])
        return [self._packet()]


class SpeechSound:
    """Client: what a server's :class:`SpeechPackets` sent, as sound of ``rate``.

    The last frame of a reply may reach behind the end that :class:`SpeechEnd` tells: that is
    silence.
    """

    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._decoder = PacketDecoder(rate)
        self._turn: int | None = None

    def read(self, message: bytes) -> Speech:
        """Raises WireError for what is no header with a packet."""
        if len(message) <= HEADER.size:
            raise WireError(f"{len(message)} bytes are not a header and an Opus packet.")
        turn, start = HEADER.unpack_from(message)
        if turn != self._turn:
            self._turn, self._decoder = turn, PacketDecoder(self._rate)
        pcm = _decoded(self._decoder, message[HEADER.size :])
        return Speech(turn, AudioFrame(pcm, self._rate, start))


class MicPackets:
    """Client: a microphone as messages of 20 ms. ``rate`` is that of its sound."""

    def __init__(self, rate: int = OPUS_RATE, bitrate: int = 24_000) -> None:
        self._encoder = PacketEncoder(rate, 20, bitrate)
        self._rest: Floats = _NOTHING

    def write(self, frame: AudioFrame) -> list[bytes]:
        """The messages that are full with ``frame``."""
        self._rest = np.concatenate([self._rest, to_floats(frame.pcm)])
        size, messages = self._encoder.frame, []
        while len(self._rest) >= size:
            messages.append(self._encoder.encode(self._rest[:size]))
            self._rest = self._rest[size:]
        return messages


class MicSound:
    """Server: a microphone that comes as Opus packets, as sound of :data:`OPUS_RATE`."""

    def __init__(self) -> None:
        self._decoder = PacketDecoder(OPUS_RATE)

    def read(self, message: bytes) -> AudioFrame:
        """Raises WireError for what is no packet of 10 to 60 ms."""
        return AudioFrame(_decoded(self._decoder, message), OPUS_RATE)


def _decoded(decoder: PacketDecoder, packet: bytes) -> bytes:
    try:
        length = packet_ms(packet)
        if not LEAST_MS <= length <= MOST_MS:
            raise WireError(
                f"an Opus packet must hold {LEAST_MS} to {MOST_MS} ms; this one holds {length:g}."
            )
        return to_pcm(decoder.decode(packet))
    except AudioError as error:
        raise WireError(f"a binary message must be an Opus packet: {error}") from error
