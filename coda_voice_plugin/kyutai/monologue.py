"""Moshi's text stream, read as words with times."""

from __future__ import annotations

import re
from typing import Any

from ..events import Word
from .frames import FRAME

PAD = 3
LINGERS = 6
"""Steps after its last piece in which the model still counts as talking: half a second."""
_BYTE = re.compile(r"<0x([0-9A-F]{2})>")
_MARK = "\u2581"
"""What sentencepiece writes for the space before a word."""


class Monologue:
    """Collects the pieces of words; one per stream.

    A word begins with its first piece and ends with the next padding or word. Places are
    samples at 24 kHz, counted from the first token pushed.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._pieces = bytearray()
        self._start = 0
        self._frame = 0
        self._last = -LINGERS - 2

    @property
    def talking(self) -> bool:
        """Whether the stream is in a word, or was within the last half second."""
        return self._frame - 1 - self._last <= LINGERS

    def push(self, token: int) -> tuple[Word, ...]:
        """Take the token of the next frame; return the word that it ended, if any."""
        words: tuple[Word, ...] = ()
        piece = self._piece(token)
        if piece is None:
            words = self.finish()
        else:
            if piece.startswith(_MARK.encode()):
                words = self.finish()
                piece = piece[len(_MARK.encode()) :]
            if not self._pieces:
                self._start = self._frame * FRAME
            self._pieces += piece
            self._last = self._frame
        self._frame += 1
        return words

    def finish(self) -> tuple[Word, ...]:
        """End the word that is open, if any."""
        text = self._pieces.decode(errors="replace").strip()
        self._pieces.clear()
        return (Word(text, self._start, self._frame * FRAME),) if text else ()

    def _piece(self, token: int) -> bytes | None:
        """The bytes of a piece; None for padding, special tokens and the initial one."""
        if token <= PAD or token >= self._tokenizer.vocab_size():
            return None
        piece: str = self._tokenizer.id_to_piece(token)
        byte = _BYTE.fullmatch(piece)
        return bytes([int(byte[1], 16)]) if byte else piece.encode()
