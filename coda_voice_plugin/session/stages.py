"""When what happened in one turn: the waterfall that is told as it grows, and stored."""

from __future__ import annotations

from collections.abc import Callable

from ..events import Utterance


class Stages:
    """Moments of one turn by name, on the event loop's clock.

    ``tell`` gets each one, in milliseconds from the user's last speech sample, once it is
    known which speech that is.
    """

    def __init__(self, tell: Callable[[str, float], None]) -> None:
        self._tell = tell
        self._at: dict[str, float] = {}
        self._told_from: Utterance | None = None

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def mark(self, name: str, now: float) -> None:
        """``name`` happened now; only the first time counts."""
        if name in self._at:
            return
        self._at[name] = now
        if self._told_from is not None:
            self._tell(name, _since(self._told_from, now))

    def begin(self, utterance: Utterance) -> None:
        """The turn answers ``utterance``: tell what happened so far, and what follows."""
        self._told_from = utterance
        for name, ms in self.timings(utterance).items():
            self._tell(name, ms)

    def timings(self, utterance: Utterance) -> dict[str, float]:
        """Milliseconds by name, those of the ear included."""
        marks = {name: _since(utterance, at) for name, at in self._at.items()}
        return {**utterance.timings_ms, **marks}


def _since(utterance: Utterance, at: float) -> float:
    return round(1000 * (at - utterance.moment), 1)
