"""The host as one Realtime call sees it: settings of its own, and a mouth that can be silent."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from typing import Any

import numpy as np

from ...config import VoiceConfig
from ...engine import SpokenAudio, TextToSpeech
from ...events import SpeakingStyle, Word
from ...host import Host
from ...speakable import Sayable
from ...wire.realtime.session import SessionSettings, TurnDetection

RATE = 24_000
"""Hertz of speech in a Realtime session."""
TICK = RATE // 100
"""Samples that a clause lasts which is only written."""
EAGER = {"low": (8_000, 2.0), "medium": (None, 1.0), "auto": (None, 1.0), "high": (2_000, 0.5)}
"""Longest silence in a turn, and what the waits of an unfinished turn are multiplied by."""


class CallHost(Host):
    """All of ``host``, with the settings of one call."""

    def __init__(self, host: Host, settings: SessionSettings) -> None:
        vars(self).update(vars(host))
        self.config = call_config(host.config, settings)
        self.silent = False
        """What is said is only written down, by the clause."""
        self._written = Written(self.config)

    @property
    def tts(self) -> TextToSpeech:
        return self._written if self.silent else super().tts


class Written(TextToSpeech):
    """A mouth that makes no sound: each clause passes in a moment, as it was written."""

    name = "written"
    sample_rate = RATE

    def sayable(self, text: str) -> Sequence[Sayable]:
        text = " ".join(text.split())
        return (Sayable(text, text),) if text else ()

    async def synthesize(
        self, text: str, style: SpeakingStyle
    ) -> AsyncGenerator[SpokenAudio, None]:
        yield SpokenAudio(np.zeros(TICK, np.float32), (Word(text, 0, TICK),))


def call_config(config: VoiceConfig, settings: SessionSettings) -> VoiceConfig:
    """The settings of a call: those of the server, and what the client asked for."""
    audio: dict[str, Any] = {"sample_rate": RATE}
    turn: dict[str, Any] = {}
    if settings.noise_reduction is not None:
        audio["noise_reduction"] = True
    if settings.turns is not None:
        _detect(config, settings.turns, audio, turn)
    return config.model_copy(
        update={
            "audio": config.audio.model_copy(update=audio),
            "turn": config.turn.model_copy(update=turn),
            # between a function call and its result nothing is said, for no response is open
            "speed": config.speed.model_copy(update={"openers": ()}),
            "conversation_mode": "full_duplex",
        }
    )


def _detect(
    config: VoiceConfig, turns: TurnDetection, audio: dict[str, Any], turn: dict[str, Any]
) -> None:
    if turns.kind == "server_vad":
        ms = turns.silence_duration_ms
        audio |= {"vad_threshold": turns.threshold, "silence_duration_ms": ms}
        turn |= dict.fromkeys(("confirm_ms", "unsure_ms", "unfinished_ms"), ms)
        turn |= {"speculative_ms": min(ms, config.turn.speculative_ms)}
        turn |= {"pre_roll_ms": turns.prefix_padding_ms}
        turn |= {"text_hint": False, "acoustic_hint": False}
        return
    longest, share = EAGER[turns.eagerness]
    if longest is not None:
        audio["silence_duration_ms"] = longest
    for name in ("unsure_ms", "unfinished_ms"):
        turn[name] = round(share * getattr(config.turn, name))
