"""Repositories of the hub, and folders with their files, on this disk: found and verified."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ..config import ModelsSettings
from ..errors import WeightsError
from .disk import in_words, size_of
from .manifest import Manifest, Promise, Stamps
from .needs import CONFIG, HERE, HUB, names_in
from .reference import Reference, is_folder
from .repositories import REPOSITORIES
from .snapshot import promise_of, snapshot_of, stamps_of

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Held:
    """What of a repository or a folder is on this disk."""

    path: Path
    size: int
    """Bytes of the files that count."""
    licence: str | None
    """None where nothing says it."""
    revision: str | None
    """Commit; None for a folder that was put together by hand."""


def find(name: str, settings: ModelsSettings) -> Path:
    """The folder that holds the model ``name``, or the file that it names; verified.

    Looked for in our cache, then in that of the hub's own client; a name that is written as
    a folder is that folder. Raises WeightsError with the command that helps.
    """
    if is_folder(name):
        return _locate_folder(name, settings, hashed=True)
    return _locate(Reference.parse(name), settings, hashed=True)


def held(name: str, settings: ModelsSettings) -> Held | None:
    """What of ``name`` is here by its sizes, without hashing anything; None when it is not whole.

    Of a collection: the files that have been fetched.
    """
    try:
        if is_folder(name):
            path = _locate_folder(name, settings, hashed=False)
            reference = None
        else:
            reference = Reference.parse(name)
            path = _locate(reference, settings, hashed=False)
        return _held(path, reference, settings)
    except WeightsError:
        return None


def _held(path: Path, reference: Reference | None, settings: ModelsSettings) -> Held:
    if path.is_file():
        assert reference is not None
        manifest = Manifest.read(reference.folder(settings))
        sizes = size_of(path)
    else:
        manifest = Manifest.read(path)
        if manifest is not None and not manifest.needs:
            sizes = sum(size_of(path / file) for file in manifest.files)
        else:
            by_hand = reference is None
            places = (_place(path, need, settings, by_hand=by_hand) for need in _needs(path))
            sizes = sum(map(size_of, places))
    known = REPOSITORIES.get(reference.repository) if reference else None
    licence = manifest.licence if manifest else None
    if known is not None:
        licence = known.licence_of(reference.file or "") if reference else known.licence
    return Held(path, sizes, licence, manifest.revision if manifest else None)


def _needs(folder: Path, manifest: Manifest | None = None) -> tuple[str, ...]:
    manifest = manifest or Manifest.read(folder)
    if manifest is not None and manifest.needs:
        return manifest.needs
    config = config_of(folder)
    named = tuple(names_in(config, str(folder)).values())
    return named if config is None else (CONFIG, *named)


def config_of(folder: Path) -> bytes | None:
    """Content of the config.json in ``folder``; None when there is none."""
    try:
        return (folder / CONFIG).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _place(
    folder: Path,
    need: str,
    settings: ModelsSettings,
    *,
    hashed: bool = False,
    by_hand: bool = False,
) -> Path:
    """The file that ``need`` means in the config.json of ``folder``.

    Somebody who carries a folder to another machine puts everything into it: ``by_hand``
    also looks beside the config.json for the files of other repositories.
    """
    if need.startswith(HERE):
        named = Path(need.removeprefix(HERE))
        # a folder that was moved still holds its files
        return named if named.is_file() else folder / named.name
    if not need.startswith(HUB):
        return folder / need
    reference = Reference.parse(need)
    try:
        return _locate(reference, settings, hashed=hashed)
    except WeightsError:
        beside = folder / Path(reference.file or "").name
        if not by_hand or beside.name == CONFIG or not beside.is_file():
            raise
        return beside


def _locate(reference: Reference, settings: ModelsSettings, *, hashed: bool) -> Path:
    """The verified folder or file; ``hashed`` is whether hashes count, or only sizes."""
    folder = reference.folder(settings)
    try:
        _check(folder, reference, settings, hashed=hashed)
    except WeightsError:
        other = _in_snapshot(reference, settings, hashed=hashed)
        if other is None:
            raise
        folder = other
    return folder / reference.file if reference.file else folder


def _check(folder: Path, reference: Reference, settings: ModelsSettings, *, hashed: bool) -> None:
    manifest = Manifest.read(folder)
    if manifest is None:
        raise _missing(reference)
    if reference.file:
        needs: Iterable[str] = (reference.file,)
    else:
        known = REPOSITORIES.get(reference.repository)
        collection = known is not None and known.single_files and not hashed
        needs = manifest.needs or (tuple(manifest.files) if collection else ())
    if not needs:
        raise _missing(reference)
    stamps = Stamps.of(folder)
    for need in needs:
        if need.startswith(HUB):
            _place(folder, need, settings, hashed=hashed)
            continue
        promise = manifest.files.get(need)
        if promise is None or not (folder / need).exists():
            raise _missing(reference, "" if reference.file else f" (no {need})")
        _check_file(folder / need, need, promise, stamps, reference, hashed=hashed)


def _check_file(
    path: Path,
    name: str,
    promise: Promise,
    stamps: Stamps,
    reference: Reference | str,
    *,
    hashed: bool,
) -> None:
    try:
        good = stamps.confirm(name, path, promise) if hashed else size_of(path) == promise.size
    except OSError as error:
        raise WeightsError(f"cannot read the weights {path}: {error}.") from error
    if not good:
        raise WeightsError(
            f"{path} is damaged or not the promised file; run `coda-voice fetch {reference}`."
        )


def _missing(reference: Reference, what: str = "") -> WeightsError:
    known = REPOSITORIES.get(reference.repository)
    size = known.size if known and reference.file is None else None
    in_all = f" ({in_words(size)})" if size else ""
    return WeightsError(
        f"the weights {str(reference)!r} are not on this machine{what}; run "
        f"`coda-voice fetch {reference}`{in_all}."
    )


def _in_snapshot(reference: Reference, settings: ModelsSettings, *, hashed: bool) -> Path | None:
    """The folder in the hub's own cache, when all that is needed is there and verified."""
    folder = snapshot_of(reference)
    if folder is None:
        return None
    stamps = stamps_of(reference, settings)
    known = REPOSITORIES.get(reference.repository)
    extras = known.extras if known else ()
    try:
        needs = (reference.file,) if reference.file else (*_needs(folder), *extras)
        for need in needs:
            if need.startswith(HERE):
                return None  # it means a file on its author's machine
            if need.startswith(HUB):
                _place(folder, need, settings, hashed=hashed)
                continue
            promise = promise_of(folder / need)
            if promise is None:
                return None
            _check_file(folder / need, need, promise, stamps, reference, hashed=hashed)
    except WeightsError as error:
        logger.info("the hub's own cache cannot be used: %s", error)
        return None
    return folder


