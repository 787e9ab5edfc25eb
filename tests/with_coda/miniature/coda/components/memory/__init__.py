"""Memory."""

from .manager import MemoryManager

__all__ = ["MemoryManager"]
