"""The drawing in docs/design.md, held by the imports themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest
from tree import PACKAGE, ROOT, SOURCES, room_of

import coda_voice_plugin

FLOORS = (
    {"errors", "events"},
    {"audio", "speakable", "wire", "config", "weights", "threads", "kyutai"},
    {"engine", "strategy", "hookspecs"},
    {"session", "plugins", "host"},
    {"server", "client", "cli", "testing", "__main__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
GUESTS = {"strategies", "engines", "coda_voice_hooks"}
TOOLS = FLOORS[1]
INSIDE_CODA = {"server", "engines"}
"""What Coda's hooks may import besides: they open a door in Coda's own process, and think with
the model that it thinks with."""


def imports_of(path: Path) -> Iterator[str]:
    """What a file imports at run time, as full dotted names: module, then name."""
    package = "coda_voice_plugin" if path.is_relative_to(PACKAGE) else "coda_voice_hooks"
    root = PACKAGE if package == "coda_voice_plugin" else ROOT / "hooks" / package
    inside = [package, *path.relative_to(root).parent.parts]
    pending: list[ast.AST] = [ast.parse(path.read_text())]
    while pending:
        node = pending.pop()
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend(node.orelse)
            continue
        pending.extend(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = inside[: len(inside) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield from (f"{module}.{alias.name}" for alias in node.names)


def rooms_in(names: Iterator[str]) -> Iterator[tuple[str, str]]:
    """(room or public name, whole import) for each import of the package."""
    for name in names:
        top, _, rest = name.partition(".")
        if top == "coda_voice_plugin":
            yield rest.partition(".")[0], name


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


HOUSE = [path for path in SOURCES if path.is_relative_to(PACKAGE)]
INSIDE = [path for path in HOUSE if room_of(path) not in GUESTS and path != PACKAGE / "__init__.py"]
GUEST_FILES = [path for path in SOURCES if path not in INSIDE and path != PACKAGE / "__init__.py"]


def test_every_room_is_on_a_floor() -> None:
    assert {room_of(path) for path in INSIDE} <= FLOOR.keys()
    assert {room_of(path) for path in HOUSE} - FLOOR.keys() - GUESTS == {"__init__"}


@pytest.mark.parametrize("path", INSIDE, ids=ids)
def test_rooms_only_look_down(path: Path) -> None:
    floor = FLOOR[room_of(path)]
    for room, name in rooms_in(imports_of(path)):
        assert room in FLOOR, f"{name}: a room imports no guest"
        assert FLOOR[room] <= floor, f"{name} is on a higher floor"


@pytest.mark.parametrize("path", GUEST_FILES, ids=ids)
def test_guests_use_public_names_and_tools(path: Path) -> None:
    own = path.relative_to(PACKAGE).parts[0] if path.is_relative_to(PACKAGE) else None
    more = set() if path.is_relative_to(PACKAGE) else INSIDE_CODA
    for room, name in rooms_in(imports_of(path)):
        public = name.count(".") == 1 and room in coda_voice_plugin.__all__
        allowed = public or room in {*TOOLS, *FLOORS[0], *more} or room == own
        assert allowed, f"{name} is neither public nor a word nor a tool"


def test_nobody_inside_needs_the_test_suites() -> None:
    for path in SOURCES:
        if not path.is_relative_to(PACKAGE / "testing"):
            assert "testing" not in {room for room, _ in rooms_in(imports_of(path))}, ids(path)


def test_the_words_know_nobody() -> None:
    words = [path for path in INSIDE if room_of(path) in FLOORS[0]]
    assert words
    for path in words:
        assert {room for room, _ in rooms_in(imports_of(path))} <= {room_of(path)}, ids(path)


def test_every_room_and_guest_wing_is_in_the_documentation() -> None:
    text = (ROOT / "docs" / "design.md").read_text()
    for room in (FLOOR.keys() | GUESTS) - {"__main__"}:
        assert f"{room}/" in text or f"`{room}.py`" in text, room
