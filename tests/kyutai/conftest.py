"""Tiny checkpoints of Kyutai's models, made once for all tests of this room."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """More threads wait for each other longer than so small a model computes."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dialogue model that remembers 240 seconds, as the real one."""
    from coda_voice_plugin.testing.checkpoints import tiny_moshi

    return tiny_moshi(tmp_path_factory.mktemp("moshi"))
