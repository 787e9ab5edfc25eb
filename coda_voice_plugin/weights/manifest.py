"""What the hub promised of the files in a folder, and which of them were hashed.

The promise is kept beside the files, so that a folder which is copied to another machine can
be verified there without the hub.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from ..errors import WeightsError
from .disk import digest_of
from .reference import is_inside

MANIFEST = "coda-voice.json"
_STAMPS = ".verified.json"


@dataclass(frozen=True, slots=True)
class Promise:
    """Size and hash of a file: sha256 of a large one, git's name of a small one."""

    size: int
    digest: str

    def is_kept_by(self, path: Path, tick: Callable[[], None] | None = None) -> bool:
        """Whether ``path`` has this size and this hash."""
        kind = "sha256" if len(self.digest) == 64 else "git"
        return path.stat().st_size == self.size and digest_of(path, kind, tick) == self.digest


@dataclass(frozen=True, slots=True)
class Manifest:
    """The files of one repository that lie in a folder, or are on their way."""

    repository: str
    revision: str
    """Commit"""
    licence: str
    needs: tuple[str, ...]
    """What the model needs: files here, ``hf://owner/name/file`` elsewhere. Empty when only
    single files were asked for."""
    files: Mapping[str, Promise]

    @classmethod
    def read(cls, folder: Path) -> Manifest | None:
        """The manifest of ``folder``; None when there is none. Raises WeightsError."""
        try:
            found = json.loads((folder / MANIFEST).read_text())
            files = {
                name: Promise(int(file["size"]), str(file["digest"]))
                for name, file in found["files"].items()
                if is_inside(name)
            }
            needs = tuple(str(need) for need in found["needs"])
            name, revision, licence = (
                str(found[key]) for key in ("repository", "revision", "licence")
            )
            return cls(name, revision, licence, needs, files)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise WeightsError(
                f"{folder / MANIFEST} cannot be read ({error}); remove it and fetch again."
            ) from error

    def write(self, folder: Path) -> None:
        """Put the manifest into ``folder``, at once and whole."""
        _write(folder / MANIFEST, json.dumps(asdict(self), indent=1))


class Stamps:
    """Remembers which files were hashed, by what the disk says of them.

    With the inode: a copy of a folder looks the same but for that, and is hashed once.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            known = json.loads(path.read_text())
        except (OSError, ValueError):
            known = None
        self._known: dict[str, object] = known if isinstance(known, dict) else {}

    @classmethod
    def of(cls, folder: Path) -> Stamps:
        """The stamps that are kept in the folder itself."""
        return cls(folder / _STAMPS)

    def confirm(self, name: str, path: Path, promise: Promise) -> bool:
        """Whether ``path`` keeps ``promise``; hashed when it changed since the last time."""
        try:
            stat = path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return False
        if stat.st_size == promise.size and self._known.get(name) == _stamp(stat, promise):
            return True
        if not promise.is_kept_by(path):
            return False
        self.remember(name, path, promise)
        return True

    def remember(self, name: str, path: Path, promise: Promise) -> None:
        """``path`` was hashed and is right."""
        self._known[name] = _stamp(path.stat(), promise)
        # a cache that cannot be written is only hashed again next time
        with suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            _write(self._path, json.dumps(self._known))


def _stamp(stat: os.stat_result, promise: Promise) -> list[object]:
    return [promise.digest, stat.st_size, stat.st_mtime_ns, stat.st_ino]


def _write(path: Path, text: str) -> None:
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(text)
    new.replace(path)
