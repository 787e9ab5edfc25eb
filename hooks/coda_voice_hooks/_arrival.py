"""Waits for Coda's core to be imported, and gives its assistants a voice.

`coda-voice coda install` has every start of a Python import this, so it imports next to
nothing itself and never lets an error out: what is wrong is one line on stderr.
"""

from __future__ import annotations

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:  # typing would cost more than all the rest
    from collections.abc import Callable
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

    Execute = Callable[[ModuleType], None]
    Seen = Callable[[Execute, ModuleType], None]

OFF = "CODA_VOICE_OFF"
"""``CODA_VOICE_OFF=1`` starts Coda as it is."""
DEFAULT = "configs/default.yaml"
"""What the core reads when it is not told what to read."""


class _Arrival:
    """A finder at the head of ``sys.meta_path`` that lets the others find, and watches."""

    def __init__(self) -> None:
        self.read: list[tuple[Any, str]] = []
        """(weak reference to a configuration of the core, file it was read from)"""

    def find_spec(
        self, name: str, path: Any = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        seen = _SEEN.get(name)
        if seen is None:
            return None
        spec: ModuleSpec | None = None
        for finder in sys.meta_path:
            find = getattr(finder, "find_spec", None)
            if finder is not self and find is not None:
                spec = find(name, path, target)
                if spec is not None:
                    break
        if spec is None or spec.loader is None:
            return spec
        if name == "coda" and not _is_core(spec):
            leave()  # another package of that name
            return spec
        _watch(spec.loader, seen)
        return spec


def watch() -> None:
    """Begin to wait; once is enough. Nothing is done when ``CODA_VOICE_OFF`` is set."""
    if os.environ.get(OFF) in (None, "", "0") and not waiting():
        sys.meta_path.insert(0, _arrival)


def leave() -> None:
    """Wait no more; what has been imported meanwhile stays as it is."""
    if waiting():
        sys.meta_path.remove(_arrival)


def waiting() -> bool:
    """Whether it waits in this process."""
    return _arrival in sys.meta_path


def settings_file(config: object) -> str | None:
    """The file that this configuration of the core was read from; None when it was not."""
    return next((file for ref, file in _arrival.read if ref() is config), None)


def _is_core(spec: ModuleSpec) -> bool:
    from pathlib import Path

    places = spec.submodule_search_locations or ()
    return any(Path(place, "core", "assistant.py").is_file() for place in places)


def _watch(loader: Any, seen: Seen) -> None:
    """Have ``seen(execute, module)`` execute a module in the loader's place."""
    execute = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        del loader.exec_module  # this once
        seen(execute, module)

    loader.exec_module = exec_module


def _package(execute: Execute, module: Any) -> None:
    try:
        from .repairs.imports import prepare_imports

        prepare_imports()
    except Exception as error:  # noqa: BLE001 - the core may be importable all the same
        tell(error)
    execute(module)


def _config(execute: Execute, module: Any) -> None:
    execute(module)
    import functools
    import weakref
    from pathlib import Path

    load = module.load_config

    @functools.wraps(load)
    def load_config(config_path: Any = None) -> Any:
        config = load(config_path)
        file = Path(DEFAULT if config_path is None else config_path)
        if file.is_file():  # the core goes on without one that is not there
            _arrival.read[:] = [each for each in _arrival.read if each[0]() is not None]
            _arrival.read.append((weakref.ref(config), str(file.resolve())))
        return config

    module.load_config = load_config


def _assistant(execute: Execute, module: Any) -> None:
    execute(module)
    import functools

    made = module.CodaAssistant.__init__

    @functools.wraps(made)
    def __init__(self: Any, config: Any, *args: Any, **kwargs: Any) -> None:
        made(self, config, *args, **kwargs)
        from .starting import give_voice

        give_voice(self, settings_file(config))

    module.CodaAssistant.__init__ = __init__


def tell(error: BaseException) -> None:
    """One line on stderr."""
    text = " ".join(str(error).split())
    sys.stderr.write(f"coda-voice: {type(error).__name__}: {text}\n")


_SEEN: dict[str, Seen] = {
    "coda": _package,
    "coda.core.config": _config,
    "coda.core.assistant": _assistant,
}
_arrival = _Arrival()
