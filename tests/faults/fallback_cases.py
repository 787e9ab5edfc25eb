"""The faults of two minds with one mouth, and what is promised about each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from fallback_faults import (
    BROKEN,
    BUG,
    CUDA,
    DOWN,
    STALLED,
    TOO_BIG,
    Act,
    Far,
    both,
    breaks,
    costs,
    crowded,
    deaf,
    deaf_at_once,
    disobeys,
    hangs,
    hoarse,
    kinds,
    leave,
    mended,
    mute,
    served,
    silent,
    slow,
    slows,
    steps,
    thinks,
    unstuck,
)
from hybrid_scene import Call, ScriptedHybrid

from coda_voice_plugin import ModelTooBigError, NoDeviceError, VoiceError
from coda_voice_plugin.testing import World

FIRST_TOKEN_MS = 2_000
TWO = ("hybrid", "hybrid", "hybrid")
THINKS = "the mind begins to think"


@dataclass(frozen=True, eq=False)
class Case:
    """One fault, and what is promised about it."""

    name: str
    rungs: tuple[str | None, ...]
    """Of the turns: before, with the fault (one or two), healed."""
    fault: Act = lambda call: None
    heal: Act = lambda call: None
    code: str | None = None
    """Of the event in the turn of the fault; None: there is none, the answer is complete."""
    settings: dict[str, Any] = field(default_factory=dict)
    setup: Callable[[World, ScriptedHybrid], None] = lambda world, strategy: None
    missing: VoiceError | None = None
    slots: int = 2
    sorry: int = 0
    """Sentences that tell what is lost."""
    muted: bool = False
    """The microphone sends nothing while the turn of the fault is answered."""
    silence_s: float = 0.5
    excuse: str = ""
    """For a longer silence."""
    first_s: float = 1.3
    """Longest wait for the first sound in the turns of the fault."""
    unheard: bool = False
    """Nobody is left to say anything."""
    cut: bool = False
    """Moshi breaks in its words."""
    anew: bool = False
    """The voice breaks in a clause that is being heard, and Moshi begins it anew."""
    strategy: type[ScriptedHybrid] = ScriptedHybrid
    healed: Callable[[Call], bool] = lambda call: True
    """Whether healing is over, where that takes time by itself."""


MISSING = NoDeviceError("moshi", "there is no graphics card.")
OTHER = {"fallback": {"ladder": ["hybrid", "ollama"], "other_model": "small:1b"}}
INSIDE = {"fallback": {"ladder": ["hybrid", "embedded", "moshi"]}}
INJECTION = {"hybrid": {"way": "injection"}}
ALONE = ("hybrid", "moshi", "moshi", "hybrid")
SERVED = ("hybrid", "ollama", "ollama", "hybrid")
LATE = ("hybrid", "hybrid", "ollama", "hybrid")
INSTEAD = ("hybrid", "embedded", "embedded", "hybrid")

MOSHI = (
    Case("no graphics card for Moshi", ("ollama",) * 3, missing=MISSING),
    Case(
        "Moshi does not fit into the card",
        ("ollama",) * 3,
        missing=ModelTooBigError("moshi", "does not fit into the memory of the card."),
    ),
    Case(
        "Moshi's server refuses, from the start",
        ("ollama", "ollama", "hybrid"),
        heal=served,
        strategy=Far,
    ),
    Case("Moshi breaks in the opener", TWO, steps(BUG, 2), cut=True),
    Case("Moshi runs out of memory in the opener", TWO, steps(CUDA, 2), cut=True),
    Case("Moshi falls silent in the opener", TWO, hangs(4, 3.0), mended, cut=True),
    Case("Moshi breaks in a word of the answer", TWO, steps(BUG, 8), settings=INJECTION, cut=True),
    Case(
        "Moshi breaks in a turn of its own",
        ("moshi", "ollama", "moshi"),
        steps(BUG, 2),
        settings={"fallback": {"ladder": ["moshi", "ollama"]}},
        silence_s=1.2,
        excuse=THINKS,
        cut=True,
    ),
    Case(
        "Moshi breaks in a turn of its own, without the mind",
        ("hybrid", "moshi", "moshi", "hybrid"),
        both(thinks(DOWN), steps(BUG, 9)),
        mended,
        "engine",
        sorry=2,
        cut=True,
    ),
    Case(
        "Moshi falls silent in a word of the answer",
        TWO,
        hangs(8, 5.0),
        mended,
        settings=INJECTION,
        cut=True,
        silence_s=2.0,
        excuse="`silent_ms`",
    ),
    Case(
        "Moshi becomes slow in a word of the answer",
        LATE,
        slows(8, 0.2),
        mended,
        settings=INJECTION,
        cut=True,
        silence_s=1.0,
        excuse="its pace",
    ),
    Case("Moshi breaks and stays broken", SERVED, breaks, mended),
    Case("Moshi's step is stuck", LATE, hangs(0, 14.0), mended, healed=unstuck),
    Case("Moshi is connected and silent", LATE, silent, mended),
    Case("Moshi is slower than real time", LATE, costs(0.2), mended),
    Case("Moshi does not say the opener", TWO, disobeys, mended),
    Case("Moshi does not say the answer", TWO, disobeys, mended, settings=INJECTION, first_s=3.0),
    Case("all slots of Moshi are taken", ("hybrid", "ollama", "hybrid"), crowded, leave, slots=1),
)
MIND = (
    Case("the mind refuses", ALONE, thinks(DOWN), mended, sorry=1),
    Case("the mind is out of memory", ALONE, thinks(TOO_BIG), mended, sorry=1),
    Case(
        "the mind is slow to its first word",
        ALONE,
        slow,
        mended,
        sorry=1,
        silence_s=0.7,
        excuse="`first_token_ms`",
    ),
    Case("the mind answers nothing", ("hybrid", "moshi", "hybrid"), mute, mended, sorry=1),
    Case(
        "the mind breaks before its first clause",
        ("hybrid", "moshi", "hybrid"),
        thinks(BROKEN, 2),
        mended,
        sorry=1,
    ),
    Case(
        "the mind breaks behind its first clause",
        TWO,
        thinks(BROKEN, 7),
        mended,
        "answer_broken",
        sorry=1,
    ),
    Case(
        "the mind stalls in its second clause",
        TWO,
        thinks(STALLED, 7, 1.5),
        mended,
        "engine_timeout",
        sorry=1,
    ),
    Case(
        "the mind refuses, its server has another",
        SERVED,
        thinks(DOWN),
        mended,
        settings=OTHER,
        setup=kinds,
    ),
    Case(
        "the mind refuses, one is embedded",
        INSTEAD,
        thinks(DOWN),
        mended,
        settings=INSIDE,
        setup=kinds,
    ),
    Case(
        "the mind and Moshi are gone, one is embedded",
        INSTEAD,
        both(breaks, thinks(DOWN)),
        mended,
        settings=INSIDE,
        setup=kinds,
    ),
)
REST = (
    Case("the ear fails at a pause", ALONE, deaf, mended, "engine"),
    Case("the ear fails while the user speaks", ALONE, deaf_at_once, mended, "engine"),
    Case(
        "the ear fails, and there is no Moshi",
        ("ollama", None, "ollama"),
        deaf,
        mended,
        "engine",
        missing=MISSING,
        sorry=1,
    ),
    Case("the voice fails before its first clause", TWO, hoarse(), mended),
    Case("the voice fails in its first clause", TWO, hoarse(halfway=True), mended, anew=True),
    Case("the voice fails before its second clause", TWO, hoarse(1), mended),
    Case("the voice fails in its second clause", TWO, hoarse(1, halfway=True), mended),
    Case("the mind and the voice are gone", ALONE, both(thinks(DOWN), hoarse()), mended, sorry=1),
    Case(
        "all are gone",
        ("hybrid", "ollama", None, "hybrid"),
        both(thinks(DOWN), hoarse(), breaks),
        mended,
        "engine_down",
        unheard=True,
    ),
    Case("the microphone is muted", TWO, muted=True),
)
CASES = (*MOSHI, *MIND, *REST)
