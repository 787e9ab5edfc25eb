"""A full-duplex line to Moshi: sound in, speech and its words out, at the same time.

A slot of the batch on this machine is one, a connection to a Moshi server elsewhere is
another. No torch.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Literal

from ..errors import EngineError, VoiceError
from ..events import Word
from .frames import FRAME_S, Floats

READER_S = 10.0
"""Speech that may wait for its reader; then the call ends: nobody takes it."""

Manner = Literal["forced", "soft"]
"""How given words are said: ``forced``, one after the other at speaking pace; ``soft``, each
when the model would begin a word."""


@dataclass(frozen=True, slots=True, eq=False)
class Spoken:
    """80 ms of what Moshi says; silence is spoken too."""

    start: int
    """Samples (24 kHz) spoken on this line before it."""
    sound: Floats
    """``[1920]`` at 24 kHz."""
    words: tuple[Word, ...] = ()
    """Words that became whole with this frame; places in samples of the line."""
    talking: bool = False
    """Whether its text stream is in a word, or was within the last half second."""


@dataclass(frozen=True, slots=True)
class Report:
    """What became of the words that a line was given (of the latest 2,000 of each kind)."""

    said: tuple[Word, ...] = ()
    """Said to their end: their sound has been :class:`Spoken`. Places in samples of the line."""
    cut: tuple[str, ...] = ()
    """Dropped by a :meth:`Line.hush`; the first of each hush may have been begun."""
    waiting: tuple[str, ...] = ()
    """Neither yet; the first may have been begun."""


class SpokenFrames:
    """What a line says on its way to its one reader."""

    def __init__(self) -> None:
        self._waiting: deque[Spoken] = deque()
        self._more = asyncio.Event()
        self._error: VoiceError | None = None
        self._over = False

    @property
    def waiting(self) -> int:
        """Frames that the reader has not taken."""
        return len(self._waiting)

    def put(self, spoken: Spoken) -> None:
        """Add a frame; raises EngineError when nobody takes them."""
        if self.waiting * FRAME_S >= READER_S:
            raise EngineError("moshi", f"its speech was not taken for {READER_S:g} seconds.")
        self._waiting.append(spoken)
        self._more.set()

    def fail(self, error: VoiceError) -> None:
        """Nothing more comes, and this is why."""
        self._error = error
        self._more.set()

    def end(self) -> None:
        """Nothing more comes."""
        self._over = True
        self._more.set()

    async def frames(self) -> AsyncGenerator[Spoken, None]:
        """All of it, in order; raises what it failed with."""
        while True:
            while self._waiting:
                yield self._waiting.popleft()
            if self._error is not None:
                raise self._error
            if self._over:
                return
            self._more.clear()
            await self._more.wait()


class Line(ABC):
    """One conversation with Moshi. Made by ``open``; everything but ``spoken`` returns at once."""

    can_say: bool = False
    """Whether :meth:`say` and :meth:`hold` work; a stock server offers neither."""
    hears_oracle: bool = False
    """Whether :meth:`tell` works: the model here has weights with an oracle stream."""

    @abstractmethod
    def push(self, samples: Floats) -> None:
        """Take the user's sound: 24 kHz, any length."""

    @abstractmethod
    def spoken(self) -> AsyncGenerator[Spoken, None]:
        """What Moshi says, frame by frame, until the line is closed.

        Raises EngineError when the model or the connection fails. One reader.
        """

    @abstractmethod
    def say(self, text: str, manner: Manner = "forced") -> None:
        """Have Moshi say these words, after those it was given before.

        Raises EngineError where the line cannot.
        """

    def report(self) -> Report:
        """What has become of the given words by now; empty where none can be given."""
        return Report()

    def tell(self, text: str) -> None:
        """Append these words to the oracle stream: what a better informed mind would say.

        The model hears them, at the pace of its steps, and says what it makes of them. Give
        whole words. Raises EngineError where the line cannot, and when too much waits.
        """
        raise EngineError(
            "moshi", "cannot be told anything on this line: its weights have no oracle stream."
        )

    def untell(self) -> None:
        """Forget what was told and not heard yet; what is told next begins a new oracle
        utterance. Does nothing where the line cannot :meth:`tell`."""
        return

    @abstractmethod
    def hush(self) -> None:
        """Forget the words that were given and not said yet, and what was told and not heard
        yet, and be silent until the user has spoken or words are given."""

    @abstractmethod
    def unhush(self) -> None:
        """End a :meth:`hush`: it may speak by itself before the user does."""

    @abstractmethod
    def hold(self, held: bool) -> None:
        """While held, Moshi listens and does not begin to speak."""

    @abstractmethod
    def close(self) -> None:
        """Hang up. ``spoken`` ends."""


def open_with(line: Line, opening: str) -> None:
    """Have the call begin as ``moshi.opening`` says; raises EngineError where it cannot."""
    if opening == "listen":
        line.hush()
    elif opening != "free":
        line.say(opening)
