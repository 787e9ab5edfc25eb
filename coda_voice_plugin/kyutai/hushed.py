"""A hushed Moshi is silent until the user has spoken, wherever it runs. No torch."""

from __future__ import annotations

import numpy as np

from .frames import Floats

LOUD = 0.01
"""Root mean square from which a frame of the user counts as sound."""
HEARD = 5
"""Loud frames of the user after which a hushed model is let loose again: 400 ms."""


def is_loud(sound: Floats) -> bool:
    """Whether somebody may be speaking in this frame."""
    # the mean square as a product: each slot asks twice in a tick
    return float(np.dot(sound, sound)) >= LOUD * LOUD * len(sound)


class Hush:
    """Whether silence was asked for and still holds; one per line."""

    def __init__(self) -> None:
        self._heard: int | None = None  # loud frames since it began

    @property
    def active(self) -> bool:
        return self._heard is not None

    def begin(self) -> None:
        """Ask for silence."""
        self._heard = 0

    def end(self) -> None:
        """Speech is wanted again."""
        self._heard = None

    def hear(self, *, loud: bool) -> bool:
        """Take the user's next frame; return whether it was the one that ends the silence."""
        if self._heard is None or not loud:
            return False
        self._heard += 1
        if self._heard < HEARD:
            return False
        self._heard = None
        return True
