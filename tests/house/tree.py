"""Where things are, for the tests that hold the house."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "coda_voice_plugin"
SOURCES = sorted(
    path for top in ("coda_voice_plugin", "hooks") for path in (ROOT / top).rglob("*.py")
)
EVERY_PYTHON = sorted(
    path
    for top in ("coda_voice_plugin", "hooks", "tests", "benchmarks", "docs")
    for path in (ROOT / top).rglob("*.py")
)


def room_of(path: Path) -> str:
    """The room a file of the package belongs to: its folder, or its own name."""
    first = path.relative_to(PACKAGE).parts[0]
    return first.removesuffix(".py")
