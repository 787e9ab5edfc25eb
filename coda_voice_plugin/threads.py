"""Threads for what blocks, so that it never runs on the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class ModelThread:
    """The one thread that touches a model: its single writer.

    Jobs run in the order they were given. Cancelling the caller drops a job
    that has not begun; a job that runs is not interrupted (pass it a flag).
    """

    def __init__(self, name: str) -> None:
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``work`` on the thread and return its result."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: work(*args, **kwargs))

    def close(self) -> None:
        """End the thread after the job that runs now; waiting jobs are dropped."""
        # not waited for here: the event loop must not stand still for a model
        self._pool.shutdown(wait=False, cancel_futures=True)


async def iterate_in_thread(
    start: Callable[[Callable[[Any], bool]], None],
    thread_name: str,
    size: int = 256,
) -> AsyncGenerator[Any, None]:
    """Turn a blocking producer into an async generator.

    ``start(emit)`` runs in a thread of its own; ``emit(item)`` hands an item over
    and returns False once the consumer has gone: the producer must then return.
    At most ``size`` items wait for the consumer; then ``emit`` blocks. What the
    producer raises, the consumer gets. Closing the generator waits for the
    producer, so a model is never left running.
    """
    loop = asyncio.get_running_loop()
    items: asyncio.Queue[Any] = asyncio.Queue(size + 1)  # and the end
    space = threading.Semaphore(size)
    gone = threading.Event()
    end = object()

    def emit(item: Any) -> bool:
        if not gone.is_set():
            space.acquire()
        if gone.is_set():
            return False
        loop.call_soon_threadsafe(items.put_nowait, item)
        return True

    def produce() -> None:
        try:
            start(emit)
        finally:
            loop.call_soon_threadsafe(items.put_nowait, end)

    pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=thread_name)
    job = loop.run_in_executor(pool, produce)
    pool.shutdown(wait=False)  # the thread ends with its only job
    try:
        while (item := await items.get()) is not end:
            space.release()
            yield item
        await job
    finally:
        gone.set()
        space.release()  # a producer that waits in emit learns that nobody listens
        await _ended(job)


async def _ended(job: asyncio.Future[None]) -> None:
    """Wait for ``job`` even if cancelled meanwhile; the cancellation is passed on afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not job.done():
        try:
            await asyncio.wait([job])
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is not None:
        raise cancelled
    if not job.cancelled():
        job.exception()  # looked at: a consumer that has gone does not hear of it
