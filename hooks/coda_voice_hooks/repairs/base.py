"""What a repair is: a defect of the core, a way to see it, and a way to mend it from outside."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

State = Literal["applied", "needed", "not needed", "off", "absent", "failed"]
_MISSING = object()


class Patches:
    """Attributes of classes and modules that were replaced, and what was there before."""

    def __init__(self) -> None:
        self._before: list[tuple[Any, str, Any]] = []

    def set(self, owner: Any, name: str, value: Any) -> None:
        """Replace ``owner.name`` until :meth:`undo`; what was only inherited shows again then."""
        self._before.append((owner, name, vars(owner).get(name, _MISSING)))
        setattr(owner, name, value)

    def undo(self) -> None:
        """Put everything back, the last change first."""
        while self._before:
            owner, name, value = self._before.pop()
            if value is _MISSING:
                delattr(owner, name)
            else:
                setattr(owner, name, value)


@dataclass(frozen=True, slots=True)
class Repair:
    """One defect of one module of the core."""

    name: str
    defect: str
    """What the user sees, in one sentence."""
    module: str
    """Where it is; imported when the repair is looked at."""
    detect: Callable[[ModuleType], bool]
    """Whether this version of the core has the defect; changes nothing."""
    mend: Callable[[ModuleType, Patches], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a repair."""

    name: str
    defect: str
    state: State
    """"needed" is said only by an inspection; "absent": the core has no such module."""
    detail: str = ""
    """Why it failed or is absent; "" otherwise."""


def local_time() -> str:
    """Now, as Coda writes times: local, ISO 8601, without a zone."""
    return datetime.now(UTC).astimezone().replace(tzinfo=None).isoformat()


def plain(value: Any) -> Any:
    """``value`` as JSON can carry it: models become dicts, bytes whether there are any."""
    if hasattr(value, "model_dump"):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, dict):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple | set):
        return [plain(part) for part in value]
    if isinstance(value, bytes | bytearray | memoryview):
        return bool(value)
    return value if isinstance(value, str | int | float | bool | None) else str(value)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to ``path`` whole or not at all; raises OSError, TypeError, ValueError."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    path = path.resolve()
    if path.exists() and not path.is_file():
        # a device or a pipe would be replaced by a file
        raise OSError(f"{path} is no file; name one.")
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
