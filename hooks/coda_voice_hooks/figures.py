"""Figures of a conversation: who talked how long, what was cut, how late the answers were."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, fields
from statistics import median, quantiles
from typing import Any

from coda_voice_plugin import Turn

KEPT_LATENCIES = 1_000
"""Newest answers whose latency is kept for the percentiles."""


@dataclass(slots=True)
class Figures:
    """Sums of one session's turns, or of many sessions'."""

    turns: int = 0
    typed: int = 0
    interruptions: int = 0
    errors: int = 0
    user_ms: float = 0.0
    assistant_ms: float = 0.0
    fallbacks: int = 0
    remembered: int = 0
    """Answers for which something was found in the memory."""
    tools: int = 0
    """Calls of tools."""
    llm_ms_sum: float = 0.0
    llm_answers: int = 0
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=KEPT_LATENCIES))
    """From the user's last sound to the first of the answer."""

    def add(self, turn: Turn) -> None:
        """A turn is over."""
        self.turns += 1
        self.typed += turn.typed
        self.interruptions += turn.interrupted
        self.errors += turn.error is not None
        self.user_ms += turn.spoken_ms
        self.assistant_ms += turn.heard_ms
        if (latency := turn.timings_ms.get("first_audio")) is not None:
            self.latencies_ms.append(latency)
        if (token := turn.timings_ms.get("llm_first_token")) is not None:
            self.llm_ms_sum += token
            self.llm_answers += 1

    @property
    def talk_ratio(self) -> float | None:
        """The user's share of all speech, 0 to 1; None where nobody spoke."""
        total = self.user_ms + self.assistant_ms
        return self.user_ms / total if total else None

    @property
    def latency_ms(self) -> float | None:
        """Median; None where nothing was answered aloud."""
        return median(self.latencies_ms) if self.latencies_ms else None

    @property
    def llm_ms(self) -> float | None:
        """Mean time to the mind's first token; None where it was not asked."""
        return self.llm_ms_sum / self.llm_answers if self.llm_answers else None

    @property
    def latency_p95_ms(self) -> float | None:
        if len(self.latencies_ms) < 2:
            return self.latency_ms
        return quantiles(self.latencies_ms, n=20, method="inclusive")[-1]

    def as_data(self) -> dict[str, Any]:
        """For JSON: what was counted, and None for what cannot be said."""
        return {
            "turns": self.turns,
            "typed": self.typed,
            "interruptions": self.interruptions,
            "errors": self.errors,
            "fallbacks": self.fallbacks,
            "remembered": self.remembered,
            "tools": self.tools,
            "user_ms": round(self.user_ms, 1),
            "assistant_ms": round(self.assistant_ms, 1),
            "talk_ratio": _rounded(self.talk_ratio, 3),
            "latency_ms": _rounded(self.latency_ms, 1),
            "latency_p95_ms": _rounded(self.latency_p95_ms, 1),
        }


def total(parts: Iterable[Figures]) -> Figures:
    """The sums of several sessions."""
    summed = Figures()
    for part in parts:
        for name in _SUMMED:
            setattr(summed, name, getattr(summed, name) + getattr(part, name))
        summed.latencies_ms.extend(part.latencies_ms)
    return summed


_SUMMED = tuple(each.name for each in fields(Figures) if each.name != "latencies_ms")


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
