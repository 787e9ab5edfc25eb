"""For authors of plugins: suites that hold an engine or a strategy to its contract.

Derive from the suite of your kind, give it your engine, and let pytest run it::

    class TestMyMind(LanguageModelContract):
        @pytest.fixture(scope="class")
        @classmethod
        def engine(cls) -> LanguageModel:
            return MyMind(VoiceConfig())

The suites need ``pytest`` and ``pytest-asyncio``; nothing else here does. Beside
them stand a world without models (scripted engines, a user who speaks numbered
words, a listener with a loudspeaker) and a clock that moves only when nothing else
can happen, on which an hour of conversation takes a second.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .clock import run_virtual
    from .ears import SpeechToTextContract
    from .minds import LanguageModelContract
    from .mouths import TextToSpeechContract
    from .people import Listener, User
    from .scripted import ScriptedLLM, ScriptedSTT, ScriptedTTS
    from .strategies import StrategyContract
    from .world import MemoryStore, ScriptedFront, World, config

_HOMES = {
    "clock": ("run_virtual",),
    "ears": ("SpeechToTextContract",),
    "minds": ("LanguageModelContract",),
    "mouths": ("TextToSpeechContract",),
    "people": ("Listener", "User"),
    "scripted": ("ScriptedLLM", "ScriptedSTT", "ScriptedTTS"),
    "strategies": ("StrategyContract",),
    "world": ("MemoryStore", "ScriptedFront", "World", "config"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}
_SUITES = ("traces", "engines", "ears", "minds", "mouths", "strategies")
"""Files whose ``assert`` pytest explains, if it is asked before they are imported."""

__all__ = [
    "LanguageModelContract",
    "Listener",
    "MemoryStore",
    "ScriptedFront",
    "ScriptedLLM",
    "ScriptedSTT",
    "ScriptedTTS",
    "SpeechToTextContract",
    "StrategyContract",
    "TextToSpeechContract",
    "User",
    "World",
    "config",
    "run_virtual",
]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if home in _SUITES:
        _have_asserts_explained()
    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _have_asserts_explained() -> None:
    import pytest

    names = [f"{__name__}.{suite}" for suite in _SUITES]
    pytest.register_assert_rewrite(*(name for name in names if name not in sys.modules))
