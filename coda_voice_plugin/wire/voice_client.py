"""The protocol ``coda.voice.v1``, client side: for programs that call a Coda.

As strict as the server side: what the protocol does not allow raises WireError.
"""

from __future__ import annotations

from ..errors import WireError
from ..events import AudioFrame, ClientEvent, ServerEvent, Speech
from .voice import HEADER
from .voice_table import CLIENT, SERVER


def encode(event: ClientEvent) -> str | bytes:
    """Write what a client says: text (JSON) or bytes (microphone sound). Raises WireError."""
    return event.pcm if isinstance(event, AudioFrame) else CLIENT.write(event)


def decode(message: str | bytes, output_rate: int) -> ServerEvent:
    """Read what the server sent; ``output_rate`` (Hertz) is that of its ready.

    Raises WireError.
    """
    if isinstance(message, bytes):
        if len(message) < HEADER.size or len(message) % 2:
            raise WireError(f"{len(message)} bytes are not a header and whole 16-bit samples.")
        turn, start = HEADER.unpack_from(message)
        return Speech(turn, AudioFrame(message[HEADER.size :], output_rate, start))
    event: ServerEvent = SERVER.read(message)
    return event
