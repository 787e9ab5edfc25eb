"""What the core imports and may not get: mended before ``coda`` is imported."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec
from types import ModuleType
from typing import Any

from .base import Outcome, State

TORCHAUDIO = "torchaudio"
AIOFILES = "aiofiles"
BROKEN, MISSING = "torchaudio-cannot-be-loaded", "aiofiles-is-missing"
IMPORTS = {
    BROKEN: "Coda cannot be imported: torchaudio is missing or was built for another torch.",
    MISSING: "Coda cannot be imported: its dashboard needs aiofiles, which it does not declare.",
}
"""Name and defect of each."""
_ADVICE = "run `pip install aiofiles`."


class _StandIn(Loader):
    """Loads a module, or leaves an empty one in its place where that fails."""

    def __init__(self, real: ModuleSpec | None) -> None:
        self._real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        loader = self._real.loader if self._real else None
        return loader.create_module(spec) if loader else None

    def exec_module(self, module: ModuleType) -> None:
        if self._real is None or self._real.loader is None:
            _empty(module, "it is not installed")
            return
        try:
            self._real.loader.exec_module(module)
        except (ImportError, OSError) as error:
            for name in [each for each in sys.modules if each.startswith(f"{module.__name__}.")]:
                del sys.modules[name]
            _empty(module, str(error).splitlines()[0][:200] if str(error) else repr(error))


def _empty(module: ModuleType, reason: str) -> None:
    """Only its name is left; whatever else is asked of it says why."""
    kept = {name: value for name, value in vars(module).items() if name.startswith("__")}
    vars(module).clear()
    vars(module).update(kept)

    def refuse(name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"{module.__name__}.{name} is asked for, but {TORCHAUDIO} could not be loaded "
            f"({reason}); install the one that matches your torch."
        )

    module.__path__ = []
    module.__getattr__ = refuse  # type: ignore[method-assign]


class _Understudy(MetaPathFinder):
    """Finds torchaudio or what stands in for it, and says how to get aiofiles."""

    def __init__(self, names: Collection[str]) -> None:
        self._names = names

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        top, _, rest = fullname.partition(".")
        if top == TORCHAUDIO and BROKEN in self._names:
            if rest and not _stands_in(sys.modules.get(top)):
                return None
            real = None if rest else PathFinder.find_spec(fullname, path)
            spec = ModuleSpec(fullname, _StandIn(real), is_package=True)
            if real is not None:
                spec.origin, spec.has_location = real.origin, real.has_location
                spec.submodule_search_locations = real.submodule_search_locations
            return spec
        named = fullname == AIOFILES and MISSING in self._names
        if named and PathFinder.find_spec(fullname, path) is None:
            raise ModuleNotFoundError(
                f"Coda's dashboard needs the package {AIOFILES}: {_ADVICE}", name=AIOFILES
            )
        return None


def _stands_in(module: ModuleType | None) -> bool:
    return module is not None and module.__path__ == []


def prepare_imports(off: Collection[str] = ()) -> list[Outcome]:
    """Let the core be imported without a torchaudio that works; call it before ``import coda``.

    Imports nothing: whether torchaudio can be loaded is seen when the core asks for it.
    """
    allow_imports()
    sys.meta_path.insert(0, _Understudy([name for name in IMPORTS if name not in off]))
    return [_torchaudio(off), _aiofiles(off)]


def allow_imports() -> None:
    """Undo :func:`prepare_imports`; what was imported stays."""
    sys.meta_path[:] = [each for each in sys.meta_path if not isinstance(each, _Understudy)]


def inspect_imports(off: Collection[str] = ()) -> list[Outcome]:
    """Whether the core's imports need mending; imports torchaudio, and torch with it."""
    return [_tried(BROKEN, TORCHAUDIO, off), _tried(MISSING, AIOFILES, off)]


def _tried(name: str, package: str, off: Collection[str]) -> Outcome:
    if name in off:
        return Outcome(name, IMPORTS[name], "off")
    try:
        module = import_module(package)
    except (ImportError, OSError) as error:
        return Outcome(name, IMPORTS[name], "needed", str(error))
    state: State = "applied" if _stands_in(module) else "not needed"
    return Outcome(name, IMPORTS[name], state)


def _torchaudio(off: Collection[str]) -> Outcome:
    if BROKEN in off:
        return Outcome(BROKEN, IMPORTS[BROKEN], "off")
    loaded = sys.modules.get(TORCHAUDIO)
    if loaded is not None and not _stands_in(loaded):
        return Outcome(BROKEN, IMPORTS[BROKEN], "not needed")
    absent = loaded is None and PathFinder.find_spec(TORCHAUDIO) is None
    detail = "it is not installed" if absent else "an empty one stands in where it fails"
    return Outcome(BROKEN, IMPORTS[BROKEN], "applied", detail)


def _aiofiles(off: Collection[str]) -> Outcome:
    if MISSING in off:
        return Outcome(MISSING, IMPORTS[MISSING], "off")
    try:
        found = find_spec(AIOFILES)
    except ModuleNotFoundError:
        found = None
    if found is not None:
        return Outcome(MISSING, IMPORTS[MISSING], "not needed")
    return Outcome(MISSING, IMPORTS[MISSING], "failed", _ADVICE)
