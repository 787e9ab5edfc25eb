"""Turns without a recogniser, with the real models of voice and melody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import numpy as np
import pytest
from human_speech import FOLDER, NEEDED, clips
from world import config

from coda_voice_plugin import (
    AudioFrame,
    Call,
    Heard,
    Pause,
    PluginError,
    Plugins,
    Resumed,
    Session,
    SpeechEnded,
    SpeechStarted,
    Strategy,
    VoiceConfig,
    hookimpl,
    load_plugins,
    open_host,
)
from coda_voice_plugin.audio import to_pcm
from coda_voice_plugin.events import Hello, ServerEvent
from coda_voice_plugin.host import needed_weights

heard_of_the_user: list[Heard] = []
rates_of_the_microphone: set[int] = set()


class Attentive(Strategy):
    name = "attentive"
    needs = ("turns",)
    mic_rate = 24_000

    async def converse(self, call: Call) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._listen(call))
            heard_of_the_user.extend([heard async for heard in call.hear()])

    async def _listen(self, call: Call) -> None:
        async for frame in call.mic:
            rates_of_the_microphone.add(frame.rate)


class Guest:
    @hookimpl
    def register_strategies(self, register: Callable[[type[Strategy]], None]) -> None:
        register(Attentive)


def guests() -> Plugins:
    return load_plugins(extra=[("guest", Guest())])


def settings(**changes: object) -> VoiceConfig:
    audio = {"vad": "silero", "sample_rate": 24_000, "chunk_size": 960}
    turn = {"acoustic_hint": True, "unsure_ms": 700}
    return config(strategy="attentive", audio=audio, turn=turn | changes)


async def test_only_the_models_of_voice_and_melody_are_needed() -> None:
    assert await needed_weights(settings(), guests()) == [("silero-vad",), ("smart-turn",)]
    assert await needed_weights(settings(acoustic_hint=False), guests()) == [("silero-vad",)]


async def say(session: Session, sound: np.ndarray) -> None:
    """Speak faster than real time, but wait for what decides a pause."""
    for at in range(0, len(sound), 320):
        session.receive(AudioFrame(to_pcm(sound[at : at + 320])))
        await asyncio.sleep(0)
        while session.busy:  # noqa: ASYNC110 - it tells no event
            await asyncio.sleep(0.001)


@pytest.mark.real
@pytest.mark.skipif(not FOLDER.exists(), reason=NEEDED)
async def test_people_are_heard_to_speak_to_pause_and_to_end() -> None:
    heard_of_the_user.clear()
    rates_of_the_microphone.clear()

    async def send(event: ServerEvent) -> None:
        pass

    hush = np.random.default_rng(0).normal(0, 3e-4, 2 * 16_000).astype(np.float32)
    spoken = [sound for _, sound in clips()[1:4]]
    async with open_host(settings(), guests()) as host:
        assert host.label("stt") == ""
        with pytest.raises(PluginError, match="uses stt but its `needs`"):
            _ = host.stt
        session = Session(host, send, Hello(rate=16_000))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            await say(session, np.concatenate([hush, *(np.append(each, hush) for each in spoken)]))
            session.close()
    kinds = [type(heard) for heard in heard_of_the_user]
    assert kinds.count(SpeechStarted) == kinds.count(SpeechEnded) >= 3
    assert kinds.count(Pause) == kinds.count(SpeechEnded) + kinds.count(Resumed)
    assert set(kinds) <= {SpeechStarted, Pause, Resumed, SpeechEnded}
    ends = [heard.at / 16_000 for heard in heard_of_the_user if isinstance(heard, SpeechEnded)]
    lengths = [len(each) / 16_000 for each in spoken]
    for number in range(3):
        end = 2 + sum(lengths[: number + 1]) + 2 * number
        assert min(abs(end - each) for each in ends) < 0.5
    assert rates_of_the_microphone == {24_000}
