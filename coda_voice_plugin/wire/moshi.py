"""Messages of a Moshi server (``/api/chat``), in both directions.

Every WebSocket message is binary and begins with one byte, its kind. Sources:
kyutai-labs/moshi ``rust/protocol.md``; ``moshi/server.py`` and ``moshi/client.py`` of
moshi 0.2.13, which use the first three kinds and leave out the others.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import WireError

HANDSHAKE, SOUND, TEXT, CONTROL, METADATA, ERROR, PING = range(7)
"""Kinds; the first byte of a message."""
MOST_TEXT = 10_000
"""Bytes of one text at most."""


@dataclass(frozen=True, slots=True)
class Handshake:
    """From the server, first: a place is taken, sound may come."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A piece of one continuous Ogg/Opus stream, 24 kHz mono; cut anywhere."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of what Moshi says; one that begins a word begins with a space."""

    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """What is wrong, as a sentence. Python's server never says it, Rust's may."""

    message: str


Message = Handshake | Sound | Text | Failure


def encode(message: Message) -> bytes:
    """Write ``message``; raises WireError for text with half surrogate pairs."""
    match message:
        case Handshake():
            return bytes([HANDSHAKE])
        case Sound(data):
            return bytes([SOUND]) + data
        case Text(text):
            return bytes([TEXT]) + _utf8(text)
        case Failure(text):
            return bytes([ERROR]) + _utf8(text)


class Decoder:
    """Reads one direction of one connection."""

    def __init__(self) -> None:
        self.unknown = 0
        """Messages of kinds that are not used here: they are left out, as the protocol asks."""

    def read(self, data: bytes) -> Message | None:
        """The message in ``data``; None for a kind that is not used.

        Raises WireError for an empty message and for text that is not UTF-8. What
        follows a handshake (Rust's server tells versions) is not looked at.
        """
        if not data:
            raise WireError("a message must begin with its kind; this one is empty.")
        match data[0]:
            case 0:
                return Handshake()
            case 1:
                return Sound(data[1:])
            case 2:
                return Text(_text(data))
            case 5:
                return Failure(_text(data))
            case _:
                self.unknown += 1
                return None


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise WireError(f"a text cannot be written as UTF-8: {error.reason}.") from error


def _text(data: bytes) -> str:
    if len(data) > MOST_TEXT:
        raise WireError(f"a text of {len(data)} bytes is too long; at most {MOST_TEXT}.")
    try:
        return data[1:].decode()
    except UnicodeDecodeError as error:
        raise WireError(f"a text must be UTF-8: {error.reason}.") from error
