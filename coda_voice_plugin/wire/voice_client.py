"""The protocol ``coda.voice.v1``, client side: for programs that call a Coda.

As strict as the server side: what the protocol does not allow raises WireError.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

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
    Turn,
    TurnEnded,
    Typed,
    UseModel,
    UserSpeech,
    UserText,
    Word,
)
from .fields import MAX_COUNT, Fields, read_object, write_object
from .voice import HEADER


def encode(event: ClientEvent) -> str | bytes:
    """Write what a client says: text (JSON) or bytes (microphone sound)."""
    match event:
        case AudioFrame():
            return event.pcm
        case Hello():
            fields: dict[str, Any] = {
                "rate": event.rate,
                "reports_playback": event.reports_playback,
            }
            if event.session is not None:
                fields["session"] = event.session
            return write_object("hello", fields)
        case Played():
            played = {"turn": event.turn, "samples": event.samples, "final": event.final}
            return write_object("played", played)
        case Stop():
            return write_object("stop", {})
        case Typed():
            return write_object("text", {"text": event.text})
        case TalkKey():
            return write_object("talk", {"down": event.down})
        case UseModel():
            return write_object("model", {"model": event.model})


def decode(message: str | bytes, output_rate: int) -> ServerEvent:
    """Read what the server sent; ``output_rate`` (Hertz) is that of its ready.

    Raises WireError.
    """
    if isinstance(message, bytes):
        if len(message) < HEADER.size or len(message) % 2:
            raise WireError(f"{len(message)} bytes are not a header and whole 16-bit samples.")
        turn, start = HEADER.unpack_from(message)
        return Speech(turn, AudioFrame(message[HEADER.size :], output_rate, start))
    fields = Fields(read_object(message))
    read = _READERS.get(fields.kind)
    if read is None:
        raise WireError(f"no message of type {fields.kind[:40]!r}.")
    event = read(fields)
    fields.done()
    return event


def _ready(fields: Fields) -> SessionReady:
    return SessionReady(
        session=fields.text("session"),
        strategy=fields.text("strategy"),
        stt=fields.text("stt"),
        tts=fields.text("tts"),
        llm=fields.text("llm"),
        input_rate=fields.count("input_rate", 1),
        output_rate=fields.count("output_rate", 1),
    )


def _word(item: object) -> Word:
    match item:
        case [str(text), int(start), int(end)] if (
            not isinstance(start, bool)
            and not isinstance(end, bool)
            and 0 <= start <= end <= MAX_COUNT
        ):
            return Word(text, start, end)
        case _:
            raise WireError("caption: each word must be [text, start, end], start <= end.")


def _caption(fields: Fields) -> Caption:
    return Caption(fields.count("turn"), tuple(map(_word, fields.items("words"))))


def _turn(fields: Fields) -> TurnEnded:
    return TurnEnded(
        Turn(
            index=fields.count("index"),
            user=fields.text("user"),
            assistant=fields.text("assistant"),
            generated=fields.text("generated"),
            interrupted=fields.flag("interrupted"),
            error=fields.optional_text("error"),
            typed=fields.flag("typed"),
            timings_ms=fields.numbers("timings_ms"),
            strategy=fields.text("strategy"),
            stt=fields.text("stt"),
            llm=fields.text("llm"),
            tts=fields.text("tts"),
            heard_ms=fields.number("heard_ms"),
            spoken_ms=fields.number("spoken_ms"),
        )
    )


_STATES = ("listening", "thinking", "speaking")

_READERS: dict[str, Callable[[Fields], ServerEvent]] = {
    "ready": _ready,
    "user_speech": lambda f: UserSpeech(f.flag("active")),
    "user_text": lambda f: UserText(f.text("text"), f.flag("final")),
    "state": lambda f: StateChanged(cast("Any", f.choice("state", _STATES))),
    "caption": _caption,
    "speech_end": lambda f: SpeechEnd(f.count("turn"), f.count("samples")),
    "hold": lambda f: Held(f.count("turn"), f.flag("held")),
    "flush": lambda f: Flush(f.count("turn")),
    "turn": _turn,
    "problem": lambda f: Problem(f.text("code"), f.text("message"), f.flag("fatal")),
    "notice": lambda f: Notice(f.text("kind"), f.object("data")),
}
