"""Who speaks over a hybrid answer, and how soon it is still."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass

from hybrid_scenes import QUESTIONS, Point, Scene, speech_of

from coda_voice_plugin.events import Flush, Held


@dataclass
class Stopped:
    """The user speaks over the answer; ms from the first sample of it."""

    last_frame: float
    """To the last frame of the answer that was sent."""
    still: float
    """To the client's being told to stand still, or to flush."""
    flushed: float
    """To the flush."""
    moshi: float
    """From the flush to Moshi's last token of the answer; below zero: none came after it."""


def interrupt(point: Point, seed: int, *, after: str) -> Stopped:
    """Speak over an answer that sounds since its ``after``: "first_audio" or "first_content"."""
    rng = random.Random(seed)
    scene = Scene(point, seed, [rng.choice(QUESTIONS), "Stop that now please."])
    loop_times: dict[str, float] = {}

    def sounding() -> bool:
        reply = scene.session.call.speaker.reply
        return reply is not None and after in reply._marks

    async def talk(scene: Scene) -> None:
        await scene.ask(scene.questions[0])
        await scene.until(sounding)
        await scene.user.silence(rng.uniform(0.1, 0.7))
        loop_times["begins"] = asyncio.get_running_loop().time()
        for word in scene.questions[1].split():
            await scene.user.sound((100 + scene.user.said) / 1000, 0.3)
            scene.user.said += len(word) > 0
        await scene.until(lambda: bool(scene.listener.of(Flush)))
        await scene.user.silence(0.4)

    scene.play(talk)
    begins = loop_times["begins"]
    events = [(at, event) for at, event in scene.listener.events if at >= begins]
    flushed = next(at for at, event in events if isinstance(event, Flush))
    turn = scene.turns()[0].index
    held = [at for at, event in events if isinstance(event, Held) and event.held]
    last = max([at for at, e in events if speech_of(e, turn)], default=begins)
    tokens = [at for at, _ in scene.model.written if at < flushed + 0.3]
    return Stopped(
        1000 * (last - begins),
        1000 * (min([*held, flushed]) - begins),
        1000 * (flushed - begins),
        1000 * (max(tokens, default=flushed) - flushed),
    )
