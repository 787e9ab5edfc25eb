"""Which way of answering the next turn takes: the first one whose parts are well."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from coda_voice_plugin.config.hybrid import FallbackSettings, Rung

from .health import Health, Part

NAMES: Mapping[Part, str] = {
    "moshi": "Moshi",
    "llm": "the language model",
    "other": "the other language model",
    "embedded": "the mind in this process",
    "stt": "the ear",
    "tts": "the voice",
}
"""The parts, for people."""


@dataclass(frozen=True, slots=True)
class Move:
    """Another rung answers than the turn before; None: nobody could, or can."""

    origin: Rung | None
    to: Rung | None
    reason: str
    down: tuple[Part, ...]
    """All parts that are down now."""

    @property
    def data(self) -> Mapping[str, Any]:
        """What a notice ``fallback`` carries: ``from``, ``to``, ``reason``, ``down``."""
        return {
            "from": self.origin,
            "to": self.to,
            "reason": self.reason,
            "down": list(self.down),
        }


class Ladder:
    """The rungs of one call, asked before each turn.

    ``moshi_here`` tells whether this call has a line to Moshi: all its slots may be taken
    while Moshi is well. With ``moshi_speaks`` (injection, oracle) the rung ``hybrid`` needs
    no other voice.
    """

    def __init__(
        self, settings: FallbackSettings, health: Health, *, moshi_speaks: bool = False
    ) -> None:
        self.moshi_speaks = moshi_speaks
        self._rungs = settings.ladder
        self._health = health
        self._last: Rung | None = self._rungs[0]

    def rung(self, *, moshi_here: bool) -> Rung | None:
        """The first rung that is possible now; None: nobody can answer."""
        return self._first(self._rungs, moshi_here)

    def below(self, rung: Rung, *, moshi_here: bool, tried: Part | None = None) -> Rung | None:
        """The next one after ``rung`` that is possible now, for a turn that failed on it.

        With ``tried``, the mind that failed, ``rung`` itself comes again where another mind
        stands in for that one. A rung that the ladder does not name stands above all of it.
        """
        if tried is not None and self.mind(rung) not in {None, tried}:
            again = self._first((rung,), moshi_here)
            if again is not None:
                return again
        after = self._rungs.index(rung) + 1 if rung in self._rungs else 0
        return self._first(self._rungs[after:], moshi_here)

    def mind(self, rung: Rung) -> Part | None:
        """The mind that answers on ``rung`` now; None where it is Moshi, or nobody."""
        match rung:
            case "hybrid":
                return "llm"
            case "embedded":
                return "embedded"
            case "ollama":
                minds: tuple[Part, ...] = ("llm", "other")
                return next((mind for mind in minds if self._health.up(mind)), None)
            case "moshi":
                return None

    def why_not(self, rung: Rung, *, moshi_here: bool) -> str:
        """What keeps ``rung`` from answering, in words; empty when nothing does."""
        reasons = [self._why_down(part) for part in self._lacking(rung)]
        if self._uses_moshi(rung) and self._health.up("moshi") and not moshi_here:
            reasons.insert(0, "this call has no line to Moshi")
        return "; ".join(reasons)

    def moved(self, rung: Rung | None, *, moshi_here: bool) -> Move | None:
        """Note which rung answers now: what to tell if it is another than the last time.

        The first time counts from the preferred rung.
        """
        origin, self._last = self._last, rung
        if rung == origin:
            return None
        reason = self.why_not(origin, moshi_here=moshi_here) if origin is not None else ""
        reason = reason or "what it needs is well again"
        return Move(origin, rung, reason, self._health.down())

    def _first(self, rungs: tuple[Rung, ...], moshi_here: bool) -> Rung | None:
        for rung in rungs:
            if not self._lacking(rung) and (moshi_here or not self._uses_moshi(rung)):
                return rung
        return None

    def _lacking(self, rung: Rung) -> list[Part]:
        """The parts without which ``rung`` cannot answer now."""
        lacking = [part for part in self._needs(rung) if not self._health.up(part)]
        if rung == "ollama" and self.mind(rung) is None:
            lacking += ["llm", "other"] if "other" in self._health.down() else ["llm"]
        return lacking

    def _needs(self, rung: Rung) -> tuple[Part, ...]:
        match rung:
            case "hybrid":
                return ("moshi", "stt", "llm", *(() if self.moshi_speaks else ("tts",)))
            case "moshi":
                return ("moshi",)
            case "ollama":
                return ("stt", "tts")
            case "embedded":
                return ("stt", "tts", "embedded")

    def _uses_moshi(self, rung: Rung) -> bool:
        return rung in {"hybrid", "moshi"}

    def _why_down(self, part: Part) -> str:
        reason = self._health.reason(part)
        return f"{NAMES[part]} is " + (f"down ({reason.rstrip('.')})" if reason else "not there")
