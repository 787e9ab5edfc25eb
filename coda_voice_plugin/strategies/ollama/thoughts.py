"""Thinking before the user has finished, and throwing it away when that was too early."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine

from coda_voice_plugin import Call, Reply, Utterance

_SILENT = re.compile(r"""[.,;:!?…¡¿"'“”‘’()\[\]–—-](?!\d)""")
"""Punctuation, except within and before numbers: 3.5 is not 35."""

Answer = Callable[[Reply, str], Coroutine[None, None, None]]


def alike(one: str, other: str) -> bool:
    """Whether two texts differ by punctuation and case only."""
    return _bare(one) == _bare(other)


def _bare(text: str) -> list[str]:
    return _SILENT.sub("", text.casefold()).split()


class Thought:
    """An answer in the making to words that may not be the whole turn yet."""

    def __init__(self, text: str, reply: Reply, task: asyncio.Task[None]) -> None:
        self.text = text
        self.reply = reply
        self._task = task

    def drop(self) -> None:
        """The user meant something else: stop thinking, say nothing."""
        self.reply.cut()
        self._task.cancel()


class Thoughts:
    """The one answer that is in the making while the user's turn goes on.

    Begun when the words seem settled: at a pause, or when two partial transcripts
    agree (with ``on_partials``). Begun anew at most ``speed.restarts`` times in a turn.
    """

    def __init__(
        self, call: Call, tasks: asyncio.TaskGroup, answer: Answer, *, on_partials: bool = True
    ) -> None:
        self._call = call
        self._tasks = tasks
        self._answer = answer
        self._early = call.config.external_llm.parallel_processing
        self._on_partials = on_partials
        self._most = 1 + call.config.speed.restarts
        self._thought: Thought | None = None
        self._partial = ""
        self._begun = 0
        self._dropped = 0
        self._wasted = 0  # words written by thoughts that were dropped

    @property
    def busy(self) -> bool:
        """Whether an answer is in the making."""
        return self._thought is not None

    def partial(self, text: str) -> None:
        """The user's words so far; the same twice in a row are stable."""
        stable = alike(text, self._partial)
        self._partial = text
        self._doubt(text)
        if stable and self._on_partials:
            self._begin_early(text)

    def pause(self, text: str) -> None:
        """The user's words at a pause: perhaps all of them."""
        self._doubt(text)
        self._begin_early(text)

    def drop(self) -> None:
        """The user goes on speaking, or has hung up."""
        if self._thought is not None:
            self._dropped += 1
            self._wasted += len(self._thought.reply.generated.split())
            self._thought.drop()
            self._thought = None

    async def confirm(self, utterance: Utterance) -> Reply:
        """The turn is over: let the answer to it, which is returned, be heard."""
        self._doubt(utterance.text)
        thought = self._thought or self._begin(utterance.text)
        dropped, wasted = self._dropped, self._wasted
        self._thought, self._partial = None, ""
        self._begun = self._dropped = self._wasted = 0
        await thought.reply.release(utterance)
        if dropped:
            self._call.notify(
                "thoughts_dropped", turn=thought.reply.turn, count=dropped, words=wasted
            )
        return thought.reply

    def _doubt(self, text: str) -> None:
        if self._thought is not None and not alike(self._thought.text, text):
            self.drop()

    def _begin_early(self, text: str) -> None:
        free = self._thought is None and not self._call.speaking
        if self._early and free and self._begun < self._most:
            self._thought = self._begin(text)

    def _begin(self, text: str) -> Thought:
        self._begun += 1
        reply = self._call.draft()
        return Thought(text, reply, self._tasks.create_task(self._answer(reply, text)))
