"""Real speech over a reply: Silero and Moonshine judge it, the clock is the model's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from virtual import run_virtual
from world import Listener, World

from coda_voice_plugin import AudioFrame, Call, ModelThread, Need, Session, Strategy, VoiceConfig
from coda_voice_plugin.audio import Floats, Resampler, Silero, to_pcm
from coda_voice_plugin.engines.moonshine import MoonshineSTT
from coda_voice_plugin.events import Flush, Held, Hello, Speech
from coda_voice_plugin.host import Hearing

pytestmark = pytest.mark.real
RATE = 16_000
ONSET = 1.0
CONFIG = VoiceConfig(turn={"acoustic_hint": False}, store={"enabled": False})


class AtOnce:
    """A model's thread on the virtual clock: the work takes 60 ms of it."""

    def __init__(self, name: str) -> None:
        self.name = name

    async def run(self, work: Callable[..., Any], *given: Any) -> Any:
        await asyncio.sleep(0.06)
        return work(*given)

    def close(self) -> None:
        pass


class Talks(Strategy):
    name = "talks"
    needs: tuple[Need, ...] = ("stt",)

    def __init__(self) -> None:
        self.said: list[str] = []

    async def converse(self, call: Call) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._talk(call))
            async for utterance in call.utterances():
                self.said.append(utterance.text)

    async def _talk(self, call: Call) -> None:
        async with call.reply() as reply:
            await reply.play(b"\1\0" * (6 * call.output_rate))


@pytest.fixture(scope="module")
def silero() -> Silero:
    from coda_voice_plugin import weights

    return Silero(weights.find("silero-vad", CONFIG.models))


@pytest.fixture(scope="module")
def voice() -> Callable[[str], Floats]:
    from hibari import Hibari

    hibari = Hibari(threads=1)

    def speak(text: str) -> Floats:
        resampler = Resampler(24_000, RATE)
        said = np.asarray(hibari(text, seed=0), np.float32)
        sound = np.concatenate([resampler.push(said), resampler.finish()])
        return sound[np.flatnonzero(np.abs(sound) > 0.005)[0] :]  # its breath is no speech

    return speak


@pytest.fixture
def over_a_reply(
    silero: Silero, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Floats], tuple[Listener, list[str]]]:
    """Let a reply sound, and a sound over it after one second."""
    monkeypatch.setattr("coda_voice_plugin.engines.moonshine.ModelThread", AtOnce)

    hearing = Hearing(silero, None, ModelThread("unused"))

    def play(sound: Floats) -> tuple[Listener, list[str]]:
        listener, strategy = Listener(), Talks()
        quiet = np.random.default_rng(0).normal(0, 3e-4, round((ONSET + 7) * RATE))
        first = round(ONSET * RATE)
        quiet[first : first + len(sound)] += sound
        pcm = to_pcm(quiet.astype(np.float32))

        async def run() -> None:
            async with MoonshineSTT(CONFIG).open() as stt, asyncio.TaskGroup() as tasks:
                world = World(strategy, CONFIG, engines={"stt": stt}, hearing=hearing)
                session = Session(world.host, listener.send, Hello(rate=RATE))
                tasks.create_task(session.run())
                for at in range(0, len(pcm) - 639, 640):
                    await asyncio.sleep(0.02)
                    session.receive(AudioFrame(pcm[at : at + 640]))
                session.close()

        run_virtual(run())
        return listener, strategy.said

    return play


def voiced_cough() -> Floats:
    """Two bursts with a low voice in them, as loud as speech."""
    random = np.random.default_rng(3)
    time = np.arange(round(0.22 * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * 150 * n * time) / n for n in range(1, 20))
    burst = (0.15 * tone + 0.1 * random.normal(size=len(time))) * np.exp(-time / 0.06)
    gap = np.zeros(round(0.15 * RATE))
    return np.concatenate([burst, gap, 0.7 * burst]).astype(np.float32)


def holds(listener: Listener) -> list[bool]:
    return [event.held for event in listener.of(Held)]


@pytest.mark.parametrize("text", ["I see.", "Yeah, okay."])
def test_a_back_channel_does_not_end_the_reply(
    text: str, over_a_reply: Any, voice: Callable[[str], Floats]
) -> None:
    listener, said = over_a_reply(voice(text))
    assert not listener.of(Flush)
    assert said == []
    assert holds(listener)[0], "it was not noticed at all"
    assert holds(listener)[-1] is False
    assert listener.received[1] == 6 * CONFIG.audio.sample_rate


def test_a_cough_does_not_end_the_reply(over_a_reply: Any) -> None:
    listener, said = over_a_reply(voiced_cough())
    assert not listener.of(Flush)
    assert said == []
    assert listener.received[1] == 6 * CONFIG.audio.sample_rate


def test_wait_stop_ends_it_and_its_first_word_is_kept(
    over_a_reply: Any, voice: Callable[[str], Floats]
) -> None:
    listener, said = over_a_reply(voice("Wait, stop."))
    assert len(listener.of(Flush)) == 1
    assert said[0].lower().startswith("wait")
    hold = next(at for at, event in listener.events if isinstance(event, Held))
    last = max(at for at, event in listener.events if isinstance(event, Speech))
    assert last <= hold
    # on the clock of the samples: the machine's speed has no part in it
    assert hold - ONSET < 0.25
