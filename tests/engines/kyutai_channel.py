"""One place at the stand-in of Kyutai's moshi-server, and the models that serve it.

The sources are named in ``kyutai_server.py``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from kyutai_tones import WORDS, tone, tone_in

from coda_voice_plugin.engine import Floats
from coda_voice_plugin.wire.kyutai import (
    FRAME,
    RATE,
    Audio,
    Eos,
    HeardWord,
    Message,
    SpokenWord,
    Step,
    Text,
    WordEnd,
)

STEP_HZ = 12.5
TTS_DELAY = 16
"""Steps from a word in the text to its sound; ``max_delay`` adds two."""
TTS_AHEAD = 2
"""Words beyond the next one that must be known before it is spoken."""


@dataclass
class Fault:
    """What happens to one connection."""

    drop_after: int | None = None
    """Messages after which the connection is reset, without a goodbye."""
    close_after: int | None = None
    """Messages after which it is closed with ``close_code``."""
    close_code: int = 1000
    silent: bool = False
    """It is accepted, and never answered."""
    garbage: bytes | str | None = None
    """Said instead of the first message."""
    error: str | None = None
    """Reported instead of the first message."""
    stall_after: int | None = None
    """Messages after which nothing more is said."""


@dataclass(eq=False)
class Channel:
    """One place that is taken."""

    fault: Fault
    voice: str = ""
    inbox: deque[Any] = field(default_factory=deque)
    outbox: deque[Message | None] = field(default_factory=deque)
    more: asyncio.Event = field(default_factory=asyncio.Event)
    heard: list[Floats] = field(default_factory=list)
    """Every frame that was given to the model."""
    told: list[Any] = field(default_factory=list)
    """Every message of the client."""
    data: Floats = field(default_factory=lambda: np.zeros(0, np.float32))
    closed_at: float | None = None
    """When the client hung up, on the loop's clock."""
    state: Any = None

    def say(self, message: Message | None) -> None:
        """``None`` closes the connection properly."""
        self.outbox.append(message)
        self.more.set()

    @property
    def sound(self) -> Floats:
        return np.concatenate([np.zeros(0, np.float32), *self.heard])


class Listening:
    """One utterance at the recogniser; words come ``delay`` steps after their sound."""

    def __init__(self, delay: int) -> None:
        self._delay = delay
        self._word: int | None = None
        self._start = 0
        self._quiet = 0

    def step(self, channel: Channel, step_idx: int, tells_steps: bool) -> None:
        newest = tone_in(channel.heard[-1])
        self._quiet = self._quiet + 1 if newest is None else 0
        if tells_steps:
            pause = min(1.0, self._quiet / 8)
            channel.say(Step(step_idx, (0.0, 0.0, pause, 0.0), len(channel.data)))
        at = len(channel.heard) - self._delay
        if at < 0:
            return
        word = tone_in(channel.heard[at])
        if word != self._word:
            if self._word is not None:
                channel.say(HeardWord(WORDS[self._word], self._start / STEP_HZ))
                channel.say(WordEnd(at / STEP_HZ))
            self._word, self._start = word, at


class Talking:
    """One answer of the voice: a tone for each word, in the order of :data:`WORDS`."""

    def __init__(self) -> None:
        self.words: deque[str] = deque()
        self.score: list[int | None] = [None, None]
        """The tone of each frame of sound; answers begin with two of silence."""
        self._text = 0  # words that were taken into the score
        self._told: str | None = None
        self._since = 0
        self._steps = 0
        self._complete = False
        self._end: int | None = None
        self._over = False

    def step(self, channel: Channel) -> bool:
        """Take one message and make one step; False when there is nothing to do."""
        if self._over:
            return False
        took = self._read(channel)
        if self._end is None and self._steps >= len(self.score):
            if not self._complete and len(self.words) <= TTS_AHEAD:
                return took
            if not self._next_word(channel):
                self._end = self._steps + TTS_DELAY + 4 + 2
        self._steps += 1
        frame = self._steps - TTS_DELAY - 2 - 1
        if frame >= 0:
            playing = self.score[frame] if frame < len(self.score) else None
            level = 0.0 if playing is None else 0.3
            channel.say(Audio(tone(playing or 0, FRAME / RATE, RATE, level)))
        if self._end is not None and self._steps >= self._end:
            self._tell(channel)
            channel.say(None)
            self._over = True
        return True

    def _read(self, channel: Channel) -> bool:
        if not channel.inbox:
            return False
        match channel.inbox.popleft():
            case Text(text):
                text = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").replace(":", " ")
                self.words += text.replace("(", "").replace(")", "").split()
            case Eos():
                self._complete = True
                if not self._text and not self.words:
                    channel.say(None)
        return True

    def _next_word(self, channel: Channel) -> bool:
        """Begin the next word of the text; the one before is over and is told."""
        if not self.words:
            return False
        self._tell(channel)
        self._told, self._since = self.words.popleft(), self._steps
        frames = max(2, round(0.9 * len(self._told)))
        self.score += [self._text % len(WORDS)] * frames
        self._text += 1
        return True

    def _tell(self, channel: Channel) -> None:
        if self._told is not None:
            start, stop = self._since / STEP_HZ, self._steps / STEP_HZ
            channel.say(SpokenWord(self._told, start, stop))
            self._told = None