def _locate_folder(name: str, settings: ModelsSettings, *, hashed: bool) -> Path:
    """The folder ``name``, when all that its config.json names is there.

    Verified where it has a manifest; the files of a folder that was put together by hand are
    only looked for.
    """
    folder = Path(name).expanduser()
    if not folder.is_dir():
        raise WeightsError(f"there is no folder {folder}.")
    manifest = Manifest.read(folder)
    stamps = Stamps.of(folder)
    for need in _needs(folder, manifest):
        path = _place(folder, need, settings, hashed=hashed, by_hand=True)
        if not path.is_file():
            raise WeightsError(
                f"{folder} lacks {need.removeprefix(HERE)}; copy the whole folder of the model, "
                "or correct its config.json."
            )
        promise = manifest.files.get(need) if manifest else None
        if manifest is not None and promise is not None:
            source = manifest.repository
            _check_file(path, need, promise, stamps, source, hashed=hashed)
    return folder


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """The files of a model, as Moshi's loaders take them: each a path on this disk."""

    folder: Path
    config: Path | None
    """None for a repository of 2024, which is the 7B model."""
    moshi: Path
    mimi: Path
    tokenizer: Path
    mimi_config: Path | None
    lora: Path | None
    voices: Path | None
    """PersonaPlex's archive of voices"""


def checkpoint(name: str, settings: ModelsSettings) -> CheckpointFiles:
    """Where the files of the model ``name`` (a repository or a folder) lie; verified.

    Raises WeightsError when something is missing or damaged.
    """
    folder = find(name, settings)
    config = config_of(folder)
    names: Mapping[str, str] = names_in(config, name)
    by_hand = is_folder(name)
    paths = {key: _place(folder, file, settings, by_hand=by_hand) for key, file in names.items()}
    voices = folder / "voices.tgz"
    return CheckpointFiles(
        folder=folder,
        config=None if config is None else folder / CONFIG,
        moshi=paths["moshi_name"],
        mimi=paths["mimi_name"],
        tokenizer=paths["tokenizer_name"],
        mimi_config=paths.get("mimi_config_name"),
        lora=paths.get("lora_name"),
        voices=voices if voices.is_file() else None,
    )
