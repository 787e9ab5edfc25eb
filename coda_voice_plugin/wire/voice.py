"""The protocol ``coda.voice.v1``, server side; ``docs/protocol.md`` describes every byte.

Text messages are JSON objects with a ``type``; ``voice_table.py`` says which. Binary
messages are sound: from the client bare PCM16 at the rate of its hello, to the client an
8-byte header (turn, first sample; unsigned 32 bits, little endian) and PCM16. Where Opus
was agreed on, ``audio/packets.py`` reads and writes the binary messages instead.
``voice_client.py`` is the other side.
"""

from __future__ import annotations

import re
import struct

from ..errors import WireError
from ..events import AudioFrame, ClientEvent, ServerEvent, Speech
from .kinds import MAX_COUNT
from .voice_table import ALWAYS, CLIENT, MAX_RATE, MIN_RATE, SERVER, SESSION_PATTERN, SUBPROTOCOL

__all__ = [
    "HEADER",
    "MAX_RATE",
    "MIN_RATE",
    "SESSION_ID",
    "SUBPROTOCOL",
    "decode",
    "encode",
    "is_wanted",
]

SESSION_ID = re.compile(SESSION_PATTERN)
"""What a client may call a conversation; it can be the name of a file."""
HEADER = struct.Struct("<II")
"""Turn and first sample, before the sound of a reply."""


def decode(message: str | bytes, rate: int) -> ClientEvent:
    """Read what a client sent; ``rate`` is the microphone's, from its hello.

    Raises WireError. A frame's ``start`` is left at 0: the session counts.
    """
    if isinstance(message, bytes):
        if not message or len(message) % 2:
            raise WireError(
                f"a binary message must hold whole 16-bit samples; this one has "
                f"{len(message)} bytes."
            )
        return AudioFrame(message, rate)
    event: ClientEvent = CLIENT.read(message)
    return event


def encode(event: ServerEvent) -> str | bytes:
    """Write ``event`` for a client: text (JSON) or bytes (sound).

    Raises WireError for values that the protocol cannot carry: positions past
    32 bits, NaN, data of a Notice that is not JSON.
    """
    if isinstance(event, Speech):
        return header(event.turn, event.frame.start) + event.frame.pcm
    return SERVER.write(event)


def header(turn: int, start: int) -> bytes:
    """What stands before the sound of reply ``turn`` from sample ``start`` on.

    Raises WireError for what is more than 32 bits.
    """
    try:
        return HEADER.pack(turn, start)
    except struct.error as error:
        raise WireError(f"turn {turn} and sample {start} must be from 0 to {MAX_COUNT}.") from error


def is_wanted(event: ServerEvent, events: tuple[str, ...] | None) -> bool:
    """Whether a client that subscribed to ``events`` (None: to all) is told ``event``."""
    form = SERVER.form_of(event)
    return events is None or form is None or form.name in ALWAYS or form.name in events
