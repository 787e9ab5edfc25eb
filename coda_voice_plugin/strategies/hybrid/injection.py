"""Moshi says the language model's words itself: one voice, no seam."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import ClassVar

from coda_voice_plugin import EngineTimeoutError
from coda_voice_plugin.kyutai.frames import FRAME_S
from coda_voice_plugin.speakable import speakable, spoken_text

from ..moshi.spurts import Piece
from .mouthpiece import Mouthpiece
from .partner import Partner
from .stage import Stage
from .ways import Pieces, Way

_FIRST = re.compile(r"\s*(\S+)\s+")
_PLAIN = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?[,;:!?]?|[^\W\d_]{5,}\.")
"""A word that reads as it is written, whatever comes next; short ones with a full stop may be
abbreviations."""
_CLAUSE = re.compile(r"(?:[,;:!?…]|(?<=[^\W\d_]{5})\.)\s")
END = 4
"""Still frames that end an answer: 320 ms."""
LAST = 12
"""Frames behind the last word that end it too: 960 ms. A model's silence need not be quiet."""
STUCK_S = 4.0
"""Without a word, though some wait: Moshi does not obey."""

Words = tuple[str, str]
"""What is said, and what was written for it."""


class Injection(Way):
    """Words are put into Moshi's text stream as they come; it gives them its voice and pace."""

    name: ClassVar[str] = "injection"
    speaks_with_tts: ClassVar[bool] = False

    @classmethod
    def fits(cls, partner: Partner) -> bool:
        return partner.can_say

    async def speak(self, pieces: Pieces) -> None:
        words = sayable_words(pieces.text(), self.stage.call.config.language)
        async with aclosing(words):
            if (first := await anext(words, None)) is None:
                return
            self.stage.ready.set()
            await self.stage.open.wait()  # unheard, like the opener, until the turn is confirmed
            self.stage.unshadow()
            await _Speech(self.stage, pieces, first, words).run()


class _Speech(Mouthpiece):
    """Gives words to Moshi, and plays until it has said them."""

    def __init__(
        self, stage: Stage, pieces: Pieces, first: Words, words: AsyncGenerator[Words, None]
    ) -> None:
        super().__init__(stage)
        self._pieces = pieces
        self._first = first
        self._words = words
        self._given: deque[tuple[int, str]] = deque()  # not heard yet: words, as written
        self._unsaid = 0  # words in it
        self._said = 0  # of them, written by Moshi up to the frame before
        self._begun = False
        self._stuck = 0
        self._left = 0
        self._behind = 0  # frames since the last word was said

    async def feed(self) -> None:
        self._say(self._first)
        async for words in self._words:
            self._say(words)

    def _say(self, words: Words) -> None:
        said, written = words
        self.stage.moshi.say(said)
        self._given.append((len(said.split()), written))
        self._unsaid += len(said.split())

    def begins(self) -> None:
        self._begun = True
        self.stage.reply.begins_content()

    def ends(self, piece: Piece) -> bool:
        waiting = len(self.stage.partner.report().waiting)
        self._note(waiting)
        self._stuck = 0 if waiting != self._left or not waiting else self._stuck + 1
        self._left = waiting
        if self._stuck * FRAME_S >= STUCK_S:
            raise EngineTimeoutError("moshi", f"did not say what it was given for {STUCK_S:g} s.")
        over = self.fed and not waiting
        self._behind = self._behind + 1 if over else 0
        return over and (self.still >= END or self._behind >= LAST)

    def _note(self, waiting: int) -> None:
        """Of the words that were given, Moshi has written all but the last ``waiting``. They
        count as heard a frame later: the last of them may only begin to sound."""
        heard, self._said = self._said if self._begun else 0, self._unsaid - waiting
        while self._given and self._given[0][0] <= heard:
            count, written = self._given.popleft()
            heard -= count
            self._unsaid -= count
            self._said -= count
            self._pieces.spoken(written)


async def sayable_words(
    text: AsyncGenerator[str, None], language: str
) -> AsyncGenerator[Words, None]:
    """Words as soon as they are whole; numbers, signs and abbreviations with their clause, which
    says how they are read."""
    held = ""
    async with aclosing(text):
        async for piece in text:
            held += piece
            while (cut := _cut(held)) is not None:
                written, held = held[:cut], held[cut:]
                if said := spoken_text(speakable(written, language)):
                    yield said, written
    if said := spoken_text(speakable(held, language)):
        yield said, held


def _cut(text: str) -> int | None:
    """Where what can be said now ends; None: not yet."""
    first = _FIRST.match(text)
    if first is None:
        return None
    if _PLAIN.fullmatch(first[1]):
        return first.end()
    clause = _CLAUSE.search(text, first.start(1))
    return None if clause is None else clause.end()
