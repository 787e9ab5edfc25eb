"""A few words that fill a silence while the answer is on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from itertools import cycle
from typing import TypeVar

from coda_voice_plugin import Reply, VoiceConfig, VoiceError

T = TypeVar("T")

TICK_S = 0.001
"""Shorter waits are none: a timer may fire a rounding error too early."""


class Openers:
    """The openers of one call, in turn."""

    def __init__(self, config: VoiceConfig) -> None:
        speed = config.speed
        fits = config.language == "en" or "openers" in speed.model_fields_set
        self._texts = cycle(speed.openers if fits else ())
        self._after_s = speed.opener_after_ms / 1000

    def opener(self, reply: Reply) -> Opener:
        """The opener of one answer, should it need one."""
        return Opener(reply, self._texts, self._after_s)


class Opener:
    """Breaks the silence of one answer, once, when it has lasted too long."""

    def __init__(
        self,
        reply: Reply,
        texts: Iterator[str],
        after_s: float,
        say: Callable[[str], Awaitable[None]] | None = None,
    ) -> None:
        self._reply = reply
        self._say = say or self._say_with_tts
        self._texts = texts
        self._after_s = after_s
        self._spoken = False
        self._speaking = False

    async def bridge(self, work: Awaitable[T], *, at_once: bool = False) -> T:
        """Wait for ``work``, and return its result, speaking meanwhile if it takes long.

        ``at_once``: it will. Nothing else may be said while this waits.
        """
        failure: VoiceError | None = None
        async with asyncio.TaskGroup() as tasks:
            watching = tasks.create_task(self._watch(at_once))
            try:
                result = await work
            except VoiceError as error:
                failure = error  # raised below: the caller need not know of the task group
            if not self._speaking:
                watching.cancel()
        if failure is not None:
            raise failure
        return result

    async def _watch(self, at_once: bool) -> None:
        reply = self._reply
        await reply.confirmed()  # whose turn it is does not matter to thoughts
        if not (at_once and self._silent and reply.playback.sent == 0):
            await self._long_silence()
        text = None if self._spoken else next(self._texts, None)
        if text is None:
            return
        self._spoken = self._speaking = True
        await self._say(text)
        self._speaking = False

    async def _say_with_tts(self, text: str) -> None:
        self._reply.generated += f"{text} "
        await self._reply.say(text)

    async def _long_silence(self) -> None:
        """Return when nothing has been heard for too long."""
        loop = asyncio.get_running_loop()
        reply = self._reply
        assert reply.utterance is not None
        while True:
            since = max(reply.utterance.moment, reply.playback.until)
            wait = self._after_s + (since - loop.time() if self._silent else 0.0)
            if wait < TICK_S:
                return
            await asyncio.sleep(wait)

    @property
    def _silent(self) -> bool:
        """Nothing is waiting to be heard."""
        return not self._reply.has_audio
