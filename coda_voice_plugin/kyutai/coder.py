"""Both directions of one connection's sound as Ogg/Opus, off the event loop. No torch."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..audio.opus import OpusDecoder, OpusEncoder
from ..threads import ModelThread
from .frames import Floats


class Coder:
    """Encodes one stream and decodes another, on a thread of its own; by :func:`open_coder`.

    Each direction has one caller, who waits for each piece: their order is that of the calls.
    """

    def __init__(self, thread: ModelThread) -> None:
        self._thread = thread
        self._encoder = OpusEncoder()
        self._decoder = OpusDecoder()

    async def encode(self, samples: Floats) -> bytes:
        """The bytes that are whole with ``samples``, 24 kHz."""
        return await self._thread.run(self._encoder.encode, samples)

    async def decode(self, data: bytes) -> Floats:
        """The samples that are whole with ``data``; raises AudioError for what is no Opus."""
        return await self._thread.run(self._decoder.decode, data)


@contextmanager
def open_coder() -> Iterator[Coder]:
    """Coders for one connection. Raises EngineMissingError without the extra ``kyutai``."""
    thread = ModelThread("opus")
    try:
        yield Coder(thread)
    finally:
        thread.close()
