"""The stable codes of docs/protocol.md are those of the code."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from coda_voice_plugin import VoiceError, errors

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "protocol.md").read_text()


def family(kind: type[VoiceError]) -> Iterator[type[VoiceError]]:
    yield kind
    for child in kind.__subclasses__():
        yield from family(child)


def codes() -> set[str]:
    """Those of the tree of errors, and those that only a socket says."""
    tree = {kind.code for kind in family(VoiceError) if kind.__module__ == errors.__name__}
    sources = [*(ROOT / "coda_voice_plugin" / "server").glob("*.py")]
    said = {
        code
        for path in sources
        if not path.name.startswith("realtime")
        for code in re.findall(r'\bProblem\(\s*"(\w+)"', path.read_text())
    }
    return tree | said


def test_every_code_is_in_the_table_and_nothing_else_is() -> None:
    section = DOCUMENT.split("\n## Codes\n")[1].split("\n# ")[0]
    documented = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    assert len(documented) == len(set(documented))
    assert set(documented) == codes()


def test_every_class_has_a_code_of_its_own_and_is_drawn() -> None:
    kinds = [kind for kind in family(VoiceError) if kind.__module__ == errors.__name__]
    assert len({kind.code for kind in kinds}) == len(kinds)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)
