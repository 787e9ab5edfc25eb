"""The strategy ``moshi`` behind the real door: sockets, sessions, a tiny model on this CPU."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp.test_utils import TestClient, TestServer

from coda_voice_plugin import (
    EngineError,
    NoDeviceError,
    VoiceConfig,
    load_plugins,
    open_host,
    weights,
)
from coda_voice_plugin.events import Caption, Hello, Problem, SessionReady, Speech, Stop, TurnEnded
from coda_voice_plugin.server import make_app
from coda_voice_plugin.strategies.moshi import MoshiVoiceProcessor
from coda_voice_plugin.testing.checkpoints import tiny_moshi
from coda_voice_plugin.wire import voice_client
from coda_voice_plugin.wire.voice import SUBPROTOCOL

BLOCK = bytes(640)
"""20 ms of silence at 16 kHz."""


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_moshi(tmp_path_factory.mktemp("moshi"))


def settings(folder: Path, tmp_path: Path, **moshi: Any) -> VoiceConfig:
    chosen = {"model_path": str(folder), "optimization": "fp32", "slots": 2, "seed": 1}
    return VoiceConfig(
        strategy="moshi",
        moshi=chosen | moshi,
        store={"path": str(tmp_path / "sessions.db")},
    )


@asynccontextmanager
async def served(config: VoiceConfig) -> AsyncIterator[TestClient]:
    async with (
        open_host(config, load_plugins()) as host,
        TestClient(TestServer(make_app(host), host="127.0.0.1")) as client,
    ):
        yield client


class Caller:
    """Sends silence at the pace of a microphone, and keeps what comes."""

    def __init__(self, client: TestClient) -> None:
        self._client = client
        self.events: list[Any] = []
        self.speech = bytearray()

    async def call(self, *, speech_s: float, stop: bool = False) -> None:
        """Listen until so much speech has come, then hang up (after a stop, if asked)."""
        async with self._client.ws_connect("/v1/voice", protocols=(SUBPROTOCOL,)) as ws:
            await ws.send_str(str(voice_client.encode(Hello(rate=16_000))))
            async with asyncio.TaskGroup() as group:
                microphone = group.create_task(self._talk(ws))
                async for message in ws:
                    event = voice_client.decode(message.data, 24_000)
                    self.events.append(event)
                    if isinstance(event, Speech):
                        self.speech += event.frame.pcm
                    if isinstance(event, TurnEnded | Problem):
                        break
                    if len(self.speech) / 48_000 >= speech_s:
                        if not stop:
                            break
                        await ws.send_str(str(voice_client.encode(Stop())))
                        stop = False
                        speech_s = 1e9
                microphone.cancel()

    async def _talk(self, ws: Any) -> None:
        while True:
            await ws.send_bytes(BLOCK)
            await asyncio.sleep(0.02)

    def of(self, kind: type) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


async def test_two_callers_talk_to_one_model_and_the_third_is_told_that_it_is_busy(
    tiny: Path, tmp_path: Path
) -> None:
    async with served(settings(tiny, tmp_path)) as client:
        one, two, three = (Caller(client) for _ in range(3))
        async with asyncio.TaskGroup() as group:
            group.create_task(one.call(speech_s=1.0))
            group.create_task(two.call(speech_s=1.0))
            while not (one.speech and two.speech):  # noqa: ASYNC110 - the sockets tell nobody
                await asyncio.sleep(0.01)
            await three.call(speech_s=1.0)
        assert [problem.code for problem in three.of(Problem)] == ["busy"]
        for caller in (one, two):
            [ready] = caller.of(SessionReady)
            assert ready.strategy == "moshi"
            assert ready.stt == ready.llm == ready.tts == ""
            assert np.any(np.frombuffer(bytes(caller.speech), "<i2"))
            assert caller.of(Caption)
            assert not caller.of(Problem)
        health = await (await client.get("/health")).json()
        assert health["capacity"] == 2
        assert health["report"]["ticks"] > 10


async def test_what_moshi_said_becomes_a_turn_when_it_is_stopped(
    tiny: Path, tmp_path: Path
) -> None:
    async with served(settings(tiny, tmp_path)) as client:
        caller = Caller(client)
        await caller.call(speech_s=1.0, stop=True)
    [ended] = caller.of(TurnEnded)
    captions = " ".join(word.text for each in caller.of(Caption) for word in each.words)
    assert ended.turn.interrupted
    assert ended.turn.assistant
    assert captions.startswith(ended.turn.assistant)
    assert ended.turn.strategy == "moshi"


async def test_without_its_inner_monologue_it_speaks_without_captions(
    tiny: Path, tmp_path: Path
) -> None:
    config = settings(tiny, tmp_path, inner_monologue_enabled=False)
    async with served(config) as client:
        caller = Caller(client)
        await caller.call(speech_s=1.0)
    assert caller.speech
    assert not caller.of(Caption)


def test_it_needs_only_what_its_settings_ask_for(tiny: Path, tmp_path: Path) -> None:
    def needs(**moshi: Any) -> tuple[str, ...]:
        return MoshiVoiceProcessor.needs_for(settings(tiny, tmp_path, **moshi))

    assert needs() == ()
    assert needs(gate="mute") == needs(gate="pad") == ("turns",)
    assert needs(barge_in="voice") == ("turns",)
    assert needs(transcribe=True, gate="mute") == ("stt",)


def test_its_weights_are_fetched_unless_the_model_runs_elsewhere() -> None:
    weights = MoshiVoiceProcessor.weights_for
    assert weights(VoiceConfig()) == (("kyutai/moshika-pytorch-bf16",),)
    assert weights(VoiceConfig(moshi={"url": "ws://127.0.0.1:8998/api/chat"})) == ()


@pytest.mark.parametrize("told", [{"role_prompt": "You are Jane."}, {"voice_prompt": "v.wav"}])
async def test_a_persona_cannot_be_told_to_a_server_elsewhere(
    told: dict[str, str], tmp_path: Path
) -> None:
    config = settings(tmp_path, tmp_path, url="ws://127.0.0.1:9/api/chat", **told)
    with pytest.raises(EngineError, match="for a model that runs here"):
        async with open_host(config, load_plugins()):
            pass


async def test_without_a_card_nothing_is_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    fetched: list[str] = []
    monkeypatch.setattr(weights, "fetch", lambda name, *rest: fetched.append(name))
    config = VoiceConfig.model_validate({"strategy": "moshi", "moshi": {"device": "cuda"}})
    with pytest.raises(NoDeviceError, match="no CUDA device"):
        async with open_host(config, progress=lambda name, done, total: None):
            pytest.fail("opened")
    assert not fetched
