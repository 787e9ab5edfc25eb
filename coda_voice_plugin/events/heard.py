"""What the ear reports to a strategy. Positions are microphone samples at MIC_RATE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..errors import VoiceError


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
