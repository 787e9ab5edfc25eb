"""Ogg/Opus streams, as Kyutai's servers and clients speak them: 24 kHz, mono.

Encoding and decoding take 0.7 ms for 80 ms of sound, without the interpreter's lock: they
belong on a thread. Needs the extra ``kyutai``.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import AudioError, EngineMissingError
from .pcm import Floats

RATE = 24_000
"""Hertz of the streams."""
PACKET = 960
"""Samples of one packet: 40 ms. Sound that is no multiple of it waits for its rest."""
MOST_S = 5
"""Seconds of sound in one piece at most: some bytes of Opus can stand for minutes."""
_SLICE = 512
"""Bytes that are decoded at a time. A page has at most 255 packets, so at most 30 s come of it."""


class OpusEncoder:
    """Writes one stream. Raises EngineMissingError without its package."""

    def __init__(self) -> None:
        self._writer = _sphn().OpusStreamWriter(RATE)

    def encode(self, samples: Floats) -> bytes:
        """The pages that are whole with ``samples``; the first ones begin the stream."""
        data: bytes = self._writer.append_pcm(samples)
        return data


class OpusDecoder:
    """Reads one stream, cut anywhere. Raises EngineMissingError without its package."""

    def __init__(self) -> None:
        self._reader = _sphn().OpusStreamReader(RATE)

    def decode(self, data: bytes) -> Floats:
        """The samples that are whole with ``data``.

        Raises AudioError for what is no Ogg/Opus stream, and then for all that follows,
        and for a piece of more than :data:`MOST_S` seconds.
        """
        parts: list[Floats] = []
        samples = 0
        for first in range(0, len(data), _SLICE):
            try:
                part = self._reader.append_bytes(data[first : first + _SLICE])
            except ValueError as error:
                raise AudioError(f"the sound is no Ogg/Opus stream: {error}.") from error
            parts.append(part)
            samples += len(part)
            if samples > MOST_S * RATE:
                raise AudioError(f"one piece holds more than {MOST_S} seconds of sound.")
        return np.concatenate([np.zeros(0, np.float32), *parts])


def _sphn() -> Any:
    try:
        import sphn
    except ImportError as error:
        raise EngineMissingError("opus", "sphn", "kyutai") from error
    return sphn
