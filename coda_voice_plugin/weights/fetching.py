"""Repositories of the hub, brought to this disk."""

from __future__ import annotations

import errno
import glob
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..config import ModelsSettings
from ..errors import WeightsError
from . import hub
from .disk import Progress, cache_dir, lock, need_space, size_of
from .finding import find
from .hub import FileMissingError, HubError, HubFile
from .manifest import Manifest, Stamps
from .needs import CONFIG, HERE, HUB, names_in
from .reference import Reference
from .repositories import REPOSITORIES
from .sources import SourceError, download


@dataclass(frozen=True, slots=True)
class Piece:
    """One file to have."""

    reference: Reference
    at: HubFile

    @property
    def file(self) -> str:
        assert self.reference.file is not None
        return self.reference.file

    def path(self, settings: ModelsSettings) -> Path:
        return self.reference.folder(settings) / self.file

    def part(self, settings: ModelsSettings) -> Path:
        """Where it grows; another version of the file has another part."""
        path = self.path(settings)
        return path.with_name(f"{path.name}.{self.at.promise.digest[:8]}.part")


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a name means."""

    reference: Reference
    pieces: tuple[Piece, ...]
    needs: tuple[str, ...]
    """See :class:`Manifest`."""

    @property
    def size(self) -> int:
        return sum(piece.at.promise.size for piece in self.pieces)


def fetch(name: str, settings: ModelsSettings, progress: Progress | None = None) -> Path:
    """Have the repository or file ``name`` on this disk, verified; see :func:`store.fetch`."""
    reference = Reference.parse(name)
    try:
        return find(name, settings)
    except WeightsError as missing:
        _check_allowed(reference, settings, missing)
    try:
        hub.check_reachable()
        plan = plan_of(reference, settings)

        def advance(done: int) -> None:
            if progress is not None:
                progress(name, min(done, plan.size), plan.size)

        _bring(plan, settings, advance)
    except HubError as error:
        raise WeightsError(f"cannot fetch {name!r}: {error}.") from error
    except SourceError as error:
        raise WeightsError(
            f"cannot fetch {name!r}: {hub.host()} {error}. Try again: it goes on where it stopped."
        ) from error
    except OSError as error:
        folder = reference.folder(settings)
        reason = "the disk is full" if error.errno == errno.ENOSPC else str(error)
        raise WeightsError(f"cannot keep the weights {name!r} in {folder}: {reason}.") from error
    advance(plan.size)
    return find(name, settings)


def _check_allowed(reference: Reference, settings: ModelsSettings, missing: WeightsError) -> None:
    known = REPOSITORIES.get(reference.repository)
    if known and known.single_files and not reference.file:
        raise WeightsError(
            f"{reference} is a collection; name one file: {reference}/path/to/file."
        ) from missing
    if settings.offline:
        raise WeightsError(
            f"{str(missing).partition(';')[0]} and models.offline is set; copy the files to "
            f"{reference.folder(settings)}, or allow fetching."
        ) from missing
    if "hub" not in settings.sources:
        raise WeightsError(
            f"{str(missing).partition(';')[0]}; repositories come from the hub, which "
            "models.sources does not list."
        ) from missing


def plan_of(reference: Reference, settings: ModelsSettings) -> Plan:
    """Ask the hub for all files that ``reference`` means; raises HubError, WeightsError."""
    if reference.file:
        return Plan(reference, (_look_up(reference, settings),), ())
    config: bytes | None = None
    pieces: dict[str, Piece] = {}
    try:
        pieces[CONFIG] = piece = _look_up(reference.of(CONFIG), settings)
        config = hub.read(piece.at, piece.reference)
        commit = piece.at.commit
    except FileMissingError as error:
        commit = error.commit or _revision(reference, settings)
    known = REPOSITORIES.get(reference.repository)
    names = [*names_in(config, reference.repository).values(), *(known.extras if known else ())]
    for name in names:
        if name.startswith(HERE):
            raise HubError(f"the config.json of {reference} names a file of its author: {name}")
        if name.startswith(HUB):
            pieces[name] = _look_up(Reference.parse(name), settings)
        else:
            pieces[name] = _look_up(reference.of(name), settings, commit)
    return Plan(reference, tuple(pieces.values()), tuple(pieces))


def _look_up(reference: Reference, settings: ModelsSettings, commit: str = "") -> Piece:
    revision = commit or _revision(reference, settings)
    try:
        return Piece(reference, hub.look_up(reference, revision))
    except FileMissingError as error:
        near = hub.near(reference, error.commit or revision)
        if not near or reference.file == CONFIG:
            raise
        raise HubError(f"{error}; did you mean {reference.of(near)}?") from error


def _revision(reference: Reference, settings: ModelsSettings) -> str:
    """The commit that other files of the folder came from, so that they fit together."""
    manifest = _manifest(reference.folder(settings))
    return manifest.revision if manifest else reference.revision or "main"


def _manifest(folder: Path) -> Manifest | None:
    try:
        return Manifest.read(folder)
    except WeightsError:
        return None  # damaged: it is about to be written anew


def _bring(plan: Plan, settings: ModelsSettings, advance: Callable[[int], None]) -> None:
    root = cache_dir(settings)
    root.mkdir(parents=True, exist_ok=True)
    missing = plan.size - sum(
        min(piece.at.promise.size, size_of(piece.path(settings)) or size_of(piece.part(settings)))
        for piece in plan.pieces
    )
    need_space(str(plan.reference), missing, root)
    done = 0
    for repository, pieces in _by_repository(plan.pieces):
        folder = repository.folder(settings)
        folder.parent.mkdir(parents=True, exist_ok=True)
        with lock(folder):
            folder.mkdir(exist_ok=True)
            _note(repository, folder, pieces, plan)
            stamps = Stamps.of(folder)
            for piece in pieces:
                _have(piece, settings, stamps, partial(_plus, advance, done))
                done += piece.at.promise.size


def _plus(advance: Callable[[int], None], before: int, more: int) -> None:
    advance(before + more)


def _by_repository(pieces: tuple[Piece, ...]) -> Iterator[tuple[Reference, list[Piece]]]:
    """One repository after the other: two locks at once could wait for each other."""
    groups: dict[Reference, list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(piece.reference.whole, []).append(piece)
    yield from groups.items()


def _note(repository: Reference, folder: Path, pieces: list[Piece], plan: Plan) -> None:
    """Write down what the hub promised, before the first byte: a repair asks for the same."""
    old = _manifest(folder)
    commit = pieces[0].at.commit
    same = old if old and old.revision == commit else None
    known = REPOSITORIES.get(repository.repository)
    if known is not None:
        licence = known.licence
    elif same is not None:
        licence = same.licence
    else:
        licence = _licence(repository, commit)
    needs = plan.needs if repository == plan.reference else ()
    files = {piece.file: piece.at.promise for piece in pieces}
    Manifest(
        repository.repository,
        commit,
        licence,
        needs or (same.needs if same else ()),
        {**(same.files if same else {}), **files},
    ).write(folder)


def _licence(repository: Reference, commit: str) -> str:
    try:
        return hub.licence(repository, commit)
    except HubError:
        return "unknown"  # the files are what was asked for


def _have(
    piece: Piece, settings: ModelsSettings, stamps: Stamps, advance: Callable[[int], None]
) -> None:
    """Have one file, verified. A resumed part that turns out wrong is begun anew, once."""
    path, part, promise = piece.path(settings), piece.part(settings), piece.at.promise
    if stamps.confirm(piece.file, path, promise):  # perhaps another process brought it
        advance(promise.size)
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    resumed = size_of(part) > 0
    while True:
        download(piece.at.url, promise.size, part, advance, hub.authorisation())
        if promise.is_kept_by(part, lambda: advance(promise.size)):
            break
        part.unlink()
        if not resumed:
            raise HubError(
                f"{hub.host()} sent a {piece.reference} with the wrong hash, which was removed"
            )
        resumed = False
    part.replace(path)
    for stale in path.parent.glob(f"{glob.escape(path.name)}.*.part"):
        stale.unlink()
    stamps.remember(piece.file, path, promise)
