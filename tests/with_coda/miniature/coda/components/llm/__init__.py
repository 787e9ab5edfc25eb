"""Language models."""

from .manager import LLMManager

__all__ = ["LLMManager"]
