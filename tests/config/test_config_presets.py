"""The presets: in the checkout, in the wheel, and each of them loads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from coda_voice_plugin import ConfigError
from coda_voice_plugin.config import changes, load_config, preset_names
from coda_voice_plugin.config.model import VoiceConfig
from coda_voice_plugin.config.presets import preset_text

ROOT = Path(__file__).parents[2]
NAMES = ["cpu", "development", "hybrid-32gb", "moshi-24gb", "production", "testing"]


def test_the_presets_are_the_files_in_configs() -> None:
    assert preset_names() == NAMES
    assert sorted(file.stem for file in (ROOT / "configs").glob("*.yaml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_preset_loads_says_what_it_is_for_and_changes_something(name: str) -> None:
    loaded = load_config(preset=name, environ={})
    assert loaded.preset == name
    assert set(loaded.origins.values()) == {"default", f"preset {name}"}
    found = changes(VoiceConfig(), loaded.config)
    assert found.live or found.restart
    assert preset_text(name).startswith("# ")
    as_file = load_config(ROOT / "configs" / f"{name}.yaml", environ={})
    assert as_file.config == loaded.config


def test_the_memory_that_a_preset_plans_fits() -> None:
    for name in NAMES:
        config = load_config(preset=name, environ={}).config
        if config.total_vram is not None:
            parts = [config.moshi.vram_allocation or 0, config.external_llm.vram_allocation or 0]
            assert sum(parts) + config.reserved_system <= config.total_vram


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"'prodution'\. Did you mean 'production'\?"):
        load_config(preset="prodution", environ={})
    with pytest.raises(ConfigError, match=r"no preset named '\.\./cpu'"):
        load_config(preset="../cpu", environ={})


def test_the_wheel_carries_the_presets(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    program = (
        "from coda_voice_plugin.config import load_config, preset_names\n"
        "import coda_voice_plugin.config as room\n"
        "print(room.__file__)\n"
        "print(preset_names())\n"
        "for name in preset_names(): load_config(preset=name, environ={})\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(wheel)},
        check=True,
        capture_output=True,
        text=True,
    )
    home, names = done.stdout.splitlines()
    assert home.startswith(str(wheel))
    assert names == str(NAMES)
