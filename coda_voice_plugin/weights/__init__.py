"""Model files on disk: which are known, where they come from, and that they are whole."""

from __future__ import annotations

from .store import Progress, cache_dir, fetch, find, verified
from .table import KNOWN, Weights, WheelPart

__all__ = [
    "KNOWN",
    "Progress",
    "Weights",
    "WheelPart",
    "cache_dir",
    "fetch",
    "find",
    "verified",
]
