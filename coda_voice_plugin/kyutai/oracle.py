"""What one slot is told: a better informed mind's words on their way to the oracle stream.

Weights with an oracle stream hear one token a step beside the sound and their own text. They
were trained on utterances: a start token, then the pieces of the text, one a step without a
gap, and the token of padding wherever nothing is told; a newer utterance takes the place of an
older one (SakanaAI/kame_finetune at 2937514, utils/data.py: _events_to_oracle_1d). No torch.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ..errors import EngineError
from .frames import FRAME_S
from .script import pieces_of

MOST_TOLD = 2_000
"""Tokens that may wait: the model hears them for 160 seconds."""


class OracleQueue:
    """Tokens that a slot has not heard. ``start`` is the one that begins an utterance.

    KAME's own server drops a piece that comes after its step has passed; here it is heard
    late.
    """

    def __init__(self, tokenizer: Any, start: int) -> None:
        self._tokenizer = tokenizer
        self._start = start
        self._waiting: deque[int] = deque()
        self._begun = False

    @property
    def waiting(self) -> int:
        """Tokens that have not been heard."""
        return len(self._waiting)

    def append(self, text: str) -> None:
        """Have these words heard after those before; the first after a :meth:`reset` begin an
        utterance.

        Characters that the tokenizer does not know are left out; where nothing is left, nothing
        changes. Raises EngineError when more than :data:`MOST_TOLD` tokens would wait.
        """
        readable = text.encode(errors="ignore").decode()  # a stray surrogate is no character
        tokens = [token for word in readable.split() for token in pieces_of(word, self._tokenizer)]
        if not tokens:
            return
        if not self._begun:
            tokens.insert(0, self._start)
        if self.waiting + len(tokens) > MOST_TOLD:
            raise EngineError(
                "moshi",
                f"{self.waiting + len(tokens)} tokens are too many to wait for the oracle stream: "
                f"the model hears {1 / FRAME_S:g} a second; tell it at most {MOST_TOLD} at once.",
            )
        self._begun = True
        self._waiting.extend(tokens)

    def reset(self) -> None:
        """Drop what waits; what is told next begins a new utterance."""
        self._waiting.clear()
        self._begun = False

    def take(self) -> int | None:
        """The token of the coming step; None where nothing is told."""
        return self._waiting.popleft() if self._waiting else None
