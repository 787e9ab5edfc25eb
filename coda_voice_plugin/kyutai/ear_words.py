"""A recogniser's text stream, read as words with their places in the user's sound."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Self

from ..events import MIC_RATE, Word
from .frames import FRAME_S
from .monologue import PAD

EDGE = 0
"""The token that ends a silence between words: what follows is a new word."""
LONGEST = MIC_RATE
"""Samples that a word is believed to last at most, as in Kyutai's own scripts: the edge that
ends it comes with the next word, and that may be long after."""
_MARK = "\u2581"
"""What sentencepiece writes for the space before a word."""


class HeardWords:
    """The words of one utterance; ``delay_s`` is how far the text is behind the sound.

    The token of a frame tells of the moment at which that frame ends, less the delay.
    """

    def __init__(self, tokenizer: Any, delay_s: float) -> None:
        self._tokenizer = tokenizer
        self._delay_s = delay_s
        self._words: list[Word] = []
        self._pieces: list[int] = []
        self._begin = 0
        self._frame = 0
        self.spelling = False
        """Whether a word has begun and its next piece may still come."""

    def push(self, token: int) -> None:
        """Take the token of the next frame."""
        if token <= PAD or token >= self._tokenizer.vocab_size():
            self._close()
            if token == EDGE:
                self._end(self._place(self._frame + 2))
        else:
            if self._tokenizer.id_to_piece(token).startswith(_MARK):
                self._close()
            if not self._pieces:
                self._begin = self._place(self._frame + 1)
            self._pieces.append(token)
        self.spelling = token == EDGE or bool(self._pieces)
        self._frame += 1

    def fork(self) -> Self:
        """A copy that goes on by itself."""
        copy = type(self)(self._tokenizer, self._delay_s)
        copy._words, copy._pieces = list(self._words), list(self._pieces)
        copy._begin, copy._frame, copy.spelling = self._begin, self._frame, self.spelling
        return copy

    def upto(self, length: int) -> tuple[Word, ...]:
        """The words so far, in samples at ``MIC_RATE``, within ``length`` of them."""
        open_word = self._open_word()
        words = [*self._words, open_word] if open_word else self._words
        return tuple(
            Word(word.text, min(word.start, length), min(word.end, length)) for word in words
        )

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.upto(0))

    def _close(self) -> None:
        """The open word has all its pieces."""
        if word := self._open_word():
            self._words.append(word)
        self._pieces.clear()

    def _end(self, place: int) -> None:
        if self._words:
            last = self._words[-1]
            end = min(max(last.end, place), last.start + LONGEST)
            self._words[-1] = replace(last, end=max(last.end, end))

    def _open_word(self) -> Word | None:
        text = " ".join(self._tokenizer.decode(self._pieces).split()) if self._pieces else ""
        if not text:
            return None
        floor = self._words[-1].end if self._words else 0
        start = max(floor, self._begin)
        return Word(text, start, max(start, self._place(self._frame + 1)))

    def _place(self, frames: int) -> int:
        return max(0, round((frames * FRAME_S - self._delay_s) * MIC_RATE))
