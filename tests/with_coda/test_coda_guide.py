"""``docs/coda.md`` says what the code does."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest
from coda_voice_hooks.pages import DASHBOARD_REPAIRS
from coda_voice_hooks.reference import fill
from coda_voice_hooks.repairs import IMPORTS, REPAIRS
from coda_voice_hooks.settings import CodaSettings
from coda_voice_hooks.voice_manager import VoiceManager

from coda_voice_plugin.cli import run

GUIDE = Path(__file__).parents[2] / "docs" / "coda.md"
TEXT = GUIDE.read_text(encoding="utf-8")
SECTION = TEXT.split("### Keys of the `voice:` section")[1].split("\n### ")[0]


def test_its_tables_are_up_to_date() -> None:
    assert fill(TEXT) == TEXT, "run: python -m coda_voice_hooks.reference docs/coda.md"


def test_every_repair_and_every_setting_has_a_row() -> None:
    names = [*IMPORTS, *(each.name for each in (*REPAIRS, *DASHBOARD_REPAIRS))]
    for name in [*names, *CodaSettings.model_fields]:
        assert len(re.findall(rf"^\| `{name}` \|", TEXT, re.MULTILINE)) == 1


def keys_of_the_core() -> list[str]:
    """The keys that the core's own configuration and its models of it have."""
    models = import_module("coda.components.voice.models")
    parts = {"audio": "AudioConfig", "moshi": "MoshiConfig", "external_llm": "ExternalLLMConfig"}
    own = set(import_module("coda.core.config").VoiceConfig.model_fields) - parts.keys()
    inner = [
        f"{part}.{key}"
        for part, name in parts.items()
        if hasattr(models, name)
        for key in getattr(models, name).model_fields
    ]
    return sorted(own) + inner


def test_every_key_of_the_core_is_in_the_migration_guide() -> None:
    keys = keys_of_the_core()
    assert "mode" in keys
    for key in keys:
        part, _, last = key.rpartition(".")
        short = f"`.{last}`" if part == "external_llm" else f"`{key}`"
        assert f"`{key}`" in SECTION or short in SECTION, key


def test_every_method_of_the_voice_manager_is_in_the_migration_guide() -> None:
    methods = [name for name, value in vars(VoiceManager).items() if callable(value)]
    for name in methods:
        if not name.startswith("_"):
            assert re.search(rf"`{name}[`(]", TEXT), name


@pytest.mark.parametrize("line", re.findall(r"^\$ (coda-voice .*)$", TEXT, re.MULTILINE))
def test_its_commands_are_commands(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = line.split()[1:]
    assert run([*words[:2], "--help"]) == 0
    shown = capsys.readouterr().out
    for option in [word for word in words if word.startswith("-")]:
        assert option in shown


def test_its_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)#]+\.md)\)", TEXT):
        assert (GUIDE.parent / target).is_file(), target
    for anchor in re.findall(r"\]\(#([^)]+)\)", TEXT):
        titles = re.findall(r"^#+ (.*)$", TEXT, re.MULTILINE)
        assert anchor in {
            re.sub(r"[^a-z -]", "", each.lower()).replace(" ", "-") for each in titles
        }
