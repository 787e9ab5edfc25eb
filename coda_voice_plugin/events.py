"""The frozen words that all rooms speak.

Sound is PCM16, mono, little endian, as ``bytes``. Positions count samples from
the beginning of the stream they belong to: the microphone's for what is heard,
the reply's for what is spoken. Seconds appear only where a person reads them.

Three families:

* what the ear reports to a strategy: :data:`Heard`;
* what a client is told: :data:`ServerEvent`;
* what a client may say: :data:`ClientEvent`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from .errors import VoiceError

MIC_RATE = 16_000
"""Hertz. Recognisers get the microphone at this rate, and strategies that name no other."""


Coding = Literal["pcm16", "opus"]
"""How sound travels: PCM16 as it is, or one Opus packet a message."""
Mode = Literal["full_duplex", "turn_based", "push_to_talk"]
"""How the two take turns, as ``conversation_mode`` in the settings."""


@dataclass(frozen=True, slots=True)
class AudioFrame:
    """A piece of sound: PCM16 mono little endian."""

    pcm: bytes
    rate: int = MIC_RATE
    """Hertz"""
    start: int = 0
    """Position of the first sample in its stream."""

    @property
    def samples(self) -> int:
        return len(self.pcm) // 2

    @property
    def end(self) -> int:
        """Position just after the last sample."""
        return self.start + self.samples

    @property
    def seconds(self) -> float:
        return self.samples / self.rate


@dataclass(frozen=True, slots=True)
class Word:
    """A spoken word and where it sounds, in samples of its reply."""

    text: str
    start: int
    end: int


# What the ear reports to a strategy (positions: microphone samples at MIC_RATE).


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak at ``at``."""

    at: int


@dataclass(frozen=True, slots=True)
class Transcript:
    """The user's words so far. ``final`` ones do not change any more."""

    text: str
    final: bool = False


@dataclass(frozen=True, slots=True)
class Pause:
    """The user paused: perhaps the turn is over. A strategy may begin to think.

    Followed by :class:`Resumed` (throw the work away) or :class:`Utterance`
    (the turn is confirmed; its text equals the last pause's).
    """

    text: str
    at: int
    """End of the last speech sample."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """The user went on speaking after a :class:`Pause`."""

    at: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The user's turn is over, confirmed by the silence after ``at``, the end of the speech.

    Comes once for each :class:`SpeechStarted`. An :class:`Utterance` follows if it was
    words and the strategy has an ear ("stt"); with "turns" alone this is the last word.
    None follows a back-channel over a reply, which goes on ("mm-hmm"), and a
    :class:`Misheard`.
    """

    at: int


@dataclass(frozen=True, slots=True)
class Utterance:
    """One finished user turn, spoken or typed."""

    text: str
    start: int = 0
    """First speech sample."""
    end: int = 0
    """Just after the last speech sample."""
    typed: bool = False
    moment: float = 0.0
    """When the last speech sample arrived, on the event loop's clock."""
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    """Measured from ``moment``: ``endpoint`` (turn confirmed), ``stt`` (text ready)."""


@dataclass(frozen=True, slots=True)
class Misheard:
    """The recogniser failed: the words of this utterance are lost. The client is told the
    same as a :class:`Problem`."""

    error: VoiceError


Heard = SpeechStarted | Transcript | Pause | Resumed | SpeechEnded | Utterance | Misheard


# One finished exchange.


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


# What a client is told.


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


# What a client may say (sound arrives as AudioFrame).


@dataclass(frozen=True, slots=True)
class Hello:
    """First message of a client: how it will send sound."""

    rate: int = 48_000
    """Hertz of the microphone frames that follow; 8000 to 96000."""
    reports_playback: bool = False
    """The client will send :class:`Played`; else playback is estimated."""
    session: str | None = None
    """Id of the conversation that goes on, or of a new one; None: a new one with an id of ours.
    Who holds it now is told that it goes on elsewhere."""
    resume: bool = False
    """The client can come back after a drop: it wants a token."""
    token: str | None = None
    """From an earlier :class:`SessionReady`: go on with :attr:`session`."""
    received: int | None = None
    """Counted messages of the server that it has; None: it has nothing any more."""
    input: Coding = "pcm16"
    output: tuple[Coding, ...] = ("pcm16",)
    """What it can play, best first."""
    events: tuple[str, ...] | None = None
    """The types of events that it wants; None: all. See :class:`Subscribe`."""


@dataclass(frozen=True, slots=True)
class Played:
    """``samples`` of reply ``turn`` have left the loudspeaker."""

    turn: int
    samples: int
    final: bool = False
    """It stopped there: the answer to :class:`Flush`."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Stop speaking now."""


@dataclass(frozen=True, slots=True)
class Typed:
    """A user turn in writing."""

    text: str


@dataclass(frozen=True, slots=True)
class TalkKey:
    """Push-to-talk: the key went ``down`` or up."""

    down: bool


@dataclass(frozen=True, slots=True)
class UseModel:
    """Think with another model from the next answer on; the conversation goes on.

    The mind belongs to the process: all its calls change with it.
    """

    model: str


@dataclass(frozen=True, slots=True)
class UseMode:
    """Take turns in another way from now on, in this call."""

    mode: Mode


@dataclass(frozen=True, slots=True)
class Mute:
    """The microphone is ``muted``: its sound counts as silence until it is not."""

    muted: bool


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Tell only events of these types, as they are called on the wire; None: all.

    Sound, and what a client needs to play it and to stay, is always told.
    """

    events: tuple[str, ...] | None


@dataclass(frozen=True, slots=True)
class Ping:
    """Are you there? ``rtt_ms`` is how long the last answer took; None: not known yet."""

    id: int
    rtt_ms: float | None = None


ClientEvent = (
    Hello
    | AudioFrame
    | Played
    | Stop
    | Typed
    | TalkKey
    | UseModel
    | UseMode
    | Mute
    | Subscribe
    | Ping
)


# What a mind reads and writes.


@dataclass(frozen=True, slots=True)
class Message:
    """One line of a conversation as a language model reads it."""

    role: Literal["system", "user", "assistant", "tool"]
    content: str
    name: str | None = None
    """Name of the tool, for role "tool"."""
    tool_calls: tuple[ToolCall, ...] = ()


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A model asks for a tool."""

    name: str
    arguments: Mapping[str, Any]
    id: str = ""


@dataclass(frozen=True, slots=True)
class Tool:
    """A tool that a model may call. ``parameters`` is a JSON schema object."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    run: Callable[[Mapping[str, Any]], Awaitable[str]]
    """Does it, and returns in words what came of it; may raise."""
    deadline_s: float | None = None
    """Seconds it may take, then it is cancelled; None leaves it to ``tools.deadline_ms``."""
    slow: bool = False
    """It takes longer than one likes to wait: something is said before it begins."""
    dangerous: bool = False
    """It runs only after the user has said yes to :attr:`question`."""
    question: str = ""
    """Asked before a dangerous tool runs: ``Shall I delete {file}?`` with the arguments'
    names in braces. Empty: made from the name and the arguments."""


@dataclass(frozen=True, slots=True)
class SpeakingStyle:
    """How a reply should sound; engines use what they can."""

    pace: float = 1.0
    """1.0 is the voice's own speed; 0.5 to 2.0."""
    voice: str | None = None
    guidance: str | None = None
    """A sentence for the mind: warmth, length, manner."""
