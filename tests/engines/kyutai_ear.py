"""What the tests of Kyutai's recogniser on a server share: an ear, and what is said to it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from kyutai_channel import Channel
from kyutai_server import KyutaiServer
from kyutai_tones import WORDS, tone

from coda_voice_plugin import MIC_RATE, VoiceConfig
from coda_voice_plugin.audio import Floats, Resampler
from coda_voice_plugin.engines.kyutai.remote_stt import RemoteKyutaiSTT, RemoteRecognition
from coda_voice_plugin.testing import run_virtual

ALL = " ".join(WORDS)


def spoken(*indices: int, word_s: float = 0.32, gap_s: float = 0.16) -> Floats:
    """Words as tones at 16 kHz, with silence between them."""
    gap = np.zeros(round(gap_s * MIC_RATE), np.float32)
    parts = [part for index in indices for part in (tone(index, word_s, MIC_RATE), gap)]
    return np.concatenate([gap, *parts])


def config(server: KyutaiServer, **settings: Any) -> VoiceConfig:
    return VoiceConfig.model_validate({"kyutai": {"stt_url": server.stt_url, **settings}})


@asynccontextmanager
async def ear(
    server: KyutaiServer, **settings: Any
) -> AsyncIterator[Callable[[], RemoteRecognition]]:
    """A server that listens, and what makes utterances at it."""
    async with server.open(), RemoteKyutaiSTT(config(server, **settings)).open() as stt:
        server.channels.clear()  # the one that tried the address
        yield stt.listen


async def live(recognition: RemoteRecognition, sound: Floats, step: int = 320) -> None:
    """Give ``sound`` as a microphone does."""
    for first in range(0, len(sound), step):
        recognition.accept(sound[first : first + step])
        await asyncio.sleep(step / MIC_RATE)


def virtual(main: Callable[[], Coroutine[Any, Any, Any]]) -> Any:
    return run_virtual(main(), sockets=True)


def loudness(channel: Channel) -> Floats:
    """The frames of ``channel`` that are not silence."""
    return np.concatenate([f for f in channel.heard if f.any()] or [np.zeros(0, np.float32)])


def at_24k(sound: Floats) -> Floats:
    resampler = Resampler(MIC_RATE, 24_000)
    return np.concatenate([resampler.push(sound), resampler.finish()])
