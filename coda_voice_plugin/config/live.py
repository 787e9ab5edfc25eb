"""Which settings can change while the program runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .model import VoiceConfig
from .schema import settings

_LIVE_SECTIONS = ("audio", "turn", "prompt", "speed", "tools", "trouble", "hooks", "log")
_LIVE_KEYS = (
    "conversation_mode",
    "memory_integration_enabled",
    "personality_integration_enabled",
    "tools_integration_enabled",
    "websocket_events_enabled",
    # the mind changes its model while it runs
    "external_llm.model",
    "embedded_llm.model",
)
# The models that they call for are loaded at start-up.
_NEEDS_A_MODEL = ("audio.vad", "turn.acoustic_hint")

LIVE: frozenset[str] = frozenset(
    setting.key
    for setting in settings().values()
    if (setting.path[0] in _LIVE_SECTIONS or setting.key in _LIVE_KEYS)
    and setting.key not in _NEEDS_A_MODEL
)
"""Keys that hold for new calls as soon as the settings are read again."""


@dataclass(frozen=True, slots=True)
class Changes:
    """Keys whose values differ."""

    live: tuple[str, ...]
    """In force for new calls."""
    restart: tuple[str, ...]
    """In force after a restart."""


def changes(old: VoiceConfig, new: VoiceConfig) -> Changes:
    """What differs between two sets of settings, in the order of the model."""
    different = [
        setting.key
        for setting in settings().values()
        if _value(old, setting.path) != _value(new, setting.path)
    ]
    return Changes(
        live=tuple(key for key in different if key in LIVE),
        restart=tuple(key for key in different if key not in LIVE),
    )


def merge_live(old: VoiceConfig, new: VoiceConfig) -> VoiceConfig:
    """``new`` where that needs no restart, ``old`` where it does."""
    top: dict[str, Any] = {}
    sections: dict[str, dict[str, Any]] = {}
    for key in changes(old, new).live:
        *section, name = key.split(".")
        value = _value(new, (*section, name))
        if section:
            sections.setdefault(section[0], {})[name] = value
        else:
            top[name] = value
    for name, update in sections.items():
        top[name] = getattr(old, name).model_copy(update=update)
    return old.model_copy(update=top)


def _value(config: VoiceConfig, path: tuple[str, ...]) -> Any:
    value: Any = config
    for name in path:
        value = getattr(value, name)
    return value
