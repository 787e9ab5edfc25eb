"""Coda's managers as guests of the voice, and the voice as a guest of Coda.

::

    from coda_voice_hooks import enable

    assistant = CodaAssistant(config)
    enable(assistant)
    await assistant.initialize()

Nothing of Coda is imported before it is needed: the voice runs without it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # an installed voice is found at every start of Python: typing costs 20 ms
if TYPE_CHECKING:
    from typing import Any

    from .attachment import Attachment
    from .duplex import WebSocketVoiceManager
    from .enabling import enable
    from .settings import CodaSettings
    from .voice_manager import VoiceManager

__all__ = ["Attachment", "CodaSettings", "VoiceManager", "WebSocketVoiceManager", "enable"]

_HOME = {
    "Attachment": "attachment",
    "CodaSettings": "settings",
    "VoiceManager": "voice_manager",
    "WebSocketVoiceManager": "duplex",
    "enable": "enabling",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
