"""What a user says about the manner of speaking: "shorter, please", "speak slower"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

PACE = "pace"
"""The one wish that is about the voice, not about a trait."""
LONGEST = 90
"""Characters of a sentence that may be about the manner only."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A trait or :data:`PACE`, and by how much: added to a trait, multiplied with the pace."""

    about: str
    change: float


@dataclass(frozen=True, slots=True)
class _Pole:
    """One side of what can be wished."""

    wish: Wish
    plain: str
    """Words that name it: "be short", and against it "too short"."""
    more: str
    """Words that ask for it by themselves: "shorter"."""
    lack: str = "(?!)"
    """Words that blame it for being missed: "too cold"."""


_POLES: tuple[tuple[_Pole, _Pole], ...] = (
    (
        _Pole(
            Wish("verbosity", -0.2),
            "short|brief|briefly|concise|to the point",
            "shorter|briefer|more (?:concise|concisely|brief|briefly|to the point)|"
            "less (?:detail|wordy|long)|fewer words|quick(?:er)? answers?|short answers?",
        ),
        _Pole(
            Wish("verbosity", 0.2),
            "long|wordy|detailed|thorough|much",
            "longer|(?:in |into )?more (?:detail|details|detailed|thorough|thoroughly|words)|"
            "elaborate(?: more)?|explain more|longer answers?",
        ),
    ),
    (
        _Pole(Wish(PACE, 0.88), "slow|slowly", "slower|more slowly|slow down"),
        _Pole(Wish(PACE, 1.12), "fast|quick|quickly", "faster|quicker|more quickly|speed up"),
    ),
    (
        _Pole(
            Wish("humor", -0.2),
            "serious|seriously",
            "more (?:serious|seriously)|less (?:funny|humou?r|playful|silly|joking)|fewer jokes|"
            "no (?:more )?jokes|less jokes|stop joking|stop (?:making|the|with the) jokes",
        ),
        _Pole(
            Wish("humor", 0.2),
            "funny|playful|silly",
            "funnier|more (?:funny|humou?r|humorous|playful|fun|jokes)|lighten up|"
            "less serious|joke more|(?:make|tell) more jokes",
        ),
    ),
    (
        _Pole(
            Wish("formality", -0.2),
            "casual|informal|relaxed",
            "more (?:casual|casually|relaxed|informal)|less (?:formal|stiff|polite)",
        ),
        _Pole(
            Wish("formality", 0.2),
            "formal|stiff|polite|professional",
            "more (?:formal|formally|polite|politely|professional)|politer|less casual",
        ),
    ),
    (
        _Pole(
            Wish("empathy", -0.2),
            "matter-of-fact|objective|factual",
            "more (?:matter-of-fact|factual|objective|neutral)|less (?:emotional|touchy)",
            lack="emotional|touchy",
        ),
        _Pole(
            Wish("empathy", 0.15),
            "warm|kind|nice|friendly|gentle",
            "warmer|kinder|nicer|friendlier|gentler|more (?:warm|kind|friendly|understanding|"
            "caring|gentle)|less (?:cold|harsh)",
            lack="cold|harsh|rude|unfriendly",
        ),
    ),
    (
        _Pole(
            Wish("enthusiasm", -0.2),
            "calm|calmly",
            "calmer|more (?:calm|calmly)|calm down|less (?:excited|enthusiastic|energetic)",
        ),
        _Pole(
            Wish("enthusiasm", 0.2),
            "excited|enthusiastic|energetic|lively",
            "livelier|more (?:lively|energetic|enthusiastic|excited)|cheer up",
        ),
    ),
)
_OPENER = (
    r"(?:(?:please|could you|can you|would you|will you|you can|you could|you may|you should|"
    r"i want you to|i'd like you to|i need you to|try to|next time|from now on|in future|okay|"
    r"hey|hi|no|yes|sorry|well|just|but|and|now|coda)\s*,?\s+)*"
)
_VERB = (
    r"(?:be|speak|talk|answer|reply|sound|stay|get|give me|use|go|"
    r"keep (?:it|them|that)|(?:keep|make) your (?:answers|replies))"
)
_DEGREE = r"(?:(?:a little bit|a bit|a little|much|way|even|slightly|somewhat)\s+)?"
_TAIL = (
    r"(?:\s*,?\s*(?:please|thanks|thank you|next time|from now on|in future|okay|coda|with me|"
    r"for me|to me|when you (?:talk|speak|answer)|in your answers|if you can|again|now|"
    r"a bit|a little))*"
)
_TOO = (
    r"(?:(?:you're|you are|you)(?: being| talking| speaking| talk| speak| answer)?|"
    r"your (?:answers|replies) are|your (?:answer|reply) was|that was|that's|that is)"
    r" (?:a bit |a little |way |much |far |just )?too\s+"
)
_AGAINST = (
    r"(?:don't|do not|stop|not)(?: (?:be|being|talk|talking|speak|speaking|answer|get|sound))?"
    r" (?:so |too |that |quite so )?"
)


def _for_it(pole: _Pole) -> re.Pattern[str]:
    asked = (
        rf"{_OPENER}(?:{_VERB}\s+{_DEGREE}(?:{pole.plain}|{pole.more})|{_DEGREE}(?:{pole.more}))"
    )
    return re.compile(asked + _TAIL, re.IGNORECASE)


def _against(words: str) -> re.Pattern[str]:
    return re.compile(rf"{_OPENER}(?:{_TOO}|{_AGAINST})(?:{words}){_TAIL}", re.IGNORECASE)


_RULES = tuple(
    (side.wish, pattern)
    for pair in _POLES
    for side, other in (pair, pair[::-1])
    for pattern in (_for_it(side), _against(other.plain), _against(side.lack))
)
_PARTS = re.compile(r"[.!?;]+|,? (?:and|but) ")


def wishes_in(text: str) -> tuple[Wish, ...]:
    """The wishes about the manner of speaking; none for a text about anything else."""
    found: dict[str, Wish] = {}
    for wish in _wishes(text.replace("’", "'")):
        found.setdefault(wish.about, wish)
    return tuple(found.values())


def _wishes(text: str) -> Iterator[Wish]:
    for part in _PARTS.split(text):
        sentence = " ".join(part.strip(" ,").split())
        if sentence and len(sentence) <= LONGEST:
            yield from (wish for wish, pattern in _RULES if pattern.fullmatch(sentence))
