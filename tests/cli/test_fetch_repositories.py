"""coda-voice fetch and check with repositories of the hub, and what the host makes of them."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from hub_server import HubServer

from coda_voice_plugin import Strategy, VoiceConfig
from coda_voice_plugin.cli import run
from coda_voice_plugin.host import needed_weights, provision
from coda_voice_plugin.plugins import load_plugins

CONFIG = {"moshi_name": "a", "mimi_name": "b", "tokenizer_name": "c"}


@pytest.fixture(autouse=True)
def _plain_logging() -> Iterator[None]:
    """Commands set up logging; leave it as it was."""
    root, ours = logging.getLogger(), logging.getLogger("coda_voice_plugin")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    files = {"config.json": json.dumps(CONFIG).encode(), "a": os.urandom(2_000_000)}
    hub = HubServer({"lab/model": {**files, "b": b"b", "c": b"c"}})
    with hub.open():
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.delenv("HF_TOKEN", raising=False)
        yield hub


def test_a_repository_is_fetched_with_progress_and_its_folder_printed(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cache = ["--set", f"models.cache_dir={tmp_path}"]
    assert run(["fetch", "lab/model", *cache]) == 0
    told = capsys.readouterr()
    assert told.out == f"{tmp_path / 'lab' / 'model'}\n"
    assert "fetching lab/model: 100 % (2 of 2 MB)" in told.err


def test_a_refusal_is_one_line(
    hub: HubServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.gated.add("lab/model")
    assert run(["fetch", "lab/model", "--set", f"models.cache_dir={tmp_path}"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("coda-voice: cannot fetch 'lab/model': accept the licence of lab/model")
    assert err.count("\n") == 1


def test_the_list_shows_repositories_with_their_licences(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["fetch", "--list", "--set", f"models.cache_dir={tmp_path}"]) == 0
    out = capsys.readouterr().out
    assert "silero-vad" in out
    assert "kyutai/moshiko-pytorch-q8" in out
    assert "NVIDIA Open Model License" in out


def test_a_name_without_its_owner_is_told_the_nearest(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["fetch", "moshika-pytorch-bf16"]) == 2
    assert "Did you mean 'kyutai/moshika-pytorch-bf16'?" in capsys.readouterr().err


class Duplex(Strategy):
    """A strategy that needs a repository."""

    name = "needs-lab-model"
    needs = frozenset()

    @classmethod
    def weights_for(cls, config: VoiceConfig) -> Sequence[Sequence[str]]:
        return [(config.moshi.model_path,)]

    async def converse(self, call: object) -> None:
        pass


@pytest.mark.parametrize("local", [False, True])
async def test_a_strategy_may_need_a_repository_or_a_folder(
    local: bool, hub: HubServer, tmp_path: Path
) -> None:
    plugins = load_plugins()
    plugins.kinds["strategy"][Duplex.name] = Duplex
    wanted = "lab/model"
    if local:
        wanted = str(tmp_path / "mine")
        (tmp_path / "mine").mkdir()
        for name, content in hub.repositories["lab/model"].items():
            (tmp_path / "mine" / name).write_bytes(content)
    config = VoiceConfig.model_validate(
        {
            "strategy": Duplex.name,
            "moshi": {"model_path": wanted},
            "models": {"cache_dir": str(tmp_path / "cache")},
        }
    )
    assert list(await needed_weights(config, plugins)) == [(wanted,)]
    folder = tmp_path / "mine" if local else tmp_path / "cache" / "lab" / "model"
    assert await provision(config, plugins) == [folder]
    assert bool(hub.asked) is not local
