"""The decision of each turn in one call: what is asked, what is told of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from coda_voice_plugin import Call, Reply, Tool
from coda_voice_plugin.config.hybrid import Rung

from ..hybrid.parts import Parts
from ..hybrid.routing import Route, Routing
from .reasons import Answerer
from .router import Router, Situation
from .weights import Weights


class AdaptiveRouting(Routing):
    """Asks the :class:`Router`, and remembers who answered."""

    def __init__(self, call: Call, parts: Parts, weights: Weights) -> None:
        self._call = call
        self._parts = parts
        settings, language = call.config.adaptive, call.config.language
        self._router = Router(settings, language=language, weights=weights)
        self._tools: tuple[tuple[str, str], ...] = ()
        self._last: Answerer | None = None

    async def prepare(self) -> None:
        """Ask the plugins which tools there are: what a tool covers is not for Moshi."""
        config, plugins = self._call.config, self._call.host.plugins
        if not config.tools_integration_enabled:
            return
        deadline = config.hooks.deadline_ms / 1000
        offers: list[Sequence[Tool]] = await plugins.ask("reply_tools", deadline, call=self._call)
        self._tools = tuple((tool.name, tool.description) for offer in offers for tool in offer)

    def route(self, text: str, rung: Rung | None) -> Route:
        parts = self._parts
        decision = self._router.decide(
            text,
            Situation(
                tools=self._tools,
                llm_up=parts.health.up("llm"),
                moshi_up=rung in ("hybrid", "moshi"),
                llm_first_token_ms=parts.tally.first_token_median(),
                overloaded=parts.overloaded,
                vram_pressure=parts.short_of_memory,
                last=self._last,
            ),
        )
        alone = decision.mode == "moshi" and rung == "hybrid"
        return Route(alone, asdict(decision))

    def confirmed(self, reply: Reply, route: Route, rung: Rung | None) -> None:
        self._last = "moshi" if route.alone or rung == "moshi" else "hybrid"
        self._call.notify("decision", turn=reply.turn, **route.data)
