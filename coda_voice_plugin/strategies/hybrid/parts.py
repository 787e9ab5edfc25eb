"""The parts of one process that its calls share: who is well, the minds, Moshi, the figures."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from coda_voice_plugin import Call, EngineError, EngineTimeoutError, Host
from coda_voice_plugin.config.hybrid import FallbackSettings
from coda_voice_plugin.kyutai.line import Line
from coda_voice_plugin.kyutai.ticks import OVERLOAD

from .health import Health, Part
from .minds import Minds
from .tally import Tally
from .watched import Watched, note

if TYPE_CHECKING:
    from coda_voice_plugin.kyutai.moshi import MoshiEngine


@dataclass
class Parts:
    """Made when the strategy opens. ``engine`` is None where Moshi is elsewhere, or nowhere."""

    host: Host
    health: Health
    minds: Minds
    tally: Tally
    engine: MoshiEngine | None = None
    _ticks: tuple[int, int] = field(default=(-1, 0), init=False)
    """Those of Moshi, and the late ones among them, at the last look."""

    @property
    def fallback(self) -> FallbackSettings:
        """The settings; without ``moshi.external_llm_enabled`` no turn is for both minds."""
        config = self.host.config
        if config.moshi.external_llm_enabled:
            return config.fallback
        rungs = tuple(rung for rung in config.fallback.ladder if rung != "hybrid")
        return config.fallback.model_copy(update={"ladder": rungs or ("moshi",)})

    def line(self, call: Call) -> AbstractAsyncContextManager[Line]:
        """A line to Moshi for ``call``; raises EngineError where there is none to be had."""
        if self.engine is not None:
            if self.short_of_memory:
                raise EngineError(
                    "moshi", "the GPU's memory is nearly full; no new line is opened."
                )
            return self.engine.line(call.config.moshi)
        from ..moshi.remote import open_remote

        return open_remote(call.config)

    def mind(self, part: Part) -> Watched:
        """The mind, its deadlines kept and its failures noted; raises EngineError."""
        first_s = self.host.config.fallback.first_token_ms / 1000
        return Watched(self.minds.get(part), part, self.health, first_s)

    def blame(self, error: EngineError) -> None:
        """Count ``error`` against the voice that it names: Moshi's, or that of ``tts``."""
        labels: tuple[tuple[Part, str], ...] = (
            ("moshi", "moshi"),
            ("tts", self.host.label("tts")),
        )
        for named in (error.engine, error.engine.split(" ")[0]):
            for part, label in labels:
                if self.health.has(part) and named in (label, label.split(" ")[0]):
                    note(self.health, part, error)
                    return

    # Moshi's condition.

    async def look_at_moshi(self) -> None:
        """Raise EngineError while Moshi here cannot take or carry a call."""
        engine = self.engine
        if engine is None:
            raise EngineError("moshi", "is not loaded.")
        if engine.wheel.down is not None:
            raise engine.wheel.down
        if self.short_of_memory:
            raise EngineError("moshi", "the GPU's memory is nearly full.")
        stats = engine.wheel.ticks
        (before, late), self._ticks = self._ticks, (stats.count, stats.overruns)
        if engine.wheel.taken and before == stats.count:
            raise EngineTimeoutError("moshi", "its ticks stand still.")
        if stats.overruns - late > OVERLOAD * (stats.count - before):
            raise EngineTimeoutError("moshi", "its ticks take longer than they last.")

    @property
    def overloaded(self) -> bool:
        """Whether Moshi's ticks overrun: more than a fifth of the latest."""
        return self.engine is not None and self.engine.wheel.ticks.overloaded

    @property
    def short_of_memory(self) -> bool:
        """Whether the card has less free memory than ``fallback.min_free_vram`` of its own."""
        free = free_memory(self.engine)
        return free is not None and free < self.host.config.fallback.min_free_vram

    def report(self) -> Mapping[str, Any]:
        """Figures for the operator."""
        return {
            "moshi": None if self.engine is None else self.engine.report(),
            "parts": self.health.report(),
            "latency": self.tally.report(),
        }


def free_memory(engine: MoshiEngine | None) -> float | None:
    """The free share of the memory of the card that ``engine`` runs on; None without a card."""
    torch = sys.modules.get("torch")
    if engine is None or torch is None or engine.loaded.device == "cpu":
        return None
    free, total = torch.cuda.mem_get_info()
    return float(free / total)
