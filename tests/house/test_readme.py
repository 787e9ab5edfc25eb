"""What the README says can be done."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from tree import ROOT

from coda_voice_plugin.config import load_config

README = (ROOT / "README.md").read_text()
QUESTION = Path(
    "/usr/share/pocketsphinx/test/data/librivox/sense_and_sensibility_01_austen_64kb-0880.wav"
)


def marked_commands() -> list[str]:
    """The lines of the blocks that are marked as tested."""
    blocks = re.findall(r"<!-- tested:[^>]*-->\n```console\n(.*?)```", README, re.DOTALL)
    lines = "".join(blocks).splitlines()
    return [line.removeprefix("$ ").partition("#")[0].strip() for line in lines]


def all_commands() -> list[str]:
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    return [line.removeprefix("$ ") for line in "".join(blocks).splitlines()]


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = shlex.split(command)
    assert words[0] == "coda-voice"
    small = ["--llm", "llamacpp", "--set", "embedded_llm.model=smollm2-135m"]
    if words[1] in {"check", "talk"}:
        words += [*small, "--set", "server.port=0"]
    return subprocess.run(
        [sys.executable, "-m", "coda_voice_plugin", *words[1:]],
        cwd=folder, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "command", [line for line in marked_commands() if " talk " not in line and "check" not in line]
)
def test_the_commands_of_the_readme_work(command: str, tmp_path: Path) -> None:
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout


@pytest.mark.real
@pytest.mark.parametrize(
    "command", [line for line in marked_commands() if " talk " in line or "check" in line]
)
def test_the_commands_with_engines_of_the_readme_work(command: str, tmp_path: Path) -> None:
    for name in re.findall(r"\w+\.wav", command):
        if name != "answer.wav":
            (tmp_path / name).write_bytes(QUESTION.read_bytes())
    done = run(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout
    if "-o answer.wav" in command:
        assert (tmp_path / "answer.wav").stat().st_size > 10_000


def test_the_targets_of_the_readme_are_in_the_makefile() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {line.split()[1] for line in all_commands() if line.startswith("make ")}
    assert {"run", "test"} <= named <= targets


def test_the_extras_of_the_readme_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    named = {
        extra
        for found in re.findall(r"coda-voice-plugin\[([\w,]+)\]", README)
        for extra in found.split(",")
    }
    assert named
    assert named <= project["optional-dependencies"].keys()


def test_the_versions_of_the_readme_are_those_that_are_installed() -> None:
    pins = (ROOT / "constraints.txt").read_text()
    for name, version in re.findall(r"\b([a-z]+)==([0-9.]+)", README):
        assert f"\n{name}=={version}" in pins


def test_the_settings_of_the_readme_are_settings(tmp_path: Path) -> None:
    for number, text in enumerate(re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)):
        assert yaml.safe_load(text)
        file = tmp_path / f"{number}.yaml"
        file.write_text(text)
        load_config(file)


@pytest.mark.parametrize(
    "document", ["README.md", *(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(document: str) -> None:
    path = ROOT / document
    for link in re.findall(r"\]\(([^)#\s]+)", path.read_text()):
        if not link.startswith("http"):
            assert (path.parent / link).exists(), link
