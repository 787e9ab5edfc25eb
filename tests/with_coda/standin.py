"""A call as the hooks see it, without sound."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, cast

from coda_voice_plugin import Call, Message, Turn, VoiceConfig


@dataclass
class StandIn:
    """What the hooks use of a call; ``notices`` are what its client was told."""

    id: str = "call"
    config: VoiceConfig = field(default_factory=VoiceConfig)
    history: tuple[Message, ...] = ()
    turns: list[Turn] = field(default_factory=list)
    notices: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    notified: asyncio.Event = field(default_factory=asyncio.Event)

    def notify(self, kind: str, **data: Any) -> None:
        self.notices.append((kind, data))
        self.notified.set()

    @property
    def call(self) -> Call:
        return cast("Call", self)


def turn(user: str, assistant: str = "I see.", index: int = 1, **more: Any) -> Turn:
    """An exchange that was heard for two seconds."""
    heard = {"generated": assistant, "heard_ms": 2_000.0} | more
    return Turn(index, user, assistant, **heard)
