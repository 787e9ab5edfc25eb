"""Work that outlives the hook which began it, in a task group of the voice's own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

logger = logging.getLogger(__name__)


class Background:
    """Starts tasks that end with the voice. One that fails is logged, and the others go on."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Tasks run while the block does; what is left then is cancelled."""
        async with asyncio.TaskGroup() as self._group:
            try:
                yield
            finally:
                self._group = None
                for task in self._tasks:
                    task.cancel()

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        """Run ``work`` in a task of its own; None when the voice is closed: it is not begun."""
        if self._group is None:
            work.close()
            return None
        task = self._group.create_task(_kept(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _kept(work: Coroutine[Any, Any, None], name: str) -> None:
    try:
        await work
    except Exception:  # one broken job must not end the voice
        logger.exception("%s failed", name)
