"""Repositories that the hub's own client has fetched, in its cache, which is only read.

``huggingface_hub`` names the content of a file by the hash that the hub promised
(``snapshots/COMMIT/NAME`` points to ``blobs/HASH``), so what lies there can be verified.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

from ..config import ModelsSettings
from .disk import cache_dir
from .hub import hub_home
from .manifest import Promise, Stamps
from .reference import Reference

_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIGEST = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")


def snapshot_of(reference: Reference) -> Path | None:
    """The folder in the hub's cache that holds this revision, if there is one."""
    cache = os.environ.get("HF_HUB_CACHE")
    base = Path(cache).expanduser() if cache else hub_home() / "hub"
    repository = base / f"models--{reference.owner}--{reference.name}"
    commit = reference.revision or "main"
    if not _COMMIT.fullmatch(commit):
        try:
            commit = (repository / "refs" / commit).read_text().strip()
        except OSError:
            return None
    folder = repository / "snapshots" / commit
    return folder if _COMMIT.fullmatch(commit) and folder.is_dir() else None


def promise_of(path: Path) -> Promise | None:
    """What the hub promised of a file in a snapshot; None when it is not there, or a copy."""
    if not path.is_symlink():
        return None
    blob = path.resolve()
    if not (_DIGEST.fullmatch(blob.name) and blob.is_file()):
        return None
    return Promise(blob.stat().st_size, blob.name)


def stamps_of(reference: Reference, settings: ModelsSettings) -> Stamps:
    """Which files of a snapshot were hashed; kept on our side."""
    return Stamps(cache_dir(settings) / reference.owner / f".{reference.name}.snapshot.json")
