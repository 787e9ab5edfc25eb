"""The scripted world of ``coda_voice_plugin.testing``, by the names that these tests use."""

from coda_voice_plugin.testing import (
    Listener,
    MemoryStore,
    ScriptedFront,
    ScriptedLLM,
    ScriptedSTT,
    ScriptedTTS,
    User,
    World,
    config,
)
from coda_voice_plugin.testing.people import WORD_S
from coda_voice_plugin.testing.scripted import LETTER, RATE, WINDOW

__all__ = [
    "LETTER",
    "RATE",
    "WINDOW",
    "WORD_S",
    "Listener",
    "MemoryStore",
    "ScriptedFront",
    "ScriptedLLM",
    "ScriptedSTT",
    "ScriptedTTS",
    "User",
    "World",
    "config",
]
