"""Voice."""

from .manager import VoiceManager

__all__ = ["VoiceManager"]
