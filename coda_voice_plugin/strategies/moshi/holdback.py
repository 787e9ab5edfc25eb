"""What Moshi says while the user still holds the turn: kept until it is known whose turn it is."""

from __future__ import annotations

from .spurts import Piece

MOST = 50
"""Frames kept: four seconds. Longer than any silence that ends a turn."""


class Holdback:
    """Lets speech pass while the gate is open; one per call.

    A spurt that begins before the turn is over is kept. If the turn ends, it is heard
    from its beginning, a little late; if the user goes on, or it ends by itself, nobody
    ever hears it.
    """

    def __init__(self) -> None:
        self._kept: list[Piece] = []
        self._spoilt = False
        self._passing = False

    @property
    def passing(self) -> bool:
        """Whether a spurt is being heard; then its rest is heard too, whoever has the turn."""
        return self._passing

    def user_speaks(self) -> None:
        """The user goes on: what was begun is not an answer to the whole turn."""
        self._spoilt = self._spoilt or bool(self._kept)
        self._kept.clear()

    def push(self, piece: Piece, *, is_open: bool) -> list[Piece]:
        """What may be heard now, in order."""
        if not piece.speech:
            self._kept.clear()
            self._spoilt = self._passing = False
            return [piece]
        if self._spoilt:
            return []
        self._kept.append(piece)
        self._passing = self._passing or is_open
        if self._passing:
            passed, self._kept = self._kept, []
            return passed
        if len(self._kept) > MOST:
            self.user_speaks()
        return []
