"""How traits of a personality sound: pace, and sentences for the mind."""

from __future__ import annotations

from collections.abc import Mapping

SLOWEST, FASTEST = 0.85, 1.15
"""Pace of no and of all enthusiasm."""
UNMOVED = 0.05
"""So far from its middle enthusiasm changes nothing."""

_BELOW: tuple[tuple[str, float, str], ...] = (
    ("verbosity", 0.22, "Answer in one short sentence."),
    ("verbosity", 0.38, "Keep your answers short."),
    ("empathy", 0.58, "Stay matter-of-fact."),
    ("formality", 0.38, "Talk casually, as to a friend."),
    ("assertiveness", 0.3, "Say it carefully, and admit doubt."),
    ("humor", 0.18, "Be serious, make no jokes."),
)
_ABOVE: tuple[tuple[str, float, str], ...] = (
    ("verbosity", 0.62, "You may go into detail."),
    ("empathy", 0.82, "Be warm and show that you understand."),
    ("formality", 0.62, "Speak politely and formally."),
    ("assertiveness", 0.7, "Be direct and sure of what you say."),
    ("creativity", 0.7, "Feel free to be imaginative."),
    ("humor", 0.42, "Be playful, a light joke is welcome."),
)
"""Trait, from where on, and what is said then. Coda's defaults lie between."""


def guidance(traits: Mapping[str, float]) -> list[str]:
    """What the mind should mind; nothing for a personality that leans to no side."""
    found: dict[str, str] = {}
    for trait, limit, sentence in _BELOW:
        if traits.get(trait, limit) < limit:
            found.setdefault(trait, sentence)
    for trait, limit, sentence in _ABOVE:
        if traits.get(trait, limit) > limit:
            found.setdefault(trait, sentence)
    return list(found.values())


def pace(traits: Mapping[str, float]) -> float:
    """1.0 is the voice's own speed."""
    lively = traits.get("enthusiasm", 0.5) - 0.5
    if abs(lively) <= UNMOVED:
        return 1.0
    return round(min(FASTEST, max(SLOWEST, 1 + (FASTEST - SLOWEST) * lively)), 2)
