"""The protocol ``coda.voice.v1``, server side; ``docs/protocol.md`` describes every byte.

Text messages are JSON objects with a ``type``. Binary messages are sound: from
the client bare PCM16 at the rate of its hello, to the client an 8-byte header
(turn, first sample; unsigned 32 bits, little endian) and PCM16.
``voice_client.py`` is the other side.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from typing import Any

from ..errors import WireError
from ..events import (
    AudioFrame,
    Caption,
    ClientEvent,
    Flush,
    Held,
    Hello,
    Notice,
    Played,
    Problem,
    ServerEvent,
    SessionReady,
    Speech,
    SpeechEnd,
    StateChanged,
    Stop,
    TalkKey,
    TurnEnded,
    Typed,
    UseModel,
    UserSpeech,
    UserText,
)
from .fields import MAX_COUNT, Fields, read_object, write_object

SUBPROTOCOL = "coda.voice.v1"
"""Name of this protocol in the WebSocket handshake."""
MIN_RATE, MAX_RATE = 8_000, 96_000
"""Hertz that a microphone may have."""
MAX_TEXT = 4_000
"""Characters of one typed turn."""
MAX_NAME = 200
"""Characters of a model's name."""
SESSION_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
"""What a client may call a conversation; it can be the name of a file."""
HEADER = struct.Struct("<II")
"""Turn and first sample, before the sound of a reply."""

READY_FIELDS = ("session", "strategy", "stt", "tts", "llm", "input_rate", "output_rate")
TURN_FIELDS = (
    "index",
    "user",
    "assistant",
    "generated",
    "interrupted",
    "error",
    "typed",
    "timings_ms",
    "strategy",
    "stt",
    "llm",
    "tts",
    "heard_ms",
    "spoken_ms",
)


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
    value = read_object(message)
    fields = Fields(value)
    read = _READERS.get(fields.kind)
    if read is None:
        known = ", ".join(_READERS)
        raise WireError(f"no message of type {fields.kind[:40]!r}; a client may send {known}.")
    event = read(fields)
    fields.done()
    return event


def _session(fields: Fields) -> str | None:
    name = fields.optional_text("session")
    if name is not None and not SESSION_ID.fullmatch(name):
        raise WireError(
            'hello: the field "session" must be 1 to 128 letters, digits, ".", "_" or "-", '
            "beginning with a letter or digit."
        )
    return name


def _typed(fields: Fields) -> Typed:
    text = fields.text("text", MAX_TEXT)
    if not text.strip():
        raise WireError('text: the field "text" must not be empty.')
    return Typed(text)


def _use_model(fields: Fields) -> UseModel:
    model = fields.text("model", MAX_NAME)
    if not model.strip():
        raise WireError('model: the field "model" must not be empty.')
    return UseModel(model)


_READERS: dict[str, Callable[[Fields], ClientEvent]] = {
    "hello": lambda f: Hello(
        rate=f.count("rate", MIN_RATE, MAX_RATE),
        reports_playback=f.flag("reports_playback", default=False),
        session=_session(f),
    ),
    "played": lambda f: Played(
        turn=f.count("turn"), samples=f.count("samples"), final=f.flag("final", default=False)
    ),
    "stop": lambda f: Stop(),
    "text": _typed,
    "talk": lambda f: TalkKey(down=f.flag("down")),
    "model": _use_model,
}


def encode(event: ServerEvent) -> str | bytes:
    """Write ``event`` for a client: text (JSON) or bytes (sound).

    Raises WireError for values that the protocol cannot carry: positions past
    32 bits, NaN, data of a Notice that is not JSON.
    """
    if isinstance(event, Speech):
        return _speech(event)
    return write_object(*_fields(event))


def _speech(event: Speech) -> bytes:
    try:
        return HEADER.pack(event.turn, event.frame.start) + event.frame.pcm
    except struct.error as error:
        raise WireError(
            f"turn {event.turn} and sample {event.frame.start} must be from 0 to {MAX_COUNT}."
        ) from error


def _fields(event: ServerEvent) -> tuple[str, dict[str, Any]]:
    match event:
        case SessionReady():
            return "ready", {name: getattr(event, name) for name in READY_FIELDS}
        case UserSpeech():
            return "user_speech", {"active": event.active}
        case UserText():
            return "user_text", {"text": event.text, "final": event.final}
        case StateChanged():
            return "state", {"state": event.state}
        case Caption():
            words = [[word.text, word.start, word.end] for word in event.words]
            return "caption", {"turn": event.turn, "words": words}
        case SpeechEnd():
            return "speech_end", {"turn": event.turn, "samples": event.samples}
        case Held():
            return "hold", {"turn": event.turn, "held": event.held}
        case Flush():
            return "flush", {"turn": event.turn}
        case TurnEnded():
            fields = {name: getattr(event.turn, name) for name in TURN_FIELDS}
            return "turn", fields | {"timings_ms": dict(event.turn.timings_ms)}
        case Problem():
            return "problem", {
                "code": event.code,
                "message": event.message,
                "fatal": event.fatal,
            }
        case Notice():
            return "notice", {"kind": event.kind, "data": dict(event.data)}
        case _:
            raise WireError(f"{type(event).__name__} is not an event of {SUBPROTOCOL}.")
