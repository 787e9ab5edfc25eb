"""One answer in a slot of the voice: words in, frames of sound and the places of words out."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from ..audio import Floats
from ..errors import AnswerBrokenError, EngineError, EngineTimeoutError, VoiceError
from ..events import Word
from .frames import FRAME, FRAME_S
from .voice import VoiceInput, VoiceOutput
from .voice_speakers import NAME, Speaker
from .waiting import WaitingSeat
from .wheel import Wheel

AHEAD = round(20 / FRAME_S)
"""Frames that may wait for the listener; then the slot stands still."""
MOST_WORDS = 2_000
"""Words that may wait to be spoken: an answer of ten minutes; with more it is given up."""
ANSWER_S = 5.0
"""How long an answer may wait for a slot, or for the next frame once it is in one."""

VoiceWheel = Wheel[VoiceInput, VoiceOutput]


@dataclass(frozen=True, slots=True, eq=False)
class Voiced:
    """A frame of speech, and words whose place became known with it."""

    sound: Floats
    words: tuple[Word, ...] = ()
    """In samples (24 kHz) of the answer, and told before they sound: the text is ahead."""


class VoiceSlot(WaitingSeat):
    """A seat of the wheel; everything happens on the event loop.

    The slot is taken with the first word and left with the last frame, or by :meth:`close`.
    While all are taken, words wait.
    """

    def __init__(self, wheel: VoiceWheel, speaker: Speaker, lookahead: int) -> None:
        super().__init__(wheel)
        self._begin: Speaker | None = speaker
        self._lookahead = lookahead
        self._words: deque[str] = deque()
        self._complete = False
        self._told_complete = False
        self._ahead = 0  # words that the model knows and has not begun
        self._open: tuple[str, int] | None = None  # the word that sounds, and its first sample
        self._ended: list[Word] = []
        self._out: deque[Voiced] = deque()
        self._finished = False
        self._news = asyncio.Event()
        self._error: VoiceError | None = None
        self._sounded = False

    def say(self, words: list[str]) -> None:
        """Take the next words; each has a letter or a digit."""
        if not words or self._finished or self._error is not None:
            return
        self._words += words
        if len(self._words) > MOST_WORDS:
            self._give_up(EngineError(NAME, f"more than {MOST_WORDS} words wait to be spoken."))
            return
        self._go()

    def complete(self) -> None:
        """No more words will come."""
        self._complete = True
        if self._present:
            self._wheel.wake()
        elif self._error is None:
            self._finished = True  # nothing was to be said
        self._news.set()

    async def frames(self) -> AsyncGenerator[Voiced, None]:
        """The answer as it becomes ready.

        Raises EngineError when no slot is free or the model fails, AnswerBrokenError when
        sound was given before, EngineTimeoutError.
        """
        while True:
            while self._out:
                self._wheel.wake()  # there is room again
                self._sounded = True
                yield self._out.popleft()
            if self._error is not None:
                raise self._broken(self._error)
            if self._finished:
                return
            self._news.clear()
            try:
                async with asyncio.timeout(ANSWER_S if self._owed else None):
                    await self._news.wait()
            except TimeoutError:
                raise self._late() from None

    def close(self) -> None:
        """Stop speaking, and free the slot."""
        self._wheel.leave(self)
        if not self._finished and self._error is None:
            self._error = EngineError(NAME, "was closed while it spoke.")
        self._news.set()

    # What the wheel uses.

    def gather(self) -> VoiceInput | None:
        known = self._ahead + len(self._words) > self._lookahead
        if len(self._out) >= AHEAD or not (known or self._complete):
            return None
        begin, self._begin = self._begin, None
        words = tuple(self._words)
        self._words.clear()
        return VoiceInput(words, self._complete, begin)

    def give(self, out: VoiceOutput) -> None:
        self._ahead = out.ahead
        for text, frame in out.begun:
            self._end(frame)
            self._open = (text, frame * FRAME)
        if out.end is not None:
            self._end(out.end)
        for sound in out.sounds:
            words, self._ended = tuple(self._ended), []
            self._out.append(Voiced(sound, words))
        if out.finished:
            self._finished = True
            self._wheel.leave(self)
        self._news.set()

    # Inside.

    @property
    def _owed(self) -> bool:
        """Whether the next frame, or a slot, is a matter of the model and not of the writer."""
        waiting = self._present and self._waits
        return self._complete or waiting or self._ahead + len(self._words) > self._lookahead

    def _end(self, frame: int) -> None:
        """The word that sounds ends with ``frame``."""
        if self._open is not None:
            text, start = self._open
            self._ended.append(Word(text, start, max(start, frame * FRAME)))
            self._open = None

    def _give_up(self, error: VoiceError) -> None:
        self._wheel.leave(self)
        self._error = error
        self._news.set()

    def _broken(self, error: VoiceError) -> VoiceError:
        if self._sounded and type(error) is EngineError:
            return AnswerBrokenError(NAME, f"the voice broke off in the middle ({error})")
        return error

    def _late(self) -> EngineError:
        if self._waits:
            return self._full()
        return EngineTimeoutError(
            NAME, f"spoke nothing for {ANSWER_S:g} s; the machine is too busy for this model."
        )

    def _full(self) -> EngineError:
        return EngineError(
            NAME,
            f"all {self._wheel.capacity} places of the voice are taken; ask again when an answer "
            "has ended, or raise kyutai.tts_slots.",
        )
