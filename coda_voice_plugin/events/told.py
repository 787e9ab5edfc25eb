"""What a client is told, and the finished exchange that comes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .sound import AudioFrame, Coding, Mode, Word


@dataclass(frozen=True, slots=True)
class Turn:
    """What was said and what was really heard, once it is over.

    ``timings_ms`` are measured from the last speech sample of the user, but for ``capture``,
    which is the length of the piece of sound that it came in:
    ``endpoint``, ``stt``, ``llm_first_token``, ``tts_first_audio``,
    ``first_audio`` (the first audio byte leaves for the client), ``first_content`` (the first
    of the answer itself, where an opener may stand before it).
    """

    index: int
    user: str
    assistant: str
    """The words whose sound the listener heard to their end."""
    generated: str
    """All words that were written for this reply, heard or not."""
    interrupted: bool = False
    error: str | None = None
    """Stable code of what broke this reply, if something did."""
    typed: bool = False
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    strategy: str = ""
    stt: str = ""
    llm: str = ""
    tts: str = ""
    heard_ms: float = 0.0
    """Length of the sound that the listener heard."""
    spoken_ms: float = 0.0
    """Length of the user's speech."""


@dataclass(frozen=True, slots=True)
class SessionReady:
    """First event of a session."""

    session: str
    strategy: str
    stt: str
    tts: str
    llm: str
    input_rate: int
    output_rate: int
    """Hertz of every :class:`Speech` in this session."""
    token: str | None = None
    """Lets its bearer go on with the session after a drop; None: it cannot be gone on with."""
    lease_s: float = 0.0
    """Seconds for which the session waits for its client after a drop; 0: not at all."""
    resumed: Literal["no", "live", "stored"] = "no"
    """live: it goes on where it was; stored: a new call on the stored history."""
    heard: int = 0
    """Counted messages of the client that the server has."""
    missed: int = 0
    """Counted messages of the server that were too old to be sent again."""
    input: Coding = "pcm16"
    output: Coding = "pcm16"
    mode: Mode = "full_duplex"


@dataclass(frozen=True, slots=True)
class UserSpeech:
    """The user started (``active``) or stopped speaking."""

    active: bool


@dataclass(frozen=True, slots=True)
class UserText:
    """Caption of the user's words; ``final`` settles them."""

    text: str
    final: bool


@dataclass(frozen=True, slots=True)
class StateChanged:
    """What the assistant is doing now."""

    state: Literal["listening", "thinking", "speaking"]


@dataclass(frozen=True, slots=True)
class Caption:
    """Words of a reply and the samples of that reply in which they sound."""

    turn: int
    words: tuple[Word, ...]


@dataclass(frozen=True, slots=True)
class Speech:
    """A frame of a reply. ``frame.start`` counts from the reply's first sample."""

    turn: int
    frame: AudioFrame


@dataclass(frozen=True, slots=True)
class SpeechEnd:
    """All sound of reply ``turn`` has been sent: ``samples`` in all."""

    turn: int
    samples: int


@dataclass(frozen=True, slots=True)
class Held:
    """Reply ``turn`` stands still (``held``) because the user speaks, or goes on from there.
    A :class:`Flush` ends it too."""

    turn: int
    held: bool


@dataclass(frozen=True, slots=True)
class Flush:
    """Reply ``turn`` was interrupted: throw away what is not yet played, and
    report the final position."""

    turn: int


@dataclass(frozen=True, slots=True)
class TurnEnded:
    """An exchange is over and stored."""

    turn: Turn


@dataclass(frozen=True, slots=True)
class Problem:
    """Something failed. ``fatal`` ones end the session."""

    code: str
    message: str
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Notice:
    """Anything else a client or plugin may want to know: tools, modes, decisions."""

    kind: str
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Stage:
    """Reply ``turn`` has come to ``stage``, named as in :attr:`Turn.timings_ms`."""

    turn: int
    stage: str
    ms: float
    """From the last sample of the user's speech."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to :class:`Ping` ``id``."""

    id: int
    heard: int
    """Counted messages of the client that the server has."""


ServerEvent = (
    SessionReady
    | UserSpeech
    | UserText
    | StateChanged
    | Caption
    | Speech
    | SpeechEnd
    | Held
    | Flush
    | TurnEnded
    | Problem
    | Notice
    | Stage
    | Pong
)
