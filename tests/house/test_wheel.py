"""What is installed by `pip install .`"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest
from tree import ROOT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", "--quiet", "--disable-pip-version-check",
         "--no-index", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    [path] = folder.glob("*.whl")
    return ZipFile(path)


def test_the_wheel_holds_every_file_of_both_packages(wheel: ZipFile) -> None:
    names = set(wheel.namelist())
    for package in (ROOT / "coda_voice_plugin", ROOT / "hooks" / "coda_voice_hooks"):
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert str(path.relative_to(package.parent)) in names
    assert {"coda_voice_plugin/py.typed", "coda_voice_hooks/py.typed"} <= names
    assert any(name.startswith("coda_voice_plugin/web/") for name in names)
    assert any(name.endswith("presets/cpu.yaml") for name in names)


def test_the_wheel_holds_nothing_else(wheel: ZipFile) -> None:
    tops = {Path(name).parts[0] for name in wheel.namelist()}
    rest = tops - {"coda_voice_plugin", "coda_voice_hooks"}
    assert all(name.endswith(".dist-info") for name in rest)


def test_the_wheel_is_small(wheel: ZipFile) -> None:
    assert sum(info.file_size for info in wheel.infolist()) < 2_500_000


def test_the_wheel_has_its_licence_and_its_entry_points(wheel: ZipFile) -> None:
    names = wheel.namelist()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    [entries] = (name for name in names if name.endswith("entry_points.txt"))
    text = wheel.read(entries).decode()
    assert "coda-voice = coda_voice_plugin.cli:main" in text
    assert "[coda_voice]" in text
