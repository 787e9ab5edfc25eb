"""Every file in configs/ is a preset that loads."""

from __future__ import annotations

from pathlib import Path

import pytest
from tree import ROOT

from coda_voice_plugin.config import load_config, preset_names

FILES = sorted((ROOT / "configs").glob("*.yaml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_in_configs_loads(path: Path) -> None:
    loaded = load_config(path)
    assert any(origin.startswith(path.name) or str(path) in origin
               for origin in loaded.origins.values())  # fmt: skip


def test_every_preset_is_there() -> None:
    wanted = {"cpu", "moshi-24gb", "hybrid-32gb", "development", "production", "testing"}
    assert wanted <= set(preset_names())
    for name in preset_names():
        assert load_config(preset=name).preset == name
