"""The mind on an Ollama server, through Ollama's own client."""

from __future__ import annotations

from collections.abc import Callable

from coda_voice_plugin import LanguageModel, hookimpl

from .client import OllamaClient
from .library import Library, Loaded, Measurement, PullProgress, StoredModel, can_chat
from .wire import keep_alive, thinking

__all__ = [
    "Library",
    "Loaded",
    "Measurement",
    "OllamaClient",
    "PullProgress",
    "StoredModel",
    "can_chat",
    "keep_alive",
    "register_llms",
    "thinking",
]


@hookimpl
def register_llms(register: Callable[[type[LanguageModel]], None]) -> None:
    register(OllamaClient)
