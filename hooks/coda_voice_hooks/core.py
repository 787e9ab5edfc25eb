"""Where Coda's core is, and what stops it from being imported."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Collection
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from coda_voice_plugin import VoiceError

TESTED = "d94994069e618676e7ddb9140b95a59b3b11e3a1"
"""The commit of github.com/Aladin147/Coda that the hooks were written against."""
ASSISTANT = Path("core", "assistant.py")
"""In every core that can be given a voice, and in no other package of the name ``coda``."""
NEEDED = ("coda.core.config", "coda.core.assistant")

_DEPENDENCIES = (
    "torch", "aiofiles", "aiohttp", "numpy", "psutil", "pydantic", "rich", "scipy",
    "sentence_transformers", "websockets", "yaml",
)  # fmt: skip
"""Modules that the core needs when it is imported; torch first, since others would bring it."""
_PACKAGES = {"yaml": "pyyaml", "sentence_transformers": "sentence-transformers"}
"""Package by module, where the names differ."""
_VERSION = re.compile(r"""^__version__\s*=\s*["']([^"']+)["']""", re.MULTILINE)


class CodaError(VoiceError):
    """Coda's core is not there, cannot be imported, or does not start; the message says why."""

    code = "coda"


@dataclass(frozen=True, slots=True)
class Core:
    """A core that was found, not yet imported."""

    source: Path
    """The folder that holds the package ``coda``; it belongs on ``sys.path``."""
    version: str | None
    commit: str | None
    """Of a checkout, where git tells."""

    def __str__(self) -> str:
        commit = f", commit {self.commit[:7]}" if self.commit else ""
        return f"Coda {self.version or 'of an unknown version'} at {self.source}{commit}"


def find_core(checkout: Path | None = None) -> Core | None:
    """The core in ``checkout`` (the repository or its ``src``), or the importable one.

    None when no core can be imported. Raises CodaError when ``checkout`` is none.
    """
    if checkout is None:
        source = _importable()
        return None if source is None else _describe(source)
    for source in (checkout / "src", checkout):
        if (source / "coda" / ASSISTANT).is_file():
            return _describe(source.resolve())
    raise CodaError(
        f"{checkout} holds no Coda: src/coda/{ASSISTANT.as_posix()} is not there. Name the folder "
        "that `git clone https://github.com/Aladin147/Coda` made."
    )


def need_core(checkout: Path | None = None) -> Core:
    """Like :func:`find_core`; raises CodaError when there is none."""
    core = find_core(checkout)
    if core is None:
        raise CodaError(
            f"no Coda can be imported by {sys.executable}; name its checkout with --coda PATH, or "
            "put the checkout's src folder into PYTHONPATH."
        )
    return core


def import_core(core: Core, off: Collection[str] = ()) -> None:
    """Import the core from where it was found, without the repairs in ``off``.

    Raises CodaError with what to do.
    """
    from .repairs.imports import prepare_imports

    source = str(core.source)
    if source not in sys.path:
        sys.path.insert(0, source)
    try:
        prepare_imports(off)
        for module in NEEDED:
            import_module(module)
    except VoiceError:
        raise
    except (Exception, SystemExit) as error:
        raise CodaError(f"{core} cannot be imported: {why_not(error)}") from error


def why_not(error: BaseException) -> str:
    """What stops an import, and the command that mends it."""
    pip = f"{sys.executable} -m pip install"
    if isinstance(error, ModuleNotFoundError) and error.name:
        top = error.name.partition(".")[0]
        if top == "coda":
            return (
                f"this version has no {error.name}; use the current one "
                f"(tested: commit {TESTED[:7]})."
            )
        missing = [each for each in dict.fromkeys((top, *_DEPENDENCIES)) if not _there(each)]
        packages = " ".join(_PACKAGES.get(each, each) for each in missing)
        return f"the package {_PACKAGES.get(top, top)!r} is missing; run `{pip} {packages}`."
    text = " ".join(str(error).split())
    if "torchaudio" in text:
        return (
            "torchaudio was built for another torch; run "
            f"`{pip} --force-reinstall --no-deps torchaudio` with the index of your torch, or "
            f"uninstall it: the core needs only its name. ({text})"
        )
    if type(error).__name__ == "PydanticUserError":
        return f"it was written for an older pydantic; use the current Coda. ({_first_line(error)})"
    return f"{type(error).__name__}: {text}"


def _there(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def _first_line(error: BaseException) -> str:
    return next(iter(str(error).splitlines()), "")


def _importable() -> Path | None:
    try:
        spec = find_spec("coda")
    except (ImportError, ValueError):  # ValueError: a module of that name without a spec
        return None
    for place in (spec.submodule_search_locations or ()) if spec else ():
        if (Path(place) / ASSISTANT).is_file():
            return Path(place).parent.resolve()
    return None


def _describe(source: Path) -> Core:
    text = (source / "coda" / "__init__.py").read_text(encoding="utf-8", errors="replace")
    found = _VERSION.search(text)
    return Core(source, found[1] if found else None, _commit(source))


def _commit(source: Path) -> str | None:
    """The commit of the checkout that ``source`` is in; None when it is in none."""
    if not (source.parent / ".git").exists():
        return None
    try:
        asked = subprocess.run(
            ["git", "-C", str(source.parent), "rev-parse", "HEAD"],
            capture_output=True, text=True, timeout=5, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout.strip() or None
