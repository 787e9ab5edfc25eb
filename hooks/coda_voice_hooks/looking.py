"""What can be told of the core only by importing it.

It runs as a process of its own (``python -m coda_voice_hooks.looking``), in a folder of its own:
the core takes seconds to import, makes folders where it is, and may end the process.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from coda_voice_plugin import VoiceError

from .core import CodaError, Core, import_core
from .repairs.base import Outcome, State

LONGEST_S = 180.0
_ANSWER = "answer.json"


def look(core: Core, off: Collection[str] = ()) -> list[Outcome]:
    """Every repair and whether this core needs it, in a process of its own.

    Raises CodaError when the core cannot be imported there.
    """
    with TemporaryDirectory(prefix="coda-voice-") as folder:
        given = json.dumps({"source": str(core.source), "off": sorted(off)})
        try:
            process = subprocess.run(
                [sys.executable, "-m", __name__, given],
                cwd=folder, capture_output=True, text=True, timeout=LONGEST_S, check=False,
                env=os.environ | {"CODA_VOICE_OFF": "1", "PYTHONPATH": os.pathsep.join(sys.path)},
            )  # fmt: skip
            told: dict[str, Any] = json.loads((Path(folder) / _ANSWER).read_text("utf-8"))
        except subprocess.TimeoutExpired as error:
            raise CodaError(f"{core} was not imported within {LONGEST_S:.0f} s.") from error
        except (OSError, ValueError) as error:
            last = (process.stderr.strip().splitlines() or ["without a word"])[-1]
            raise CodaError(
                f"{core}: the process that imported it ended with {process.returncode}: {last}"
            ) from error
    if told["error"]:
        raise CodaError(told["error"])
    return [Outcome(**each) for each in told["repairs"]]


def main(given: str) -> None:
    """Import the core that ``given`` names and write what was seen into the current folder."""
    wish = json.loads(given)
    told: dict[str, Any] = {"error": "", "repairs": []}
    try:
        import_core(Core(Path(wish["source"]), None, None), wish["off"])
        told["repairs"] = [asdict(each) for each in _inspected(wish["off"])]
    except VoiceError as error:
        told["error"] = str(error)
    Path(_ANSWER).write_text(json.dumps(told), encoding="utf-8")


def _inspected(off: Collection[str]) -> Iterator[Outcome]:
    from .pages import DASHBOARD_REPAIRS, page_defects
    from .repairs import inspect_core, inspect_imports

    yield from inspect_imports(off)
    yield from inspect_core(off, [each.name for each in DASHBOARD_REPAIRS])
    found = page_defects()
    for each in DASHBOARD_REPAIRS:
        state: State = "off" if each.name in off else "needed" if each in found else "not needed"
        yield Outcome(each.name, each.defect, state)


if __name__ == "__main__":
    main(sys.argv[1])
