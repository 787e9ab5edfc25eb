"""The assistant itself."""

from .assistant import CodaAssistant
from .config import CodaConfig, load_config
from .events import Event, EventBus

__all__ = ["CodaAssistant", "CodaConfig", "Event", "EventBus", "load_config"]
