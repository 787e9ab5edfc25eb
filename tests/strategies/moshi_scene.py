"""A call with Moshi over a line that is written down, and what its listener heard."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
from scripted_line import VOICE, ScriptedLine, ScriptedMoshi

from coda_voice_plugin import Turn
from coda_voice_plugin.events import Flush, Speech, TurnEnded
from coda_voice_plugin.kyutai.frames import FRAME, FRAME_S, RATE
from coda_voice_plugin.testing import (
    Listener,
    User,
    World,
    config,
    run_virtual,
)

Scene = Callable[[User, Listener], Awaitable[None]]
OPEN = 0.1
"""When the user's scene begins; the line begins with the call."""


def play(
    line: ScriptedLine, scene: Scene, *, rate: int = RATE, reports: bool = False, **moshi: object
) -> Listener:
    """Hold one call while ``scene`` happens; the user hangs up at its end."""
    audio = {"sample_rate": rate, "chunk_size": rate // 25}
    world = World(ScriptedMoshi(lambda: line), config(audio=audio, moshi=moshi))
    listener = Listener(reports=reports)

    async def run() -> None:
        session = world.session(listener)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(session.run())
            await asyncio.sleep(OPEN)
            await scene(User(session), listener)
            session.close()

    run_virtual(run())
    return listener


def silent(seconds: float) -> Scene:
    async def scene(user: User, listener: Listener) -> None:
        await user.silence(seconds)

    return scene


def turns(listener: Listener) -> list[Turn]:
    return [event.turn for event in listener.of(TurnEnded)]


def exchanges(listener: Listener) -> list[tuple[str, str]]:
    return [(turn.user, turn.assistant) for turn in turns(listener)]


def spoken_frames(listener: Listener) -> float:
    """How much was sent, in frames."""
    return sum(event.frame.seconds for event in listener.of(Speech)) / FRAME_S


def loud_frames(listener: Listener) -> float:
    """How much of a voice was sent, in frames."""
    sounds = [np.frombuffer(event.frame.pcm, "<i2") for event in listener.of(Speech)]
    return float(np.abs(np.concatenate(sounds) / 32_768).sum()) / VOICE / FRAME


def first_heard(listener: Listener, turn: int) -> float:
    return next(
        at for at, each in listener.events if isinstance(each, Speech) and each.turn == turn
    )


def flushes(listener: Listener) -> list[float]:
    return [at for at, event in listener.events if isinstance(event, Flush)]


LONG = "one two three four five six seven eight nine ten"


async def over_it(user: User, listener: Listener) -> None:
    await user.silence(1.2)
    await user.speak(3)
    await user.silence(6)


def asking(*pauses: float, words: int = 2) -> Scene:
    """Speak from 0.1 s on; after each ``words`` words comes the next of ``pauses``."""

    async def scene(user: User, listener: Listener) -> None:
        for pause in pauses:
            await user.speak(words)
            await user.silence(pause)

    return scene
