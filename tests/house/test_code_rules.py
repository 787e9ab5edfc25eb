"""Rules of the house that a reader can forget and a parser cannot."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from tree import EVERY_PYTHON, ROOT, SOURCES

MOST_LINES = 420
MOST_FUNCTION_LINES = 60
BAD_NAMES = re.compile(r"(Manager|Handler|Helper|Utils?|Orchestrator|Optimizer)$")
# Names that Coda's people know; see docs/design.md.
KEPT_NAMES = {"WebSocketVoiceManager", "VoiceManager"}
TEXT_SUFFIXES = {
    ".py", ".md", ".toml", ".txt", ".yaml", ".yml", ".js", ".css", ".html", ".json", "",
}  # fmt: skip


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_files_and_functions_are_short(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= MOST_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or 0) - node.lineno + 1
            assert length <= MOST_FUNCTION_LINES, f"{node.name} has {length} lines"


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_classes_are_nouns_of_the_domain(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ClassDef) and node.name not in KEPT_NAMES:
            assert not BAD_NAMES.search(node.name), node.name


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_tasks_belong_to_a_group(path: Path) -> None:
    """``group.create_task``, never ``asyncio.create_task`` or ``ensure_future``.

    One exception: inside Coda the voice has no task of its own to grow from.
    """
    if path.name == "running.py" and "coda_voice_hooks" in path.parts:
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        owner = called.rpartition(".")[0]
        if called.endswith("create_task"):
            assert owner, f"line {node.lineno}: {called}"
            assert owner not in {"asyncio", "loop"}, f"line {node.lineno}: {called}"
            assert "get_running_loop" not in owner, f"line {node.lineno}: {called}"
        assert not called.endswith("ensure_future"), f"line {node.lineno}: {called}"


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_no_logic_reads_the_wall_clock(path: Path) -> None:
    assert not re.search(r"\btime\.time\(|from time import .*\btime\b|datetime\.now\(\)",
                         path.read_text())  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=ids)
def test_a_queue_says_its_size(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if re.fullmatch(r"(asyncio\.|queue\.)?(Simple|Priority|Lifo)?Queue(\[.*\])?", called):
                assert node.args or node.keywords, f"line {node.lineno}: {called}()"


def test_files_of_the_tests_have_names_of_their_own() -> None:
    """Folders of tests are no packages, so two files of one name would hide each other."""
    tests = [path for path in EVERY_PYTHON if path.is_relative_to(ROOT / "tests")]
    names = [path.name for path in tests if "miniature" not in path.parts]  # it is a package
    twice = {name for name in names if names.count(name) > 1}
    assert twice <= {"conftest.py"}


def texts() -> list[Path]:
    tops = ("coda_voice_plugin", "hooks", "tests", "configs", "docs", "benchmarks", ".ci")
    files = [path for top in tops for path in (ROOT / top).rglob("*") if path.is_file()]
    files += [path for path in ROOT.iterdir() if path.is_file()]
    return [
        path for path in files if path.suffix in TEXT_SUFFIXES and "__pycache__" not in path.parts
    ]


def test_no_path_or_address_of_one_machine_is_in_the_tree() -> None:
    slash = "/"
    private = re.compile(
        "|".join(re.escape(slash + start) for start in ("work/", "root/", "tmp/lab", "opt/py"))
    )
    for path in texts():
        found = private.search(path.read_text())
        assert found is None, f"{ids(path)} names {found and found[0]!r}"
