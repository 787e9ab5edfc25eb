"""Reading ahead: the mind takes in the question while it is still being asked."""

from __future__ import annotations

import asyncio
import logging

from coda_voice_plugin import Call, VoiceError

logger = logging.getLogger(__name__)


class Reading:
    """Has the mind read the conversation up to the words that are known so far.

    What is read again later costs nothing; so the first word of an answer waits only
    for the words that were not known yet. One reading at a time, none while an answer is
    in the making, and none for a mind that other calls wait for.
    """

    def __init__(self, call: Call, tasks: asyncio.TaskGroup) -> None:
        self._call = call
        self._tasks = tasks
        self._task: asyncio.Task[None] | None = None
        plugins = call.host.plugins
        # what these hooks add stands before the user's words and depends on them
        volatile = plugins.listens("reply_context") or plugins.listens("speaking_style")
        self._worth_it = call.config.external_llm.parallel_processing and not volatile

    def begin(self, text: str) -> None:
        """Read up to ``text``, unless there is something better to do."""
        busy = self._task is not None or self._call.speaking or self._call.host.calls > 1
        if self._worth_it and not busy:
            self._task = self._tasks.create_task(self._read(text))

    def stop(self) -> None:
        """The mind is needed for an answer."""
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _read(self, text: str) -> None:
        llm = self._call.host.llm
        try:
            prompt = await self._call.think(text)
            tools = prompt.tools if llm.supports_tools else ()
            await llm.read(prompt.messages, tools=tools)
        except VoiceError as error:
            # the answer itself will meet the same failure, and tell it
            logger.debug("call %s: nothing was read ahead: %s", self._call.id, error)
        self._task = None
