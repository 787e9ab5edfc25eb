"""A line in a Python's site-packages, by which every start of it knows of the voice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from .core import CodaError, Core

FILE = "coda_voice.pth"
MARK = "coda_voice_hooks"
LINE = (
    "import sys; exec('try:\\n from coda_voice_hooks import _arrival as a; a.watch()\\n"
    'except Exception as e:\\n if not hasattr(sys, "coda_voice_told"):\\n'
    "  sys.coda_voice_told = True\\n"
    '  print("coda-voice:", type(e).__name__ + ":", e, "(delete coda_voice.pth from the '
    'site-packages of", sys.prefix + ", or install coda-voice-plugin again)", '
    "file=sys.stderr)')\n"
)
"""Run by every start of the Python; an import alone would print a traceback when it fails. Told
once: where lib64 is a link to lib, Python reads the file twice."""

_ASK = """
import json, os, sys, sysconfig
from importlib.util import find_spec
print(json.dumps({
    "version": sys.version_info[:2],
    "folder": sysconfig.get_path("purelib"),
    "voice": find_spec("coda_voice_hooks") is not None,
    "core": find_spec("coda") is not None,
}))
"""


@dataclass(frozen=True, slots=True)
class Interpreter:
    """A Python that runs Coda."""

    python: Path
    folder: Path
    """Its site-packages."""
    voice: bool
    """It can import these hooks."""
    core: bool
    """It can import a package named ``coda``."""

    @property
    def file(self) -> Path:
        return self.folder / FILE


def interpreter(python: Path | None = None) -> Interpreter:
    """Ask ``python`` (None: the running one) about itself; raises CodaError."""
    chosen = python or Path(sys.executable)
    try:
        asked = subprocess.run(
            [str(chosen), "-c", _ASK],
            capture_output=True, text=True, timeout=60, check=True,
            env=os.environ | {"CODA_VOICE_OFF": "1"},
        )  # fmt: skip
        told = json.loads(asked.stdout.splitlines()[-1])  # a .pth file may print
        version, folder = tuple(told["version"]), Path(told["folder"])
    except (OSError, subprocess.SubprocessError, ValueError, LookupError) as error:
        raise CodaError(f"{chosen} does not answer as a Python does: {error}") from error
    if version < (3, 11):
        raise CodaError(f"{chosen} is Python {version[0]}.{version[1]}; 3.11 or newer is needed.")
    return Interpreter(chosen, folder, bool(told["voice"]), bool(told["core"]))


def installed(python: Path | None = None) -> Path | None:
    """The file by which ``python`` knows of the voice; None when it does not."""
    file = interpreter(python).file
    return file if file.is_file() else None


def install(python: Path | None = None, core: Core | None = None) -> str:
    """Write the line; with ``core`` its folder too, so that it can be imported. Tells what it did.

    Raises CodaError when the folder cannot be written to or lacks our package.
    """
    target = interpreter(python)
    if not target.voice:
        raise CodaError(
            f"{target.python} cannot import the voice; run "
            f"`{target.python} -m pip install coda-voice-plugin` first."
        )
    _check_ours(target.file)
    text = (f"{core.source}\n" if core else "") + LINE
    if _text(target.file) == text:
        return f"{target.file} is there already; nothing was changed."
    _write(target.file, text)
    lines = [
        f"{target.file} is written: every Coda that {target.python} runs has a voice now.",
        "  CODA_VOICE_OFF=1 starts it without, once; `coda-voice coda uninstall` for good.",
    ]
    if core is not None:
        lines.append(f"  {core} can be imported there.")
    elif not target.core:
        lines.append(
            "  Coda itself cannot be imported there: set PYTHONPATH to the src folder of its "
            "checkout, or install again with --coda PATH."
        )
    return "\n".join(lines)


def uninstall(python: Path | None = None) -> str:
    """Remove the line; tells what it did. Raises CodaError when the file cannot be removed."""
    file = interpreter(python).file
    if _text(file) is None:
        return f"{file} is not there; nothing was changed."
    _check_ours(file)
    try:
        file.unlink()
    except OSError as error:
        raise CodaError(f"cannot remove {file}: {error.strerror}.") from error
    return f"{file} is removed: Coda starts without the voice, as it came."


def _check_ours(file: Path) -> None:
    text = _text(file)
    if text is not None and MARK not in text:
        raise CodaError(f"{file} was not written by coda-voice; it is left alone.")


def _text(file: Path) -> str | None:
    try:
        return file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise CodaError(f"cannot read {file}: {error}.") from error


def _write(file: Path, text: str) -> None:
    """Whole or not at all: half a line would trouble every start of that Python."""
    unfinished = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        unfinished.write_text(text, encoding="utf-8")
        unfinished.replace(file)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise CodaError(
            f"cannot write to {file.parent}: {error.strerror}. Use a virtual environment of your "
            "own, or name the Python that runs Coda with --python PATH."
        ) from error
