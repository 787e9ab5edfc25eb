"""Who answers a turn: Moshi alone, or the language model behind Moshi's opener."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from coda_voice_plugin.config.hybrid import AdaptiveSettings

from .reasons import Answerer, Offer, foreign, reasons
from .weights import Weights, load_weights
from .words import Phrases, Said, read

SLOW_RAISES = 0.1
"""A slow language model is asked only where the need is this much more probable."""
MOST_REASONS = 8
LOOK_BACK = 4
"""Words before a phrase in which it may be taken back ("don't look it up")."""
TAKEN_BACK = frozenset(["not", "never", "without", "needn't", "stop"])
OTHER_PEOPLE = frozenset(["i", "we", "he", "she", "they", "me", "us"])
QUOTING = frozenset(["said", "say", "meant", "mean", "asked", "want"])


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known beside the words, at the moment of the decision."""

    tools: Sequence[tuple[str, str]] = ()
    """Name and description of each tool that the language model is offered."""
    llm_up: bool = True
    moshi_up: bool = True
    llm_first_token_ms: float | None = None
    """Median of the last answers; None: none yet."""
    overloaded: bool = False
    """Moshi's ticks overrun: a language model on the same machine would make it stutter."""
    vram_pressure: bool = False
    """The card's memory is nearly full."""
    last: Answerer | None = None
    """Who answered the turn before."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Who answers, and why. ``dataclasses.asdict`` makes the data of an event of it."""

    mode: Answerer
    probability: float
    """Of needing the language model, from the words alone; from 0 to 1."""
    threshold: float
    """From this probability on the language model answers, unless ``forced``."""
    reasons: tuple[str, ...]
    """Names of :data:`REASONS` that held, the strongest first."""
    pulls: tuple[float, ...]
    """What each of them added to the log-odds; above 0 towards the language model."""
    forced: str | None = None
    """What decided in place of the probability: ``moshi_down``, ``llm_down``, ``both_down``
    (neither can answer; ``mode`` is ``hybrid``, whose ear and voice the fall-backs share),
    ``handoff``, ``overloaded``, ``vram``, ``small_talk`` or ``prefer``."""


class Router:
    """Decides turn by turn; one per call. Pure: what it knows of before comes with `Situation`.

    ``weights`` are read from ``settings.weights`` where they are not given, which may raise
    ``ConfigError``. ``language`` is that of the recogniser.
    """

    def __init__(
        self, settings: AdaptiveSettings, *, language: str = "en", weights: Weights | None = None
    ) -> None:
        self._settings = settings
        self._language = language
        self._weights = load_weights(settings.weights) if weights is None else weights
        self._phrases = Phrases({"handoff": settings.handoff, "small_talk": settings.small_talk})
        self._tools: tuple[tuple[str, str], ...] = ()
        self._offer = Offer(())

    def decide(self, text: str, situation: Situation) -> Decision:
        """Decide on what was said so far; well below a millisecond for a text of any length."""
        self._offered(situation.tools)
        said = read(text)
        strange = foreign(text[:200], self._language)
        found = reasons(said, situation.last, self._offer, strange=strange)
        probability = _logistic(self._weights.log_odds(found))
        threshold = self._threshold(situation)
        forced = self._forced(said, situation)
        if forced is None:
            mode: Answerer = "hybrid" if probability >= threshold else "moshi"
            cause = None
        else:
            mode, cause = forced
        pulls = [(name, self._weights.weights[name] * value) for name, value in found.items()]
        pulls = sorted(pulls, key=lambda pull: (-abs(pull[1]), pull[0]))[:MOST_REASONS]
        return Decision(
            mode=mode,
            probability=round(probability, 4),
            threshold=round(threshold, 4),
            reasons=tuple(name for name, _ in pulls),
            pulls=tuple(round(pull, 2) for _, pull in pulls),
            forced=cause,
        )

    def _offered(self, tools: Sequence[tuple[str, str]]) -> None:
        given = tuple(tools)
        if given != self._tools:
            self._tools, self._offer = given, Offer(given)

    def _threshold(self, situation: Situation) -> float:
        settings = self._settings
        threshold = settings.threshold
        if situation.last is not None:
            towards = 1 if situation.last == "moshi" else -1
            threshold += towards * settings.hysteresis
        took = situation.llm_first_token_ms
        if took is not None and took > settings.slow_llm_ms:
            threshold += SLOW_RAISES
        return min(1.0, max(0.0, threshold))

    def _forced(self, said: Said, situation: Situation) -> tuple[Answerer, str] | None:
        """What fixes the decision, the strongest first."""
        if not situation.moshi_up:
            return "hybrid", "moshi_down" if situation.llm_up else "both_down"
        if not situation.llm_up:
            return "moshi", "llm_down"
        spoken = self._spoken(said)
        if "handoff" in spoken:
            return "hybrid", "handoff"
        if situation.overloaded:
            return "moshi", "overloaded"
        if situation.vram_pressure:
            return "moshi", "vram"
        if "small_talk" in spoken:
            return "moshi", "small_talk"
        if self._settings.prefer != "auto":
            return self._settings.prefer, "prefer"
        return None

    def _spoken(self, said: Said) -> set[str]:
        """Which of the user's phrases were said to Moshi, and not taken back."""
        return {
            name
            for start in range(len(said.words))
            for name, _ in self._phrases.at(said.words, start, head=True)
            if _meant(said, start)
        }


def _meant(said: Said, start: int) -> bool:
    """False for "no need to look it up" and "I'll think about it"."""
    begin = next((c.bare for c in reversed(said.clauses) if c.bare <= start), 0)
    before = said.words[max(begin, start - LOOK_BACK) : start]
    if not TAKEN_BACK.isdisjoint(before) or {"no", "need"} <= set(before):
        return False
    for word in reversed(before):
        if word == "you" or word in QUOTING:
            return True
        if word in OTHER_PEOPLE:
            return False
    return True


def _logistic(log_odds: float) -> float:
    """1 / (1 + exp(-x)), without an overflow."""
    if log_odds >= 0:
        return 1 / (1 + math.exp(-log_odds))
    grown = math.exp(log_odds)
    return grown / (1 + grown)
