"""What ``from coda_voice_plugin import ...`` promises."""

from __future__ import annotations

import re
from importlib.metadata import version
from inspect import isroutine

from tree import ROOT

import coda_voice_plugin

DESIGN = ROOT / "docs" / "design.md"


def test_every_public_name_can_be_imported() -> None:
    for name in coda_voice_plugin.__all__:
        assert getattr(coda_voice_plugin, name) is not None
    assert set(coda_voice_plugin.__all__) <= set(dir(coda_voice_plugin))


def test_the_public_names_are_those_of_the_documentation() -> None:
    section = DESIGN.read_text().split("## Public names")[1].split("\n## ")[0]
    documented = set(re.findall(r"^\| `(\w+)`", section, re.MULTILINE))
    assert documented == set(coda_voice_plugin.__all__)


def test_every_public_class_says_what_it_is() -> None:
    for name in coda_voice_plugin.__all__:
        value = getattr(coda_voice_plugin, name)
        if isinstance(value, type) or isroutine(value):  # an alias of a type has no docstring
            assert (value.__doc__ or "").strip(), name


def test_an_unknown_name_is_an_attribute_error() -> None:
    assert not hasattr(coda_voice_plugin, "VoiceManager")


def test_the_changelog_begins_with_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    latest = re.search(r"^## \[?([0-9.]+)", changelog, re.MULTILINE)
    assert latest is not None
    assert latest[1] == version("coda-voice-plugin")
