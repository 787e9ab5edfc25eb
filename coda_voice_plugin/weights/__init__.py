"""Model files on disk: which are known, where they come from, and that they are whole."""

from __future__ import annotations

from .disk import Progress, cache_dir, in_words
from .finding import CheckpointFiles, Held, checkpoint, held
from .reference import is_folder, is_repository
from .repositories import REPOSITORIES, Repository
from .store import fetch, find, is_name, verified
from .table import KNOWN, Weights, WheelPart

__all__ = [
    "KNOWN",
    "REPOSITORIES",
    "CheckpointFiles",
    "Held",
    "Progress",
    "Repository",
    "Weights",
    "WheelPart",
    "cache_dir",
    "checkpoint",
    "fetch",
    "find",
    "held",
    "in_words",
    "is_folder",
    "is_name",
    "is_repository",
    "verified",
]
