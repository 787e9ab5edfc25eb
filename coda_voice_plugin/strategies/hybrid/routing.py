"""Whether a turn is for Moshi alone: decided by who can, and in `adaptive` by what was said."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from coda_voice_plugin import Reply
from coda_voice_plugin.config.hybrid import Rung


@dataclass(frozen=True, slots=True)
class Route:
    """What was decided about one turn."""

    alone: bool = False
    """Moshi answers by itself, though the language model could."""
    data: Mapping[str, Any] = field(default_factory=dict)
    """Why, for the notice ``decision``; empty where nothing had to be decided."""


class Routing:
    """Asks the language model whenever it can; one per call."""

    def route(self, text: str, rung: Rung | None) -> Route:
        """Decide about a turn whose words, so far, are ``text``; ``rung`` is who can answer."""
        return Route()

    async def prepare(self) -> None:
        """Learn what decisions need; runs beside the first words of a call."""

    def confirmed(self, reply: Reply, route: Route, rung: Rung | None) -> None:
        """The turn was over with these words: ``route`` holds, and ``rung`` answers."""
