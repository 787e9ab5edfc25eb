"""What an engine leaves behind: threads and tasks that should have ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence


class Traces:
    """The threads and tasks that run now; whatever joins them later has to go again.

    Threads of the event loop's own pool and the tasks of coroutines whose qualified
    name begins with one of ``foreign`` (a server in the same loop) are not looked at.
    """

    def __init__(self, foreign: Sequence[str] = ()) -> None:
        self._foreign = tuple(foreign)
        self._threads = set(threading.enumerate())
        self._tasks = asyncio.all_tasks()

    async def gone(self, within_s: float) -> None:
        """Wait until nothing is left; fail with its names after ``within_s``."""
        left = await settled(self._left, within_s)
        assert not left, f"left behind after {within_s:g} s: {', '.join(left)}"

    def _left(self) -> list[str]:
        threads = [
            f"thread {thread.name}"
            for thread in threading.enumerate()
            if thread not in self._threads and not thread.name.startswith("asyncio_")
        ]
        tasks = [
            f"task of {name}"
            for task in asyncio.all_tasks() - self._tasks
            if not (name := _name(task)).startswith(self._foreign or "\0")
        ]
        return threads + tasks


async def settled(look: Callable[[], list[str]], within_s: float) -> list[str]:
    """What ``look`` still finds when it finds nothing any more, or after ``within_s``."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while (found := look()) and loop.time() < until:  # noqa: ASYNC110 - threads tell nobody
        await asyncio.sleep(0.02)
    return found


def _name(task: asyncio.Task[object]) -> str:
    return getattr(task.get_coro(), "__qualname__", "")
