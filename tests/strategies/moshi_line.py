"""What the tests of a line to a Moshi server share: the line, and somebody who talks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import aclosing, asynccontextmanager
from typing import Any

import numpy as np

from coda_voice_plugin import VoiceConfig, VoiceError
from coda_voice_plugin.audio import Floats
from coda_voice_plugin.kyutai.frames import FRAME, FRAME_S, RATE
from coda_voice_plugin.kyutai.line import Line, Spoken
from coda_voice_plugin.strategies.moshi.connection import Deadlines
from coda_voice_plugin.strategies.moshi.remote import RemoteLine, open_remote

QUICK = Deadlines(connect_s=1.0, greeting_s=0.2, silent_s=0.3)


def settings(url: str, reconnect_ms: int = 500) -> VoiceConfig:
    return VoiceConfig.model_validate(
        {"moshi": {"url": url}, "kyutai": {"reconnect_ms": reconnect_ms}}
    )


@asynccontextmanager
async def line_to(url: str, reconnect_ms: int = 500) -> AsyncIterator[RemoteLine]:
    async with open_remote(settings(url, reconnect_ms), QUICK) as line:
        yield line


def tone(frames: int, level: float = 0.3) -> Floats:
    times = np.arange(frames * FRAME) / RATE
    return (level * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


def loud(spoken: Spoken) -> bool:
    return float(np.sqrt(np.mean(np.square(spoken.sound)))) > 0.05


async def exchange(line: Line, sound: Floats, pace_s: float = 0.005) -> list[Spoken]:
    """Say ``sound`` and take an answer to each frame of it, one after the other."""
    answers: list[Spoken] = []
    async with aclosing(line.spoken()) as frames:
        for first in range(0, len(sound), FRAME):
            line.push(sound[first : first + FRAME])
            async with asyncio.timeout(5):
                answers.append(await anext(frames))
            await asyncio.sleep(pace_s)
    return answers


async def talk(line: Line, heard: list[Spoken], pace_s: float = FRAME_S) -> None:
    """Speak as a microphone does, and note what is answered, until the line ends."""

    async def speak() -> None:
        while True:
            line.push(tone(1))
            await asyncio.sleep(pace_s)

    async with asyncio.TaskGroup() as tasks:
        speaking = tasks.create_task(speak())
        try:
            async with aclosing(line.spoken()) as frames:
                async for spoken in frames:
                    heard.append(spoken)  # noqa: PERF401 - seen while it grows
        finally:
            speaking.cancel()


@asynccontextmanager
async def talking(line: Line, pace_s: float = 0.01) -> AsyncIterator[list[Spoken]]:
    """What is answered while the block runs, to somebody who talks all the time."""
    heard: list[Spoken] = []
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(talk(line, heard, pace_s))
        yield heard
        task.cancel()


async def failing(work: Coroutine[Any, Any, None]) -> BaseException:
    """What breaks ``work``."""
    try:
        await work
    except ExceptionGroup as group:
        return group.exceptions[0]
    except VoiceError as error:
        return error
    raise AssertionError("it did not fail")


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - many things end there
            await asyncio.sleep(0.005)


def in_order(heard: list[Spoken]) -> bool:
    return [each.start for each in heard] == [n * FRAME for n in range(len(heard))] and all(
        each.sound.shape == (FRAME,) for each in heard
    )
