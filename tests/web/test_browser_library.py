"""What the browser library promises that needs no browser: its node tests, types and package."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

import coda_voice_plugin

HERE = Path(__file__).parent
WEB = Path(coda_voice_plugin.__file__).parent / "web"
TSC = HERE / "node_modules" / ".bin" / "tsc"
LIBRARY = (
    "coda-voice.js",
    "connection.js",
    "outbox.js",
    "presence.js",
    "devices.js",
    "output.js",
    "opus.js",
    "capture.js",
    "playback.js",
)


def node_version() -> int:
    """Its major version; 0: there is none."""
    if shutil.which("node") is None:
        return 0
    said = subprocess.run(("node", "--version"), capture_output=True, text=True, check=True).stdout
    return int(said.strip().removeprefix("v").partition(".")[0])


with_node = pytest.mark.skipif(node_version() < 20, reason="needs node 20 or newer")
with_npm = pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
with_types = pytest.mark.skipif(not TSC.exists(), reason="needs `npm ci` in tests/web")


def run(*command: str | Path, cwd: Path = HERE) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6_000:] + done.stderr[-2_000:]
    return done.stdout


@with_node
def test_its_own_tests_pass() -> None:
    said = run("node", "--test", *sorted(str(path) for path in HERE.glob("*.test.mjs")))
    passed = re.search(r"^(?:#|ℹ) pass (\d+)", said, re.MULTILINE)
    assert passed
    assert int(passed[1]) > 40


@with_types
def test_its_types_are_strict() -> None:
    run(TSC)


@with_types
def test_its_declarations_are_those_of_the_code(tmp_path: Path) -> None:
    run(TSC, "--noEmit", "false", "--declaration", "--emitDeclarationOnly", "--outDir", tmp_path)
    written = (WEB / "coda-voice.d.ts").read_text()
    assert written == (tmp_path / "coda-voice.d.ts").read_text(), (
        "copy coda-voice.d.ts from `npm run declare -- FOLDER` in tests/web to the library"
    )


@pytest.fixture(scope="module")
def package() -> dict[str, Any]:
    """package.json, as published."""
    described: dict[str, Any] = json.loads((WEB / "package.json").read_text())
    return described


@with_npm
def test_the_package_holds_what_it_exports_and_all_that_this_imports(
    package: dict[str, Any], tmp_path: Path
) -> None:
    cache = ("--cache", tmp_path)
    [packed] = json.loads(run("npm", "pack", "--dry-run", "--json", *cache, cwd=WEB))
    files = {entry["path"] for entry in packed["files"]}
    assert files >= {"README.md", "package.json", *LIBRARY}
    exported = [
        file.removeprefix("./")
        for target in package["exports"].values()
        for file in (target.values() if isinstance(target, dict) else [target])
    ]
    assert set(exported) <= files
    for file in files:
        if file.endswith(".js"):
            for name in imports(WEB / file):
                assert name in files, f"{file} needs {name}"


def imports(path: Path) -> set[str]:
    """Modules beside ``path`` that it imports or names as worklets."""
    text = re.sub(r"^\s*(//|/?\*).*$", "", path.read_text(), flags=re.MULTILINE)
    found = re.findall(r'(?:from |import |import\(|worklet\()"(?:\./)?([\w-]+\.js)"', text)
    return set(found)


def test_the_package_has_the_version_and_needs_nothing(package: dict[str, Any]) -> None:
    project = (WEB.parents[1] / "pyproject.toml").read_text()
    version = re.search(r'^version = "(.+)"', project, re.MULTILINE)
    assert version
    assert package["version"] == version[1]
    assert not package.keys() & {"dependencies", "devDependencies", "scripts"}


def test_it_imports_nothing_from_elsewhere() -> None:
    for name in LIBRARY:
        text = (WEB / name).read_text()
        assert imports(WEB / name) <= set(LIBRARY)
        assert not re.search(r"(https?|wss?)://(?!host\b|localhost\b)", text), name
