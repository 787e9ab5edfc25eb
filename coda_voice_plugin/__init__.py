"""A voice for Coda: local, full-duplex spoken conversation.

Everything a plugin author needs is importable from here. Names are loaded when
they are first used, so that ``import coda_voice_plugin`` stays cheap.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .config import Settings, VoiceConfig
    from .engine import (
        ChatOptions,
        Engine,
        LanguageModel,
        Recognition,
        SpeechToText,
        SpokenAudio,
        TextToSpeech,
    )
    from .errors import (
        AnswerBrokenError,
        AudioError,
        BusyError,
        ConfigError,
        ContextOverflowError,
        EngineDownError,
        EngineError,
        EngineGarbledError,
        EngineMissingError,
        EngineTimeoutError,
        ModelMissingError,
        ModelTooBigError,
        NoDeviceError,
        PluginError,
        ServerError,
        StoreError,
        TakenOverError,
        TokenError,
        UnknownNameError,
        VoiceError,
        WeightsError,
        WireError,
        WrongModelError,
    )
    from .events import (
        MIC_RATE,
        AudioFrame,
        Heard,
        Message,
        Misheard,
        Notice,
        Pause,
        Problem,
        Resumed,
        SpeakingStyle,
        SpeechEnded,
        SpeechStarted,
        Tool,
        ToolCall,
        Transcript,
        Turn,
        Utterance,
        Word,
    )
    from .hookspecs import GROUP, Finding, hookimpl
    from .host import Host, open_host
    from .plugins import Plugins, load_plugins
    from .session import Call, Prompt, Reply, Session
    from .strategy import Need, Strategy
    from .threads import ModelThread, iterate_in_thread

_HOMES: dict[str, tuple[str, ...]] = {
    "config": ("Settings", "VoiceConfig"),
    "engine": (
        "ChatOptions",
        "Engine",
        "LanguageModel",
        "Recognition",
        "SpeechToText",
        "SpokenAudio",
        "TextToSpeech",
    ),
    "errors": (
        "AnswerBrokenError",
        "AudioError",
        "BusyError",
        "ConfigError",
        "ContextOverflowError",
        "EngineDownError",
        "EngineError",
        "EngineGarbledError",
        "EngineMissingError",
        "EngineTimeoutError",
        "ModelMissingError",
        "ModelTooBigError",
        "NoDeviceError",
        "PluginError",
        "ServerError",
        "StoreError",
        "TakenOverError",
        "TokenError",
        "UnknownNameError",
        "VoiceError",
        "WeightsError",
        "WireError",
        "WrongModelError",
    ),
    "events": (
        "MIC_RATE",
        "AudioFrame",
        "Heard",
        "Message",
        "Misheard",
        "Notice",
        "Pause",
        "Problem",
        "Resumed",
        "SpeakingStyle",
        "SpeechEnded",
        "SpeechStarted",
        "Tool",
        "ToolCall",
        "Transcript",
        "Turn",
        "Utterance",
        "Word",
    ),
    "hookspecs": ("GROUP", "Finding", "hookimpl"),
    "host": ("Host", "open_host"),
    "plugins": ("Plugins", "load_plugins"),
    "session": ("Call", "Prompt", "Reply", "Session"),
    "strategy": ("Need", "Strategy"),
    "threads": ("ModelThread", "iterate_in_thread"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "GROUP",
    "MIC_RATE",
    "AnswerBrokenError",
    "AudioError",
    "AudioFrame",
    "BusyError",
    "Call",
    "ChatOptions",
    "ConfigError",
    "ContextOverflowError",
    "Engine",
    "EngineDownError",
    "EngineError",
    "EngineGarbledError",
    "EngineMissingError",
    "EngineTimeoutError",
    "Finding",
    "Heard",
    "Host",
    "LanguageModel",
    "Message",
    "Misheard",
    "ModelMissingError",
    "ModelThread",
    "ModelTooBigError",
    "Need",
    "NoDeviceError",
    "Notice",
    "Pause",
    "PluginError",
    "Plugins",
    "Problem",
    "Prompt",
    "Recognition",
    "Reply",
    "Resumed",
    "ServerError",
    "Session",
    "Settings",
    "SpeakingStyle",
    "SpeechEnded",
    "SpeechStarted",
    "SpeechToText",
    "SpokenAudio",
    "StoreError",
    "Strategy",
    "TakenOverError",
    "TextToSpeech",
    "TokenError",
    "Tool",
    "ToolCall",
    "Transcript",
    "Turn",
    "UnknownNameError",
    "Utterance",
    "VoiceConfig",
    "VoiceError",
    "WeightsError",
    "WireError",
    "Word",
    "WrongModelError",
    "hookimpl",
    "iterate_in_thread",
    "load_plugins",
    "open_host",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
