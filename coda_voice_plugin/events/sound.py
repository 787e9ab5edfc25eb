"""Sound and the words in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

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
