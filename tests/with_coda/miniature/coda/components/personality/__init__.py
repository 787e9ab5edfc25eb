"""Personality."""

from .manager import PersonalityManager

__all__ = ["PersonalityManager"]
