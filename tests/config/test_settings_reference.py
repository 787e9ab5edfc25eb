"""``docs/settings.md`` is what the model says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from coda_voice_plugin.config import VoiceConfig
from coda_voice_plugin.config.reference import settings_reference
from coda_voice_plugin.config.schema import Setting, settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_reference_is_up_to_date() -> None:
    assert DOCUMENT.read_text(encoding="utf-8") == settings_reference(), (
        "run: python -m coda_voice_plugin.config.reference > docs/settings.md"
    )


@pytest.mark.parametrize("setting", settings().values(), ids=lambda setting: setting.key)
def test_every_setting_is_documented(setting: Setting) -> None:
    assert setting.meaning.endswith((".", ")")), "write a docstring below the field"
    assert setting.allowed
    assert f"| `{setting.key}` |" in DOCUMENT.read_text(encoding="utf-8")


def test_every_field_of_every_section_is_a_setting() -> None:
    def leaves(tree: dict[str, object], path: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
        found = set()
        for name, value in tree.items():
            inner = (*path, name)
            nested = isinstance(value, dict) and inner != ("plugins", "settings")
            found |= leaves(value, inner) if nested else {inner}  # type: ignore[arg-type]
        return found

    assert set(settings()) == leaves(VoiceConfig().model_dump())


def test_the_settings_are_cheap_to_import() -> None:
    program = (
        "import sys\n"
        "from coda_voice_plugin.config import VoiceConfig\n"
        "VoiceConfig()\n"
        "print({'yaml', 'numpy', 'aiohttp', 'click', 'sqlite3', 'asyncio'} & set(sys.modules))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"
