"""How the sound of a session travels: PCM16 as it is, or Opus packets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import AudioError, ServerError, WireError
from ..events import AudioFrame, ClientEvent, ServerEvent, SessionReady, Speech
from ..wire import voice_client
from ..wire.voice import HEADER

if TYPE_CHECKING:
    from ..audio.packets import PacketDecoder, PacketEncoder

OPUS_RATE = 48_000
"""Hertz that hello names for a microphone that comes as Opus, whatever it is made of."""


class Coding:
    """Writes and reads messages; ``rate`` is the microphone's, in hertz.

    With ``opus`` the microphone is sent in packets of 20 ms: sound waits until one is full.
    Raises AudioError for a rate that Opus does not have, EngineMissingError without PyAV.
    """

    def __init__(self, rate: int, *, opus: bool = False) -> None:
        self._encoder = _encoder(rate) if opus else None
        self._rest = b""
        self._decoder: PacketDecoder | None = None
        self._output_rate = 0

    def begin(self, ready: SessionReady) -> None:
        """Go on as was agreed on. Raises ServerError when the server cannot hear Opus."""
        if self._encoder is not None and ready.input != "opus":
            raise ServerError("the server takes no Opus; connect with input='pcm16'.")
        self._output_rate = ready.output_rate
        self._decoder = _decoder(ready.output_rate) if ready.output == "opus" else None

    def write(self, event: ClientEvent) -> list[str | bytes]:
        """The messages that say ``event``. Raises WireError."""
        if isinstance(event, AudioFrame) and self._encoder is not None:
            return self._packets(self._encoder, event.pcm)
        return [voice_client.encode(event)]

    def read(self, message: str | bytes) -> ServerEvent:
        """What a message of the server says. Raises WireError."""
        if self._decoder is None or isinstance(message, str):
            return voice_client.decode(message, self._output_rate)
        if len(message) <= HEADER.size:
            raise WireError(f"{len(message)} bytes are not a header and an Opus packet.")
        turn, start = HEADER.unpack_from(message)
        try:
            samples = self._decoder.decode(message[HEADER.size :])
        except AudioError as error:
            raise WireError(f"speech of turn {turn}: {error}") from error
        from ..audio import to_pcm

        return Speech(turn, AudioFrame(to_pcm(samples), self._output_rate, start))

    def _packets(self, encoder: PacketEncoder, pcm: bytes) -> list[str | bytes]:
        from ..audio import to_floats

        pcm = self._rest + pcm
        size = 2 * encoder.frame
        whole = len(pcm) - len(pcm) % size
        self._rest = pcm[whole:]
        return [encoder.encode(to_floats(pcm[at : at + size])) for at in range(0, whole, size)]


def _encoder(rate: int) -> PacketEncoder:
    from ..audio.packets import PacketEncoder

    return PacketEncoder(rate)


def _decoder(rate: int) -> PacketDecoder:
    from ..audio.packets import PacketDecoder

    return PacketDecoder(rate)
