"""Messages of Kyutai's moshi-server, its recogniser and its voice, in both directions.

Every WebSocket message is one msgpack map whose ``type`` names it. Source:
kyutai-labs/moshi at e6a55d2, ``rust/moshi-server/src``: ``asr.rs`` (InMsg, OutMsg),
``py_module.rs`` (InMsg) and ``tts.rs`` (OutMsg). Sound is 24 kHz mono, usually in
frames of 1,920 samples.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt

from ..errors import EngineMissingError, WireError
from .fields import Fields

Floats = npt.NDArray[np.float32]

RATE = 24_000
"""Hertz of all sound."""
FRAME = 1_920
"""Samples of one frame: the models make 12.5 steps a second."""
KEY_HEADER = "kyutai-api-key"
"""HTTP header of the handshake; the key must be one of the server's ``authorized_ids``."""
MAX_SAMPLES = 10 * RATE
"""Samples of one message at most."""
MAX_TEXT = 10_000
"""Characters of one message at most."""
_MOST_INT = 2**63 - 1
_HUGE = 1e38


@dataclass(frozen=True, slots=True)
class Init:
    """To the recogniser: begin anew. The server itself does so for each connection."""


@dataclass(frozen=True, slots=True, eq=False)
class Audio:
    """Sound, from or to a server: [samples], -1.0 to 1.0."""

    pcm: Floats


@dataclass(frozen=True, slots=True)
class OggOpus:
    """Sound as a piece of one continuous Ogg/Opus stream."""

    data: bytes


@dataclass(frozen=True, slots=True)
class Marker:
    """Sent back when the words of all sound before it have been told."""

    id: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A place at the server is taken. Servers of one connection only do not say it."""


@dataclass(frozen=True, slots=True)
class HeardWord:
    """A word, and the second of the stream at which it begins."""

    text: str
    start_s: float


@dataclass(frozen=True, slots=True)
class WordEnd:
    """The second at which the last word ends."""

    stop_s: float


@dataclass(frozen=True, slots=True)
class Step:
    """One frame was heard.

    ``pauses`` are probabilities that the user says nothing for longer and longer
    times; the third is the one that Kyutai ends turns by. Empty for models without them.
    """

    index: int
    pauses: tuple[float, ...]
    buffered: int = 0
    """Samples that wait at the server."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What the server says is wrong; "no free channels" when all places are taken."""

    message: str


@dataclass(frozen=True, slots=True)
class Text:
    """To the voice: more words. It cuts them at white space."""

    text: str


@dataclass(frozen=True, slots=True, eq=False)
class Voice:
    """To the voice, before the first word: whom to sound like; flat values and shape."""

    embeddings: Floats
    shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Eos:
    """To the voice: no more words. It speaks what it has and closes the connection."""


@dataclass(frozen=True, slots=True)
class SpokenWord:
    """A word, and where it sounds: seconds from the first sample of the connection."""

    text: str
    start_s: float
    stop_s: float


SttRequest = Init | Audio | OggOpus | Marker
SttEvent = Ready | HeardWord | WordEnd | Step | Marker | Failure
TtsRequest = Text | Voice | Eos
TtsEvent = Ready | Audio | OggOpus | SpokenWord | Failure
Message = SttRequest | SttEvent | TtsRequest | TtsEvent
M = TypeVar("M")


def encode(message: Message) -> bytes:
    """Write ``message``. Raises WireError for text with half surrogate pairs and for
    numbers that msgpack cannot carry; EngineMissingError without msgpack.
    """
    kind, fields = _fields(message)
    single = isinstance(message, Audio | Voice | Step)  # f32 there, f64 for times
    try:
        packed: bytes = _msgpack().packb({"type": kind, **fields}, use_single_float=single)
    except (ValueError, OverflowError) as error:
        raise WireError(f"{kind}: a field cannot be written as msgpack: {error}.") from error
    return packed


class Decoder(Generic[M]):
    """Reads one direction of one connection; made by the functions below."""

    def __init__(self, readers: Mapping[str, Callable[[Fields], M]]) -> None:
        self._readers = readers
        self.unknown = 0
        """Messages of types that are not known here: they are left out."""

    def read(self, data: bytes) -> M | None:
        """The message in ``data``; None for a type that is not known.

        Fields that are not known are left out too: a newer server may say more.
        Raises WireError for what is no message, or one with missing or wrong fields.
        """
        value = _unpack(data)
        if not isinstance(value, dict) or not isinstance(value.get("type"), str):
            raise WireError('a message must be a msgpack map with a "type" that is a string.')
        read = self._readers.get(value["type"])
        if read is None:
            self.unknown += 1
            return None
        return read(Fields(value))


def stt_events() -> Decoder[SttEvent]:
    """What a recogniser says."""
    return Decoder(_STT_EVENTS)


def stt_requests() -> Decoder[SttRequest]:
    """What a recogniser is told."""
    return Decoder(_STT_REQUESTS)


def tts_events() -> Decoder[TtsEvent]:
    """What a voice says."""
    return Decoder(_TTS_EVENTS)


def tts_requests() -> Decoder[TtsRequest]:
    """What a voice is told."""
    return Decoder(_TTS_REQUESTS)


