"""The safe way: the voice of ``tts`` speaks for the language model, and Moshi falls silent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from typing import ClassVar

from coda_voice_plugin import VoiceError, Word

from .ways import Pieces, Way

Sound = tuple[bytes, tuple[Word, ...]]
KEPT_S = 1.0
"""A clause is given as a whole while so much of what stands before it is still to be heard."""


class Handover(Way):
    """Each clause is spoken by ``tts``. The first is made while the opener still sounds."""

    name: ClassVar[str] = "handover"

    async def speak(self, pieces: Pieces) -> None:
        async with AsyncExitStack() as mouth, aclosing(pieces.clauses()) as clauses:
            first = True
            async for clause in clauses:
                voice = self.stage.reply.voice(clause)
                if not first:
                    await self._play(voice, clause, pieces)
                    continue
                async with made_ahead(voice) as (ahead, begun):
                    await begun.wait()
                    self.stage.ready.set()
                    await mouth.enter_async_context(self.stage.mouth)
                    await self._play(ahead, clause, pieces, fade=bool(self.stage.loudness))
                first = False

    async def _play(
        self, sound: AsyncGenerator[Sound, None], clause: str, pieces: Pieces, *, fade: bool = False
    ) -> None:
        stage, reply = self.stage, self.stage.reply
        before, kept = 0, list[Sound]()

        async def give() -> None:
            nonlocal before
            for pcm, words in kept:
                if before == 0 and pcm:
                    reply.begins_content()
                    stage.shadow(clause)
                await stage.give(pcm, words, before=before, fade=fade and before == 0)
                before += len(pcm) // 2
            kept.clear()

        async with aclosing(sound):
            async for piece in sound:
                kept.append(piece)
                # what need not sound yet is kept: a voice that breaks has said nothing by half
                if reply.samples - reply.playback.sent < KEPT_S * reply.playback.rate:
                    await give()
        await give()
        pieces.spoken(clause)


@asynccontextmanager
async def made_ahead(
    sound: AsyncGenerator[Sound, None],
) -> AsyncIterator[tuple[AsyncGenerator[Sound, None], asyncio.Event]]:
    """Make ``sound`` in a task of its own, while something else is heard.

    Gives the sound in order, and an event that is set when its first piece is there, or
    there will be none. A failure is raised where the sound is taken. One clause is kept
    at most, so there is no limit.
    """
    made: deque[Sound] = deque()
    more, begun = asyncio.Event(), asyncio.Event()
    failure: list[VoiceError] = []
    done = False

    async def make() -> None:
        nonlocal done
        try:
            async with aclosing(sound):
                async for piece in sound:
                    made.append(piece)
                    more.set()
                    begun.set()
        except VoiceError as error:
            failure.append(error)
        done = True
        more.set()
        begun.set()

    async def taken() -> AsyncGenerator[Sound, None]:
        while True:
            while made:
                yield made.popleft()
            if failure:
                raise failure[0]
            if done:
                return
            more.clear()
            await more.wait()

    broke: VoiceError | None = None
    async with asyncio.TaskGroup() as tasks:
        making = tasks.create_task(make())
        try:
            yield taken(), begun
        except VoiceError as error:
            broke = error  # raised below: the caller need not know of the group
        finally:
            making.cancel()
    if broke is not None:
        raise broke
