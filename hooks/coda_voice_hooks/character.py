"""The traits of one personality: wishes move them, everything else only bends them.

Coda's personality adds to a trait at every turn of the same topic and never takes back: after
five turns half of the traits are at 0 or 1. Here each has an anchor, and may leave it so far.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

FARTHEST = 0.15
"""So far a trait may be bent by topics and moods."""
STEP = 0.05
"""And so far in one turn: a word that the core takes for a topic is not yet one."""
RETURN = 0.25
"""Share of the way to its anchor that a trait goes back at each turn."""
NOTHING = 0.005
"""Smaller corrections are not made."""
MOST_LOWERED = 0.2
"""So much of the verbosity interruptions may take, all together."""


class Parameters(Protocol):
    """What is used of Coda's ``PersonalityParameterManager``."""

    def get_parameters(self) -> Any: ...

    def adjust_trait(
        self, trait_type: Any, delta: float, reason: str = "", confidence: float = 1.0
    ) -> Any: ...


class Character:
    """Where the traits belong. ``parameters`` holds where they are."""

    def __init__(self, parameters: Parameters) -> None:
        self._parameters = parameters
        self._anchors = self.values()
        self._left = dict(self._anchors)
        self._lowered = 0.0
        self.closings = 0
        """Turns since the personality began to close the conversation."""

    def values(self) -> dict[str, float]:
        """The traits by name, 0 to 1."""
        return {trait.name.value: trait.value for trait in self._traits().values()}

    def begin_turn(self) -> None:
        """What others changed since the last turn was meant so: the anchors go with it."""
        values = self.values()
        for name, value in values.items():
            self._anchors[name] = _within(
                self._anchors.get(name, value) + value - self._left.get(name, value)
            )
        self._left = values

    def wish(self, name: str, change: float, reason: str) -> None:
        """Move a trait, and let it stay there."""
        if name in self._anchors:
            self._anchors[name] = self._left[name] = _within(self._anchors[name] + change)
            self._move(name, self._anchors[name], reason)

    def lower_verbosity(self, much: float, reason: str) -> None:
        """Say less from now on, unless that was learned often enough."""
        much = min(much, MOST_LOWERED - self._lowered)
        if much > NOTHING:
            self._lowered += much
            self.wish("verbosity", -much, reason)

    def end_turn(self) -> None:
        """Take back what bent the traits too far."""
        for name, value in self.values().items():
            anchor = self._anchors.setdefault(name, value)
            before = self._left.get(name, value) - anchor
            step = min(STEP, max(-STEP, (1 - RETURN) * (value - anchor) - before))
            kept = anchor + min(FARTHEST, max(-FARTHEST, before + step))
            if abs(kept - value) > NOTHING:
                self._move(name, kept, "kept near where it belongs")
        self._left = self.values()

    def _move(self, name: str, value: float, reason: str) -> None:
        kinds = {trait.name.value: kind for kind, trait in self._traits().items()}
        change = value - self.values()[name]
        if abs(change) > NOTHING:
            self._parameters.adjust_trait(kinds[name], change, reason, 1.0)

    def _traits(self) -> Mapping[Any, Any]:
        traits: Mapping[Any, Any] = self._parameters.get_parameters().traits
        return traits


def _within(value: float) -> float:
    return min(1.0, max(0.0, value))
