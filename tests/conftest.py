"""What every test may rely on: nobody's own settings, and no traces in their folders."""

from __future__ import annotations

import os

import pytest


@pytest.fixture(autouse=True)
def _a_user_without_settings(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Data and settings live in a fresh folder; the cache, with its weights, is the user's."""
    home = tmp_path_factory.mktemp("user")
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    for name in os.environ:
        if name.startswith("CODA_VOICE_"):
            monkeypatch.delenv(name)
