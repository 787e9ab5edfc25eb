"""The models of a server: listed, pulled, loaded, unloaded, measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from ollama_server import CHAT, EMBEDDING, GB, OllamaServer

from coda_voice_plugin import AnswerBrokenError, EngineError, ModelMissingError, VoiceConfig
from coda_voice_plugin.engines.ollama import Library, Loaded, OllamaClient, library

LAYER = "pulling 0123"


@pytest.fixture(autouse=True)
def _no_long_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(library, "PULL_PAUSE_S", 0.001)


async def counts(body: dict[str, Any]) -> AsyncGenerator[str, None]:
    for number in range(5):
        await asyncio.sleep(0.01)
        yield f"{number} "


@asynccontextmanager
async def asking(server: OllamaServer, **settings: Any) -> AsyncIterator[Library]:
    async with server.open():
        config = VoiceConfig.model_validate({"external_llm": {"base_url": server.url, **settings}})
        async with OllamaClient(config).library() as found:
            yield found


def step(done: int) -> dict[str, Any]:
    return {"status": LAYER, "digest": "sha256:0123", "total": 100, "completed": done}


async def test_models_are_listed_with_what_they_can_and_where_they_run() -> None:
    server = OllamaServer(counts, {"a:8b": CHAT, "embed:1b": EMBEDDING})
    server.sizes, server.vram, server.loaded = {"a:8b": 8 * GB}, 2 * GB, {"a:8b": -1}
    async with asking(server) as asked:
        chat, embedding = await asked.models()
    assert (chat.name, chat.size, chat.capabilities) == ("a:8b", 8 * GB, CHAT)
    assert (chat.parameters, chat.quantization) == ("1B", "Q4_K_M")
    assert chat.loaded is not None
    assert chat.loaded.place == "25 % GPU"
    assert "2.0 GB of its 8.0 GB" in chat.loaded.note
    assert embedding.loaded is None


@pytest.mark.parametrize(("vram", "place"), [(0, "CPU"), (10, "GPU"), (5, "50 % GPU")])
def test_where_a_model_runs_is_told_in_words(vram: int, place: str) -> None:
    loaded = Loaded(10, vram)
    assert loaded.place == place
    assert bool(loaded.note) == (place != "GPU")


async def test_a_model_is_loaded_pinned_and_unloaded() -> None:
    server = OllamaServer(counts, {"a:8b": CHAT})
    async with asking(server, context_window=2048) as asked:
        assert await asked.load("a:8b") == 1.5
        assert server.loaded == {"a:8b": -1}
        assert server.chats[-1]["options"] == {"num_ctx": 2048}
        placed = await asked.placement("a:8b")
        assert placed is not None
        assert placed.context == 4096
        await asked.unload("a:8b")
        assert server.loaded == {}
        with pytest.raises(ModelMissingError, match="models pull b:1b"):
            await asked.load("b:1b")


async def test_a_pull_tells_how_far_it_is() -> None:
    server = OllamaServer(counts, {})
    server.to_pull = ["pulling manifest", step(10), step(100), "verifying sha256 digest"]
    async with asking(server) as asked:
        steps = [each async for each in asked.pull("a:8b")]
        assert [(each.done, each.total) for each in steps if each.total] == [(10, 100), (100, 100)]
        assert steps[-1].status == "success"
        assert [each.name for each in await asked.stored()] == ["a:8b"]


async def test_a_broken_pull_goes_on_by_itself() -> None:
    server = OllamaServer(counts, {})
    server.to_pull = ["hang up"]
    for done in range(10, 100, 10):
        server.to_pull += ["pulling manifest", step(done), "hang up"]
    async with asking(server) as asked:
        steps = [each async for each in asked.pull("a:8b")]
    assert steps[-1].status == "success"


async def test_a_pull_that_gets_no_further_is_given_up() -> None:
    server = OllamaServer(counts, {})
    server.to_pull = ["pulling manifest", step(10), "hang up"] * 20
    async with asking(server) as asked:
        with pytest.raises(AnswerBrokenError, match="broke off"):
            _ = [each async for each in asked.pull("a:8b")]


async def test_a_model_that_nobody_publishes_is_told_in_one_line() -> None:
    server = OllamaServer(counts, {})
    server.to_pull = [
        "pulling manifest", {"error": "pull model manifest: file does not exist"},
    ]  # fmt: skip
    async with asking(server) as asked:
        with pytest.raises(ModelMissingError, match="no model 'nonsense' to pull"):
            _ = [each async for each in asked.pull("nonsense")]


async def test_a_registry_out_of_reach_is_told_in_the_servers_words() -> None:
    server = OllamaServer(counts, {})
    server.to_pull = [{"error": "pull model manifest: dial tcp: no such host"}]
    async with asking(server) as asked:
        with pytest.raises(EngineError, match="no such host"):
            _ = [each async for each in asked.pull("a:8b")]


@pytest.mark.parametrize("parallel", [1, 2])
async def test_a_model_is_measured_by_the_servers_clock(parallel: int) -> None:
    server = OllamaServer(counts, {"a:8b": CHAT})
    server.parallel = parallel
    server.took = {"prompt_eval_duration": 100_000_000, "eval_duration": 100_000_000}
    async with asking(server) as asked:
        first = await asked.measure("a:8b")
        assert first.load_s == 1.5
        assert first.prompt_per_s == 70.0
        assert first.tokens_per_s == 50.0
        assert first.at_once == (parallel == 2)
        assert (await asked.measure("a:8b")).load_s is None
