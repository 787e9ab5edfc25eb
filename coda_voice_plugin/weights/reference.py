"""How repositories of the hub, and files in them, are written.

::

    owner/name                      what Moshi's loaders read of this repository
    owner/name@revision             of this branch, tag or commit; a "/" in it is written %2F
    owner/name/path/to/file         this one file
    owner/name@revision/path        this one file of that revision

The revision stands behind the name, not at the end: names of files hold an "@" at times
(``kyutai/tts-voices/vctk/p225_023.wav.1e68beda@240.safetensors``), names of
repositories never. What begins with ``/``, ``.`` or ``~`` is a folder here.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import quote, unquote

from ..config import ModelsSettings
from ..errors import WeightsError
from .disk import cache_dir

_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,95}")
_REVISION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]{0,199}")
_HUB = "hf://"


@dataclass(frozen=True, slots=True)
class Reference:
    """A repository, or a file in it."""

    owner: str
    name: str
    revision: str | None = None
    """Branch, tag or commit; None is the one that was fetched before, else ``main``."""
    file: str | None = None
    """Path inside the repository; None is the model."""

    @classmethod
    def parse(cls, text: str) -> Reference:
        """Read ``owner/name[@revision][/path]``; raises WeightsError."""
        owner, _, rest = text.removeprefix(_HUB).partition("/")
        second, slash, file = rest.partition("/")
        name, at, revision = second.partition("@")
        revision = unquote(revision)
        if not (
            _PART.fullmatch(owner)
            and _PART.fullmatch(name)
            and (not at or _REVISION.fullmatch(revision))
            and (not slash or is_inside(file))
        ):
            raise WeightsError(
                f"{text!r} is not the name of a repository; write owner/name, "
                "owner/name@revision or owner/name/path/to/file."
            )
        return cls(owner, name, revision or None, file or None)

    @property
    def repository(self) -> str:
        """``owner/name``"""
        return f"{self.owner}/{self.name}"

    @property
    def whole(self) -> Reference:
        """The repository that the file is in."""
        return replace(self, file=None)

    def of(self, file: str) -> Reference:
        """Another file of the same repository."""
        return replace(self, file=file)

    def folder(self, settings: ModelsSettings) -> Path:
        """Where the files of this repository are kept."""
        return cache_dir(settings) / self.owner / self._second

    @property
    def _second(self) -> str:
        return f"{self.name}@{quote(self.revision, safe='')}" if self.revision else self.name

    def __str__(self) -> str:
        return "/".join(filter(None, (self.owner, self._second, self.file)))


def is_folder(name: str) -> bool:
    """Whether ``name`` is written as a folder of this machine."""
    return name.startswith(("/", ".", "~"))


def is_repository(name: str) -> bool:
    """Whether ``name`` is written as a repository of the hub, or a file in one."""
    return "/" in name and not is_folder(name)


def is_inside(file: str) -> bool:
    """Whether ``file`` stays inside the folder that it is relative to.

    Names come out of other people's config.json: one such as ``../../.bashrc`` must not be
    written, nor read.
    """
    parts = file.split("/")
    return not ({"", ".", ".."} & set(parts) or "\\" in file or "\0" in file)
