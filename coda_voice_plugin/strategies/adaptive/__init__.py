"""Each turn answered by whom it needs: Moshi alone, or the language model behind it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from coda_voice_plugin import Call, Host, Strategy, hookimpl

from ..hybrid import HybridVoiceProcessor
from ..hybrid.parts import Parts
from ..hybrid.routing import Routing
from .routing import AdaptiveRouting
from .weights import Weights, load_weights


class AdaptiveVoiceProcessor(HybridVoiceProcessor):
    """Like ``hybrid``, but small talk is left to Moshi."""

    name = "adaptive"
    _weights: Weights

    @asynccontextmanager
    async def open(self, host: Host) -> AsyncIterator[None]:
        self._weights = load_weights(host.config.adaptive.weights)
        async with super().open(host):
            yield

    def routing(self, call: Call, parts: Parts) -> Routing:
        return AdaptiveRouting(call, parts, self._weights)


@hookimpl
def register_strategies(register: Callable[[type[Strategy]], None]) -> None:
    register(AdaptiveVoiceProcessor)
