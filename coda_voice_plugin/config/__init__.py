"""Settings: what they are (:mod:`.model`), where each value comes from (:mod:`.load`)."""

from __future__ import annotations

from .base import Settings
from .house import ModelsSettings, ServerSettings, StoreSettings
from .live import LIVE, Changes, changes, merge_live
from .load import LoadedConfig, load_config
from .model import (
    AudioSettings,
    EmbeddedLLMSettings,
    ExternalLLMSettings,
    TurnSettings,
    VoiceConfig,
)
from .presets import preset_names
from .show import render

__all__ = [
    "LIVE",
    "AudioSettings",
    "Changes",
    "EmbeddedLLMSettings",
    "ExternalLLMSettings",
    "LoadedConfig",
    "ModelsSettings",
    "ServerSettings",
    "Settings",
    "StoreSettings",
    "TurnSettings",
    "VoiceConfig",
    "changes",
    "load_config",
    "merge_live",
    "preset_names",
    "render",
]
