"""An event loop whose clock moves only when nothing else can happen."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

GRACE_S = 0.0005
"""Real seconds that a socket gets before the clock moves. What one end of a loopback
connection writes is there for the other at once; the rest is for the kernel."""


class _Jumping(selectors.SelectSelector):
    """Where the loop would wait for a timer, move its clock there instead."""

    def __init__(self, *, sockets: bool) -> None:
        super().__init__()
        self.now = 0.0
        self._grace = GRACE_S if sockets else None

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if self._grace is not None:
            wait = 100 * self._grace if timeout is None else min(timeout, self._grace)
            if ready := super().select(wait):
                return ready
        if timeout is None:
            raise RuntimeError("deadlock: every task waits, and no timer is set")
        self.now += max(0.0, timeout)
        return []


def run_virtual(main: Coroutine[Any, Any, T], *, sockets: bool = False) -> T:
    """Run ``main`` with a virtual ``loop.time()``. No threads.

    With ``sockets`` both ends of every connection must live in ``main``: the clock
    then moves when no data is under way. Fails when a task is left over, or when
    every task waits for another.
    """
    selector = _Jumping(sockets=sockets)
    loop = asyncio.SelectorEventLoop(selector)
    loop.time = lambda: selector.now  # type: ignore[method-assign]
    try:
        result = loop.run_until_complete(main)
        left = asyncio.all_tasks(loop)
        assert not left, f"tasks left over: {left}"
        return result
    finally:
        _end_all(loop)
        loop.close()


def _end_all(loop: asyncio.AbstractEventLoop) -> None:
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        with suppress(RuntimeError):  # waits for ever even now: the first error is the one to tell
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
