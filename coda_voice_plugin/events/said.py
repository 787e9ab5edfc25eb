"""What a client may say; sound arrives as AudioFrame."""

from __future__ import annotations

from dataclasses import dataclass

from .sound import AudioFrame, Coding, Mode


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
