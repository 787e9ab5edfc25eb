"""What turns take, by way of answering: figures, budgets, and one turn as a drawing."""

from __future__ import annotations

import asyncio
import math
import statistics
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from coda_voice_plugin.config.hybrid import LatencySettings

from .health import Part

LATEST = 1_000
"""Turns of each way of answering that the figures are made of."""
FIRST_TOKENS = 20
"""First words that :meth:`Tally.first_token_median` looks at, and for how many seconds: who
sends turns elsewhere because of them gets no new ones, and should try again."""
FIRST_TOKENS_S = 120.0

_MINDS: Mapping[str, Part] = {"hybrid": "llm", "ollama": "llm", "embedded": "embedded"}


class Over(NamedTuple):
    """A stage that took longer than it may, in ms."""

    stage: str
    took: float
    budget: float


class Row(NamedTuple):
    """A stage of one turn, in ms from the user's last sample."""

    stage: str
    begin_ms: float
    end_ms: float


class Tally:
    """The latency of the turns of one process. Each turn costs the same, however many there were.

    ``mode`` is a rung, or any name of a way of answering; it must come from a fixed set.
    """

    def __init__(self, settings: LatencySettings) -> None:
        self._budgets: dict[str, float] = {
            name.removesuffix("_ms"): budget for name, budget in settings.model_dump().items()
        }
        self._turns: dict[str, deque[dict[str, float]]] = {}
        self._over: Counter[tuple[str, str]] = Counter()
        self._first_tokens: deque[tuple[float, float]] = deque(maxlen=FIRST_TOKENS)

    def add(self, mode: str, timings_ms: Mapping[str, float], *, mind: Part | None = None) -> None:
        """Count one turn. ``mind`` is who thought, where that is not the mode's own."""
        self._turns.setdefault(mode, deque(maxlen=LATEST)).append(dict(timings_ms))
        first = timings_ms.get("llm_first_token")
        if first is not None and (mind or _MINDS.get(mode)) == "llm":
            self._first_tokens.append((asyncio.get_running_loop().time(), first))

    def over(self, mode: str, timings_ms: Mapping[str, float]) -> list[Over]:
        """The stages of a turn that took longer than they may; ask once a turn, it counts them."""
        late = [
            Over(stage, took, budget)
            for stage, took in timings_ms.items()
            if (budget := self._budgets.get(f"{mode}_{stage}")) is not None and took > budget
        ]
        self._over.update((mode, stage) for stage, _, _ in late)
        return late

    def first_token_median(self) -> float | None:
        """ms to the language model's first word, from the user's last sample, in the median of
        the latest turns; None when there were none of late."""
        since = asyncio.get_running_loop().time() - FIRST_TOKENS_S
        fresh = [first for at, first in self._first_tokens if at > since]
        return statistics.median(fresh) if fresh else None

    def report(self) -> Mapping[str, Any]:
        """By mode and stage: ``n``, ``p50``, ``p95`` (nearest rank), ``max`` in ms over the
        latest turns, and ``over``: how often it took longer than it may, in all."""
        return {
            mode: {
                stage: _figures([turn[stage] for turn in turns if stage in turn])
                | {"over": self._over[mode, stage]}
                for stage in dict.fromkeys(stage for turn in turns for stage in turn)
            }
            for mode, turns in self._turns.items()
        }


def _figures(times: Sequence[float]) -> dict[str, float]:
    ordered = sorted(times)

    def rank(share: float) -> float:
        return ordered[math.ceil(share * len(ordered)) - 1]

    return {"n": len(ordered), "p50": rank(0.5), "p95": rank(0.95), "max": ordered[-1]}


_STAGES = (
    ("endpoint", "endpoint", ()),
    ("recognition", "stt", ("endpoint",)),
    ("first token", "llm_first_token", ("endpoint", "stt")),
    ("first sound", "first_audio", ("endpoint", "stt", "llm_first_token")),
    (
        "first content word",
        "first_content",
        ("endpoint", "stt", "llm_first_token", "first_audio"),
    ),
)
"""Row, the timing that ends it, and the timings that it may have waited for."""


def waterfall(timings_ms: Mapping[str, float]) -> tuple[Row, ...]:
    """The stages of one turn, in order, from its ``timings_ms``; those not measured are left out.

    ``capture`` is a length: the way of the last sample from the microphone to here, which is
    time 0. The others are moments. A stage begins when the last of those that it may have
    waited for was over, or at 0: so what was done ahead of its time, while the user paused or
    behind an opener, lies beside the rest. One that ended before 0 has no length.
    """
    rows = []
    if (capture := timings_ms.get("capture")) is not None:
        rows.append(Row("capture", -capture, 0.0))
    for stage, timing, waits_for in _STAGES:
        if (end := timings_ms.get(timing)) is None:
            continue
        before = [timings_ms[name] for name in waits_for if timings_ms.get(name, end) < end]
        rows.append(Row(stage, min(end, max([0.0, *before])), end))
    return tuple(rows)
