"""Coda's core in miniature: a stand-in for tests, written anew from how the core behaves.

It has the core's modules, classes and signatures as far as a voice comes near them, and its
mistakes, with the same messages. The tests of ``test_miniature.py`` hold it to the core: they
pass on both. Coda itself is at https://github.com/Aladin147/Coda, under the MIT licence.
"""

__version__ = "2.0.0-alpha"

from .components.memory import MemoryManager
from .components.voice import VoiceManager
from .core.assistant import CodaAssistant
from .core.events import Event, EventBus

# The core looks for these under wrong names, and finds nothing.
Config = load_config = PersonalityEngine = ToolManager = None

__all__ = ["CodaAssistant", "Event", "EventBus", "MemoryManager", "VoiceManager"]
