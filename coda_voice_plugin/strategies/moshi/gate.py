"""Whose turn it is, for a model that would take the floor in every pause."""

from __future__ import annotations

from coda_voice_plugin import MIC_RATE, Heard, Pause, Resumed, SpeechEnded, SpeechStarted
from coda_voice_plugin.config import TurnSettings
from coda_voice_plugin.kyutai.frames import FRAME_S

BACKCHANNEL_MS = 600
"""While Moshi speaks, a sound of the user shorter than this ("mm-hm", "yeah") is no turn."""
LONGEST_S = 30.0
"""Closed for so long, it opens for the rest of the turn: a television is not to mute Moshi."""


class PauseGate:
    """Closed while the user holds the turn: speaks, or pauses inside it. One per call.

    :meth:`hear` takes what the user does and :meth:`speaks` one frame (80 ms) of the
    model after the other; time is counted in those frames. The gate is open until the
    user speaks, closes with the first speech, and opens when the turn is confirmed to be
    over (``SpeechEnded``). While the model itself speaks, it closes only for speech
    of ``max(turn.barge_in_ms, BACKCHANNEL_MS)``, or when the model falls silent while the
    user is speaking.
    """

    def __init__(self, turn: TurnSettings, *, longest_s: float = LONGEST_S) -> None:
        self._backchannel_s = max(turn.barge_in_ms, BACKCHANNEL_MS) / 1_000
        self._noticed_s = turn.min_speech_ms / 1_000
        self._longest_s = longest_s
        self._model_speaks = False
        self._held = False
        """The turn is the user's."""
        self._began: int | None = None
        """Where the speech began that may be a back-channel."""
        self._sounded_s = 0.0
        """How long that speech has gone on."""
        self._closed_s = 0.0

    @property
    def open(self) -> bool:
        """Whether the model may begin to speak."""
        return not self._held or self._closed_s >= self._longest_s

    def hear(self, heard: Heard) -> None:
        """Take the next event of ``call.hear()``."""
        match heard:
            case SpeechStarted(at) | Resumed(at):
                if self._model_speaks:
                    self._began, self._sounded_s = at, self._noticed_s
                else:
                    self._take_turn()
            case Pause(at=at) if self._began is not None:
                if (at - self._began) / MIC_RATE >= self._backchannel_s:
                    self._take_turn()
                self._began = None
            case SpeechEnded():
                self._held, self._began, self._closed_s = False, None, 0.0

    def speaks(self, speaks: bool) -> None:
        """Take a frame of the model: whether it speaks in it."""
        self._model_speaks = speaks
        if self._held:
            self._closed_s += FRAME_S
        elif self._began is not None:
            self._sounded_s += FRAME_S
            if not speaks or self._sounded_s >= self._backchannel_s:
                self._take_turn()

    def _take_turn(self) -> None:
        self._held, self._began = True, None
