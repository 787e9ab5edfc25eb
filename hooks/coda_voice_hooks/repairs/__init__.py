"""Repairs of the core's defects from outside, on its classes: its files are not touched.

Each is looked for before it is made, has a name to switch it off by, and can be undone.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from difflib import get_close_matches
from importlib import import_module
from types import ModuleType

from coda_voice_plugin import ConfigError

from . import (
    assistant,
    event_coordinator,
    llm_manager,
    long_term,
    memory_manager,
    ollama_provider,
    performance_monitor,
    personality_manager,
    session_manager,
    tool_manager,
    websocket_integration,
    websocket_server,
)
from .base import Outcome, Patches, Repair, State
from .imports import IMPORTS, allow_imports, inspect_imports, prepare_imports

__all__ = [
    "IMPORTS",
    "REPAIRS",
    "Outcome",
    "Patches",
    "Repair",
    "allow_imports",
    "check_names",
    "inspect_core",
    "inspect_imports",
    "prepare_imports",
    "repair",
    "undo_all",
]

logger = logging.getLogger(__name__)

REPAIRS: tuple[Repair, ...] = (
    *websocket_server.REPAIRS,
    *websocket_integration.REPAIRS,
    *event_coordinator.REPAIRS,
    *session_manager.REPAIRS,
    *personality_manager.REPAIRS,
    *memory_manager.REPAIRS,
    *long_term.REPAIRS,
    *tool_manager.REPAIRS,
    *llm_manager.REPAIRS,
    *ollama_provider.REPAIRS,
    *performance_monitor.REPAIRS,
    *assistant.REPAIRS,
)
"""Every repair of the core, in the order in which they are made."""

# The classes that are mended are the process's, and so is what was done to them.
_DONE: dict[str, tuple[ModuleType, Patches]] = {}


def check_names(off: Collection[str], also: Collection[str] = ()) -> None:
    """Raise ConfigError if a repair that is switched off does not exist.

    ``also`` are names of repairs that are made elsewhere.
    """
    known = sorted({*(each.name for each in REPAIRS), *IMPORTS, *also})
    for name in off:
        if name not in known:
            close = get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ConfigError(
                f"no repair is named {name!r}.{hint} `coda-voice doctor` lists them all."
            )


def repair(
    off: Collection[str] = (), enabled: bool = True, also: Collection[str] = ()
) -> list[Outcome]:
    """Make every repair that this core needs; a second call changes nothing more.

    Call it before the core's objects are started: a server that listens already keeps the
    handler that it began with. Raises ConfigError as :func:`check_names` does.
    """
    check_names(off, also)
    if not enabled or any(name in _DONE for name in off):
        undo_all()
    return [_made(each, enabled and each.name not in off) for each in REPAIRS]


def inspect_core(off: Collection[str] = (), also: Collection[str] = ()) -> list[Outcome]:
    """What :func:`repair` would do; imports the core, and changes nothing."""
    check_names(off, also)
    return [_seen(each, each.name not in off) for each in REPAIRS]


def undo_all() -> None:
    """Give the core back its defects."""
    for name in reversed(list(_DONE)):
        _, patches = _DONE.pop(name)
        patches.undo()


def _made(each: Repair, wanted: bool) -> Outcome:
    outcome = _seen(each, wanted)
    if outcome.state != "needed":
        return outcome
    module, patches = import_module(each.module), Patches()
    try:
        each.mend(module, patches)
    except Exception as error:  # one repair that fails leaves the others, and is told
        patches.undo()
        logger.exception("the repair %s failed", each.name)
        return Outcome(each.name, each.defect, "failed", _told(error))
    _DONE[each.name] = module, patches
    return Outcome(each.name, each.defect, "applied")


def _seen(each: Repair, wanted: bool) -> Outcome:
    if not wanted:
        return Outcome(each.name, each.defect, "off")
    try:
        module = import_module(each.module)
        if each.name in _DONE and _DONE[each.name][0] is module:
            return Outcome(each.name, each.defect, "applied")
        state: State = "needed" if each.detect(module) else "not needed"
    except ModuleNotFoundError as error:
        if error.name and f"{each.module}.".startswith(f"{error.name}."):
            return Outcome(each.name, each.defect, "absent", f"there is no {error.name}")
        return Outcome(each.name, each.defect, "failed", _told(error))
    except Exception as error:  # noqa: BLE001  # another version of the core may raise anything
        return Outcome(each.name, each.defect, "failed", _told(error))
    return Outcome(each.name, each.defect, state)


def _told(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
