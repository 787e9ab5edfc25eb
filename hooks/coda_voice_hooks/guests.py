"""The plugin objects that join one Coda to one voice, and where each finds its part of Coda."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from .audience import Audience
from .background import Background
from .conversation import ConversationHooks
from .settings import CodaSettings

Find = Callable[[], Any]


def nothing() -> None:
    """There is no such part."""


@dataclass(frozen=True, slots=True)
class Finders:
    """Where the parts of Coda are, now: its recovery replaces them while it runs."""

    memory: Find = nothing
    personality: Find = nothing
    tools: Find = nothing
    llm: Find = nothing
    sessions: Find = nothing
    server: Find = nothing

    def missing(self) -> dict[str, str]:
        """Parts that are not there, and what the voice does without them."""
        return {name: why for name, why in _WITHOUT.items() if getattr(self, name)() is None}


_WITHOUT = {
    "memory": "it answers without what was said in earlier conversations",
    "personality": "it speaks in its own manner",
    "tools": "it answers without tools",
    "llm": "the settings of the voice choose the mind",
    "sessions": "what is typed and what is said are two conversations",
    "server": "Coda's WebSocket clients are not told what the voice does",
}


@dataclass(slots=True)
class Guests:
    """The hooks of one voice."""

    finders: Finders
    settings: CodaSettings
    more: tuple[tuple[str, object], ...] = ()
    """An application's own plugin objects, by name."""
    audience: Audience = field(default_factory=Audience)
    conversation: ConversationHooks = field(init=False)

    def __post_init__(self) -> None:
        find_llm = self.finders.llm
        self.conversation = ConversationHooks(
            self.finders.sessions,
            lambda: getattr(find_llm(), "conversation_manager", None),
            _llm_message,
        )

    def make(self, background: Background) -> list[tuple[str, object]]:
        """The plugin objects by name, as ``load_plugins`` takes them."""
        from .llm import LLMHooks
        from .memory import MemoryHooks
        from .personality import PersonalityHooks
        from .tools import ToolHooks
        from .websocket import WebSocketHooks

        find, settings = self.finders, self.settings
        return [
            ("coda-conversation", self.conversation),
            ("coda-memory", MemoryHooks(find.memory, settings, background)),
            ("coda-personality", PersonalityHooks(find.personality, settings)),
            ("coda-tools", ToolHooks(find.tools, find.memory, settings)),
            ("coda-llm", LLMHooks(find.llm)),
            ("coda-websocket", WebSocketHooks(find.server, self.audience)),
            *self.more,
        ]


def _llm_message(role: str, content: str) -> Any:
    """A message as Coda's text chat keeps it."""
    models = import_module("coda.components.llm.models")
    return models.LLMMessage(role=models.MessageRole(role), content=content)
