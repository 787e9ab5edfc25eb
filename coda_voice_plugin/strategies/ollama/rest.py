"""What the mind does while nobody speaks: it sums up what it will not read again."""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from coda_voice_plugin import Call, ChatOptions, EngineError, Message, VoiceError

logger = logging.getLogger(__name__)

DEADLINE_S = 60.0
"""A summary that takes longer is given up."""
ROLE = "You summarize conversations. Write facts only, in short plain sentences."
TASK = "Summarize all this in a few short sentences. Keep names, numbers and dates."
"""Behind the conversation: a small model that reads it first goes on with the conversation."""


class Rest:
    """The idle time of one call. Work in it is stopped as soon as the user speaks."""

    def __init__(self, call: Call, tasks: asyncio.TaskGroup) -> None:
        self._call = call
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        self._user_speaks = False
        self._closed = False

    def user_speaks(self) -> None:
        """The user began to speak: not a moment for anything else."""
        self._user_speaks = True
        self.stop()

    def user_is_silent(self) -> None:
        self._user_speaks = False

    def begin(self) -> None:
        """An answer has been heard. Use the time after it, if there is something to do."""
        awake = self._user_speaks or self._closed or self._call.speaking
        others = self._call.host.calls > 1  # whose answers would have to wait for our summary
        if not (awake or others) and self._task is None and self._call.context.falling():
            self._task = self._tasks.create_task(self._sum_up())

    def stop(self) -> None:
        """Stop what is going on."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def close(self) -> None:
        """The user has hung up."""
        self._closed = True
        self.stop()

    async def _sum_up(self) -> None:
        context = self._call.context
        gone = context.falling()
        try:
            async with asyncio.timeout(DEADLINE_S):
                summary = await self._summary(context.minutes(gone))
                context.settle(gone, summary)
                await self._read((context.system, *context.messages))
        except (VoiceError, TimeoutError) as error:  # it only costs the summary
            logger.info("call %s goes on without a summary: %s", self._call.id, error)
            context.give_up(gone)
        self._task = None

    async def _summary(self, minutes: str) -> str:
        settings = self._call.config.prompt
        messages = (Message("system", ROLE), Message("user", f"{minutes}\n\n{TASK}"))
        written = await self._ask(messages, settings.summary_tokens)
        summary = " ".join(written.split())[: 6 * settings.summary_tokens]
        if not summary:
            raise EngineError(self._call.host.llm.label, "wrote nothing.")
        return summary

    async def _read(self, beginning: tuple[Message, ...]) -> None:
        """Let the mind read the changed beginning now, so that the next answer finds it read."""
        await self._ask((*beginning, Message("user", "Hello.")), 1)

    async def _ask(self, messages: tuple[Message, ...], most: int) -> str:
        answer = self._call.host.llm.chat(messages, options=ChatOptions(max_tokens=most))
        async with aclosing(answer) as pieces:
            return "".join([piece async for piece in pieces if isinstance(piece, str)])
