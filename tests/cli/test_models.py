"""coda-voice models: what people see of their models."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import threading
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Any

import pytest
from ollama_server import CHAT, EMBEDDING, GB, OllamaServer

from coda_voice_plugin.cli import run


async def counts(body: dict[str, Any]) -> AsyncGenerator[str, None]:
    for number in range(3):
        await asyncio.sleep(0.01)
        yield f"{number} "


@pytest.fixture(autouse=True)
def _plain_logging() -> Iterator[None]:
    """Commands set up logging; leave it as it was."""
    root, ours = logging.getLogger(), logging.getLogger("coda_voice_plugin")
    before = root.handlers[:], root.level, ours.level
    yield
    root.handlers[:], root.level, ours.level = before


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    """A server on a thread: the commands have an event loop of their own."""
    ready, over = threading.Event(), asyncio.Event()
    server = OllamaServer(counts, {"tiny:latest": CHAT, "embed:1b": EMBEDDING})
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        async with server.open():
            loops.append(asyncio.get_running_loop())
            ready.set()
            await over.wait()

    thread = threading.Thread(target=asyncio.run, args=(serve(),))
    thread.start()
    assert ready.wait(10)
    yield server
    loops[0].call_soon_threadsafe(over.set)
    thread.join(10)


def models(server: OllamaServer, *arguments: str) -> int:
    return run(["models", *arguments, "--set", f"external_llm.base_url={server.url}"])


def test_models_are_listed_with_where_they_run(
    server: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.sizes, server.vram, server.loaded = {"tiny:latest": 8 * GB}, 2 * GB, {"tiny:latest": -1}
    assert models(server, "--set", "external_llm.model=tiny") == 0
    out = capsys.readouterr().out
    line, note = next(
        (line, out.splitlines()[number + 1])
        for number, line in enumerate(out.splitlines())
        if "tiny:latest" in line
    )
    assert line.split() == [
        "*", "tiny:latest", "8.0", "GB", "1B", "Q4_K_M", "25", "%", "GPU", "completion,", "tools",
    ]  # fmt: skip
    assert "computed on the CPU" in note
    assert "OLLAMA_NUM_PARALLEL" in out
    assert "smollm2-135m" in out
    assert "Apache-2.0" in out


def test_models_are_listed_as_json(
    server: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.loaded = {"tiny:latest": -1}
    assert models(server, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["problem"] is None
    assert found["server"][0]["loaded"]["in_vram"] == GB
    assert found["embedded"][0]["source"]


def test_without_a_server_the_embedded_models_are_listed_all_the_same(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    arguments = ["models", "--set", f"external_llm.base_url=http://127.0.0.1:{port}"]
    assert run(arguments) == 1
    out = capsys.readouterr().out
    assert "ollama serve" in out
    assert "qwen2.5-coder-0.5b" in out
    assert run([*arguments, "--json"]) == 1
    assert "ollama serve" in json.loads(capsys.readouterr().out)["problem"]


def test_a_server_without_models_names_the_pull(
    server: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.models.clear()
    assert models(server) == 0
    assert "models pull" in capsys.readouterr().out


def test_a_model_is_pulled_with_progress(
    server: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    layer = {"status": "pulling 0123", "total": 2 * GB, "completed": GB}
    server.to_pull = ["pulling manifest", layer]
    assert models(server, "pull", "qwen3:8b") == 0
    err = capsys.readouterr().err
    assert "qwen3:8b: pulling manifest" in err
    assert "0123: 50 % (1,000 of 2,000 MB)" in err
    assert "qwen3:8b: success" in err
    assert "qwen3:8b" in server.models


def test_a_model_is_loaded_and_unloaded(
    server: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    server.vram = 0
    assert models(server, "load", "tiny") == 0
    out = capsys.readouterr().out
    assert "tiny is loaded on CPU (1.5 s)" in out
    assert "use a smaller model" in out
    assert server.loaded == {"tiny:latest": -1}
    assert models(server, "unload", "tiny") == 0
    assert server.loaded == {}


@pytest.mark.parametrize("action", ["load", "unload", "measure"])
def test_an_unknown_model_is_one_line(
    action: str, server: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models(server, action, "nonsense:1b") == 1
    err = capsys.readouterr().err
    assert err.startswith("coda-voice: ollama: there is no model 'nonsense:1b'")
    assert err.count("\n") == 1


def test_a_model_is_measured(server: OllamaServer, capsys: pytest.CaptureFixture[str]) -> None:
    server.took = {"eval_duration": 60_000_000}
    assert models(server, "measure") == 0
    out = capsys.readouterr().out
    assert out.startswith("tiny:latest\n")
    assert "load     1.5 s" in out
    assert "writes   50.0 tokens a second" in out
    assert "Set OLLAMA_NUM_PARALLEL=4" in out
    assert models(server, "measure", "tiny", "--json") == 0
    assert json.loads(capsys.readouterr().out)["load_s"] is None


def test_options_before_the_command_are_not_silently_ignored(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(["models", "--set", "log.level=error", "unload", "tiny"]) == 2
    assert "behind the command" in capsys.readouterr().err


def test_use_without_a_server_says_how_to_start_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "use", "qwen3:8b", "--set", "server.port=1"]) == 1
    assert "start it with `coda-voice serve`" in capsys.readouterr().err


def test_speech_models_are_listed_with_their_licences(
    server: OllamaServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["--set", f"models.cache_dir={tmp_path}"]
    assert models(server, *arguments) == 0
    lines = capsys.readouterr().out.splitlines()
    listed = lines[lines.index("Speech to speech (moshi)") :]
    moshi = next(line for line in listed if "moshika-pytorch-bf16" in line)
    assert moshi.split()[:7] == [
        "*", "kyutai/moshika-pytorch-bf16", "~15.8", "GB", "-", "bf16", "en",
    ]  # fmt: skip
    assert "CC-BY-4.0" in moshi
    assert any(
        "personaplex" in line and "NVIDIA Open Model License (gated)" in line for line in listed
    )
    assert {"Recognisers (kyutai)", "Voices (kyutai)"} <= set(listed)


def test_the_licence_of_the_chosen_voice_is_shown(
    server: OllamaServer, capsys: pytest.CaptureFixture[str]
) -> None:
    assert models(server, "--json", "--set", "kyutai.tts_voice=vctk/p225_023.wav") == 0
    rows = json.loads(capsys.readouterr().out)["repositories"]
    voices = next(row for row in rows if row["name"] == "kyutai/tts-voices")
    assert (voices["chosen"], voices["licence"]) == (True, "CC-BY-4.0 (vctk)")


def test_a_folder_that_the_settings_name_is_listed_and_looked_at(
    server: OllamaServer, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    arguments = ["--json", "--set", f"moshi.model_path={tmp_path}"]
    config = {"moshi_name": "a", "mimi_name": "b", "tokenizer_name": "c"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    for name in "ab":
        (tmp_path / name).write_bytes(bytes(1000))
    found = []
    for _ in range(2):
        assert models(server, *arguments) == 0
        rows = json.loads(capsys.readouterr().out)["repositories"]
        found += [row for row in rows if row["name"] == str(tmp_path)]
        (tmp_path / "c").write_bytes(bytes(1000))
    assert [row["here"] for row in found] == [False, True]
    assert found[1]["size"] == 3000 + len(json.dumps(config))
    assert found[1]["licence"] == "unknown"
    assert found[1]["chosen"]