def _fields(message: Message) -> tuple[str, dict[str, Any]]:
    match message:
        case Init() | Ready() | Eos():
            return type(message).__name__, {}
        case Audio(pcm):
            return "Audio", {"pcm": pcm.tolist()}
        case OggOpus(data):
            return "OggOpus", {"data": list(data)}  # the server reads a list, not msgpack's bin
        case Marker(number):
            return "Marker", {"id": number}
        case HeardWord(text, start):
            return "Word", {"text": text, "start_time": start}
        case WordEnd(stop):
            return "EndWord", {"stop_time": stop}
        case Step(index, pauses, buffered):
            return "Step", {"step_idx": index, "prs": list(pauses), "buffered_pcm": buffered}
        case Failure(text):
            return "Error", {"message": text}
        case Text(text):
            return "Text", {"text": text}
        case Voice(embeddings, shape):
            return "Voice", {"embeddings": embeddings.tolist(), "shape": list(shape)}
        case SpokenWord(text, start, stop):
            return "Text", {"text": text, "start_s": start, "stop_s": stop}


def _unpack(data: bytes) -> Any:
    msgpack = _msgpack()
    try:
        return msgpack.unpackb(data)
    except (ValueError, msgpack.UnpackException) as error:
        why = str(error) or type(error).__name__
        raise WireError(f"a message of {len(data)} bytes is no msgpack: {why}.") from error


def _msgpack() -> Any:
    try:
        import msgpack
    except ImportError as error:
        raise EngineMissingError("kyutai", "msgpack", "kyutai") from error
    return msgpack


def _numbers(fields: Fields, name: str, most: int = MAX_SAMPLES) -> Floats:
    """A list of finite numbers: [length] float32."""
    items = fields.items(name)
    if len(items) > most:
        raise WireError(f'{fields.kind}: the field "{name}" must have at most {most} numbers.')
    try:
        values = np.asarray(items) if items else np.zeros(0, np.float32)
    except ValueError as error:  # lists within the list
        raise _not_numbers(fields, name) from error
    if values.ndim != 1 or values.dtype.kind not in "fiu" or not (np.abs(values) < _HUGE).all():
        raise _not_numbers(fields, name)
    return values.astype(np.float32)


def _not_numbers(fields: Fields, name: str) -> WireError:
    return WireError(f'{fields.kind}: the field "{name}" must be a list of finite numbers.')


def _bytes(fields: Fields, name: str) -> bytes:
    """Bytes, written as such or as a list of numbers, which is how the server writes them."""
    value = fields.any(name)
    try:
        if isinstance(value, list | bytes):
            return bytes(value)
    except (ValueError, TypeError):
        pass
    raise WireError(f'{fields.kind}: the field "{name}" must be bytes.')


def _seconds(fields: Fields, name: str) -> float:
    value = fields.number(name)
    if not 0.0 <= value < 1e9:  # also refuses what is not a number
        raise WireError(f'{fields.kind}: the field "{name}" must be seconds from 0 on.')
    return value


def _spoken(fields: Fields) -> SpokenWord:
    start, stop = _seconds(fields, "start_s"), _seconds(fields, "stop_s")
    if stop < start:
        raise WireError("Text: a word cannot stop before it starts.")
    return SpokenWord(fields.text("text", MAX_TEXT), start, stop)


def _step(fields: Fields) -> Step:
    pauses = tuple(float(each) for each in _numbers(fields, "prs", 100))
    return Step(fields.count("step_idx", 0, _MOST_INT), pauses, _buffered(fields))


def _buffered(fields: Fields) -> int:
    try:
        return fields.count("buffered_pcm", 0, _MOST_INT)
    except WireError:
        return 0  # older servers do not say it, and nothing depends on it


def _voice(fields: Fields) -> Voice:
    shape = tuple(int(each) for each in _numbers(fields, "shape", 8))
    return Voice(_numbers(fields, "embeddings"), shape)


def _marker(fields: Fields) -> Marker:
    return Marker(fields.count("id", -_MOST_INT - 1, _MOST_INT))


def _audio(fields: Fields) -> Audio:
    return Audio(_numbers(fields, "pcm"))


def _ogg(fields: Fields) -> OggOpus:
    return OggOpus(_bytes(fields, "data"))


def _failure(fields: Fields) -> Failure:
    return Failure(fields.text("message"))


_STT_EVENTS: dict[str, Callable[[Fields], SttEvent]] = {
    "Ready": lambda f: Ready(),
    "Word": lambda f: HeardWord(f.text("text", MAX_TEXT), _seconds(f, "start_time")),
    "EndWord": lambda f: WordEnd(_seconds(f, "stop_time")),
    "Step": _step,
    "Marker": _marker,
    "Error": _failure,
}
_STT_REQUESTS: dict[str, Callable[[Fields], SttRequest]] = {
    "Init": lambda f: Init(),
    "Audio": _audio,
    "OggOpus": _ogg,
    "Marker": _marker,
}
_TTS_EVENTS: dict[str, Callable[[Fields], TtsEvent]] = {
    "Ready": lambda f: Ready(),
    "Audio": _audio,
    "OggOpus": _ogg,
    "Text": _spoken,
    "Error": _failure,
}
_TTS_REQUESTS: dict[str, Callable[[Fields], TtsRequest]] = {
    "Text": lambda f: Text(f.text("text", MAX_TEXT)),
    "Voice": _voice,
    "Eos": lambda f: Eos(),
}
