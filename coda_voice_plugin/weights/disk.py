"""The user's cache directory: where it is, who may write, how much fits, what was hashed."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ..config import ModelsSettings
from ..errors import WeightsError

Progress = Callable[[str, int, int], None]
"""Called with the name, the bytes on disk so far and the bytes in all."""

_BLOCK = 1 << 22


def cache_dir(settings: ModelsSettings) -> Path:
    """Where model files live; ``$XDG_CACHE_HOME`` is honoured."""
    if settings.cache_dir is not None:
        return Path(settings.cache_dir).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "coda-voice" / "models"


@contextmanager
def lock(path: Path) -> Iterator[None]:
    """Hold the right to write ``path``, among processes and threads."""
    with path.with_name(f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def need_space(name: str, missing: int, folder: Path) -> None:
    """Raise WeightsError when ``missing`` bytes do not fit beside ``folder``."""
    free = shutil.disk_usage(folder).free
    if free < missing:
        raise WeightsError(
            f"the disk is full: the weights {name!r} need {in_words(missing)} more in "
            f"{folder}, and {in_words(free)} are free; make room or set models.cache_dir."
        )


def in_words(size: int) -> str:
    """A number of bytes for people: ``98 MB``, ``15.4 GB``."""
    return f"{size / 1e6:.0f} MB" if size < 1e9 else f"{size / 1e9:.1f} GB"


def size_of(path: Path) -> int:
    """Bytes of ``path``; 0 when it is not there."""
    try:
        return path.stat().st_size
    except (FileNotFoundError, NotADirectoryError):
        return 0


def digest_of(path: Path, kind: str, tick: Callable[[], None] | None = None) -> str:
    """Hash of ``path``: its ``sha256``, or ``git``, the name that git gives its content.

    ``tick`` is called after each block and may raise to stop: 15 GB take a while.
    """
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(usedforsecurity=False)
    if kind == "git":
        digest.update(f"blob {path.stat().st_size}\0".encode())
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            if tick is not None:
                tick()
    return digest.hexdigest()
