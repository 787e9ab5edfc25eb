"""Two minds with real engines behind the real server, and a tiny Moshi that says noise."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import pytest_asyncio
from aiohttp import web
from closing import close
from human_speech import FOLDER, NEEDED, clips
from words import word_error_rate

from coda_voice_plugin import Host, Turn, VoiceConfig, open_host
from coda_voice_plugin.audio import Floats, to_floats, to_pcm, write_audio
from coda_voice_plugin.cli import run
from coda_voice_plugin.events import (
    Caption,
    Hello,
    Notice,
    Problem,
    ServerEvent,
    SessionReady,
    Speech,
    TurnEnded,
)
from coda_voice_plugin.server import make_app
from coda_voice_plugin.wire import voice_client
from coda_voice_plugin.wire.voice import SUBPROTOCOL

pytestmark = [pytest.mark.real, pytest.mark.skipif(not FOLDER.exists(), reason=NEEDED)]
together = pytest.mark.asyncio(loop_scope="module")

RATE = 24_000
FRAME = 320
PHRASES = ("let me see", "one okay")
"""Of letters that the tiny model's tokenizer knows."""
OPENS = {phrase.split()[0] for phrase in PHRASES}
HYBRID = {"phrases": PHRASES, "second_phrases": (), "opener_start_ms": 4_000}
ASKED = (
    "go forward ten meters",
    "go somewhere and do something",
    "he might even have been made amiable himself",
)
PATIENCE_S = 60.0


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """More threads wait for each other longer than so small a model computes."""
    torch = pytest.importorskip("torch", reason="Moshi is in the extra `moshi`")
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def settings(folder: Path, **changes: Any) -> VoiceConfig:
    # on a busy machine everything is late, and nothing else is wrong
    patient = {"silent_ms": 30_000, "first_token_ms": 30_000, "strikes": 100}
    return VoiceConfig.model_validate(
        {
            "strategy": "hybrid",
            "llm": "llamacpp",
            "embedded_llm": {"model": "smollm2-135m", "max_tokens": 12},
            "moshi": {
                "model_path": str(folder / "moshi"),
                "device": "cpu",
                "optimization": "fp32",
                "slots": 2,
                "opening": "listen",
            },
            "hybrid": HYBRID | {"way": "handover"},
            "fallback": {"ladder": ["hybrid", "ollama"]} | patient,
            "store": {"path": str(folder / "sessions.db")},
        }
        | changes
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a tiny Moshi lies: half the codebooks, so that it steps twice as fast."""
    from coda_voice_plugin.testing.checkpoints import tiny_moshi

    made = tmp_path_factory.mktemp("hybrid")
    few = {"n_q": 4, "dep_q": 2, "delays": [0, 0, 1, 0, 1], "depformer_num_layers": 1}
    tiny_moshi(made / "moshi", **few)
    return made


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def host(folder: Path) -> AsyncIterator[Host]:
    async with open_host(settings(folder)) as opened:
        yield opened


@asynccontextmanager
async def served(host: Host) -> AsyncIterator[str]:
    """The address of the door."""
    runner = web.AppRunner(make_app(host), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await close(runner)


class Caller:
    """Asks one recorded question, and notes what comes until the turn is over."""

    def __init__(self, asked: str) -> None:
        self.asked = asked
        self.heard: list[ServerEvent] = []
        self.ready = asyncio.Event()
        question = next(sound for said, sound in clips() if said == asked)
        self._sound = np.concatenate([np.zeros(8_000, np.float32), question])

    async def call(self, url: str) -> None:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(url + "v1/voice", protocols=(SUBPROTOCOL,)) as ws,
            asyncio.timeout(PATIENCE_S),
            asyncio.TaskGroup() as tasks,
        ):
            await ws.send_str(str(voice_client.encode(Hello(16_000))))
            speaking = tasks.create_task(self._speak(ws))
            async for message in ws:
                event = voice_client.decode(message.data, RATE)
                self.heard.append(event)
                if isinstance(event, SessionReady):
                    self.ready.set()
                if isinstance(event, TurnEnded):
                    break
            speaking.cancel()

    async def _speak(self, ws: aiohttp.ClientWebSocketResponse) -> None:
        """Half a second of silence, the question, and silence, in pace."""
        await self.ready.wait()
        loop = asyncio.get_running_loop()
        due = loop.time()
        at = 0
        while True:
            piece = self._sound[at : at + FRAME]
            frame: Floats = np.pad(piece, (0, FRAME - len(piece)))
            await ws.send_bytes(to_pcm(frame))
            at += FRAME
            due += FRAME / 16_000
            await asyncio.sleep(max(0.0, due - loop.time()))

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.heard if isinstance(event, kind)]

    @property
    def session(self) -> str:
        (ready,) = self.of(SessionReady)
        return str(ready.session)

    @property
    def turn(self) -> Turn:
        (ended,) = self.of(TurnEnded)
        return ended.turn

    @property
    def captions(self) -> str:
        return " ".join(word.text for event in self.of(Caption) for word in event.words)

    @property
    def answered(self) -> dict[str, Any]:
        (notice,) = [event for event in self.of(Notice) if event.kind == "answered"]
        return dict(notice.data)

    @property
    def loudest(self) -> float:
        return max(float(np.abs(to_floats(event.frame.pcm)).max()) for event in self.of(Speech))


def _in_use(host: Host) -> int:
    """Calls, and slots of Moshi."""
    return host.calls + int(host.strategy.report()["moshi"]["taken"])


async def ask(host: Host, *asked: str) -> list[Caller]:
    """Everybody calls, and asks when all are there."""
    before = asyncio.all_tasks()
    callers = [Caller(each) for each in asked]
    async with served(host) as url, asyncio.TaskGroup() as tasks:
        for caller in callers:
            tasks.create_task(caller.call(url))
    async with asyncio.timeout(10):  # nothing is left over: no call, no slot, no task
        while _in_use(host) or asyncio.all_tasks() - before:  # noqa: ASYNC110 - counts
            await asyncio.sleep(0.01)
    return callers


async def check_turn(host: Host, caller: Caller) -> None:
    """The question was understood, the answer heard and shown, and the turn is in the store."""
    assert [event.message for event in caller.of(Problem)] == []
    turn = caller.turn
    assert word_error_rate([(caller.asked, turn.user)]) <= 0.25, turn.user
    assert caller.captions
    assert turn.assistant == caller.captions
    assert (turn.error, turn.interrupted) == (None, False)
    assert turn.timings_ms.keys() >= {"endpoint", "stt", "llm_first_token", "first_content"}
    assert caller.loudest > 0.05
    assert await host.store.turns(caller.session) == [turn]


@together
async def test_moshi_opens_for_two_of_three_callers_and_all_are_answered(host: Host) -> None:
    callers = await ask(host, *ASKED)
    for caller in callers:
        await check_turn(host, caller)
    by_mode = {
        mode: [each for each in callers if each.answered["mode"] == mode]
        for mode in ("hybrid", "ollama")
    }
    assert {mode: len(some) for mode, some in by_mode.items()} == {"hybrid": 2, "ollama": 1}
    for caller in by_mode["hybrid"]:
        assert caller.answered["way"] == "handover"
    # of the whole phrase what a busy machine lets through: an opener that stalls is given up, and
    # one that comes after the answer is left out
    opened = [each for each in by_mode["hybrid"] if each.captions.split()[0] in OPENS]
    assert opened
    for caller in opened:
        assert caller.turn.timings_ms["first_audio"] < caller.turn.timings_ms["first_content"]
    (cascade,) = by_mode["ollama"]
    assert cascade.answered["way"] == ""
    assert cascade.captions.split()[0] not in OPENS
    (moved,) = [dict(each.data) for each in cascade.of(Notice) if each.kind == "fallback"]
    assert (moved["from"], moved["to"]) == ("hybrid", "ollama")
    assert "this call has no line to Moshi" in moved["reason"]


@together
async def test_moshi_says_the_words_of_the_mind_itself(
    host: Host, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    injected = settings(folder, hybrid=HYBRID | {"way": "injection"})
    monkeypatch.setattr(host, "config", injected)
    (caller,) = await ask(host, ASKED[0])
    await check_turn(host, caller)
    assert (caller.answered["mode"], caller.answered["way"]) == ("hybrid", "injection")
    assert re.fullmatch("[a-z ]+", caller.captions), "the tiny tokenizer knows no other letters"
    spoken = [word for event in caller.of(Caption) for word in event.words]
    assert len(spoken) > max(len(phrase.split()) for phrase in PHRASES)
    assert all(one.end <= other.start for one, other in pairwise(spoken))


def test_a_talk_without_moshis_weights_goes_on_without_it_and_says_so_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said, sound = next((said, sound) for said, sound in clips() if said == ASKED[0])
    write_audio(tmp_path / "question.wav", to_pcm(sound), 16_000)
    values = {
        "embedded_llm.model": "smollm2-135m",
        "embedded_llm.max_tokens": "12",
        "moshi.model_path": str(tmp_path / "nowhere"),
        "moshi.device": "cpu",
    }
    options = [part for name, value in values.items() for part in ("--set", f"{name}={value}")]
    command = ["talk", "--json", "--fast", "--strategy", "hybrid", "--llm", "llamacpp", *options]
    assert run([*command, str(tmp_path / "question.wav")]) == 0
    out, err = capsys.readouterr()
    (turn,) = map(json.loads, out.splitlines())
    assert word_error_rate([(said, turn["heard"])]) <= 0.25
    assert turn["said"]
    (line,) = [line for line in err.splitlines() if "Moshi" in line]
    assert "hybrid goes on without Moshi" in line
    assert str(tmp_path / "nowhere") in line
