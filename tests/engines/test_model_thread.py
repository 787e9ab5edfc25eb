"""The thread of a model, and the bridge from a blocking producer to the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextlib import aclosing
from typing import Any

import pytest

from coda_voice_plugin import ModelThread, iterate_in_thread

Emit = Callable[[Any], bool]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until another thread has made ``condition`` true."""
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it is not the loop that makes it true
            await asyncio.sleep(0.001)


async def test_jobs_run_in_order_on_one_thread() -> None:
    thread = ModelThread("model")
    seen: list[tuple[int, str]] = []

    def job(number: int) -> int:
        seen.append((number, threading.current_thread().name))
        return number

    assert await asyncio.gather(*(thread.run(job, n) for n in range(5))) == list(range(5))
    thread.close()
    assert [number for number, _ in seen] == list(range(5))
    assert {name for _, name in seen} == {"model_0"}


async def test_a_cancelled_job_that_has_not_begun_never_runs() -> None:
    thread = ModelThread("model")
    release, began = threading.Event(), threading.Event()
    ran: list[str] = []

    def hold() -> None:
        began.set()
        release.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(thread.run(hold))
        await until(began.is_set)
        waiting = group.create_task(thread.run(ran.append, "dropped"))
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.sleep(0)
        release.set()
    await thread.run(ran.append, "kept")
    thread.close()
    assert ran == ["kept"]


async def test_what_a_job_raises_the_caller_gets() -> None:
    thread = ModelThread("model")

    def fail() -> None:
        raise ArithmeticError("seven")

    with pytest.raises(ArithmeticError, match="seven"):
        await thread.run(fail)
    thread.close()


async def test_closing_a_busy_thread_does_not_hold_up_the_loop() -> None:
    thread = ModelThread("model")
    release, began, ended = threading.Event(), threading.Event(), threading.Event()

    def hold() -> None:
        began.set()
        release.wait()
        ended.set()

    async with asyncio.TaskGroup() as group:
        group.create_task(thread.run(hold))
        await until(began.is_set)
        thread.close()  # returns although the job cannot end before the next line
        release.set()
    assert ended.is_set()


async def test_items_arrive_in_order() -> None:
    def produce(emit: Emit) -> None:
        for number in range(1000):
            assert emit(number)

    assert [n async for n in iterate_in_thread(produce, "numbers")] == list(range(1000))


async def test_what_the_producer_raises_the_consumer_gets_after_the_items() -> None:
    def produce(emit: Emit) -> None:
        emit("first")
        raise ArithmeticError("seven")

    items = iterate_in_thread(produce, "failing")
    assert await anext(items) == "first"
    with pytest.raises(ArithmeticError, match="seven"):
        await anext(items)


async def test_closing_tells_the_producer_and_waits_for_it() -> None:
    ended = threading.Event()

    def produce(emit: Emit) -> None:
        while emit("more"):
            pass
        ended.set()

    async with aclosing(iterate_in_thread(produce, "endless")) as items:
        assert await anext(items) == "more"
    assert ended.is_set()


async def test_a_slow_consumer_makes_the_producer_wait() -> None:
    made: list[int] = []

    def produce(emit: Emit) -> None:
        for number in range(100):
            made.append(number)
            if not emit(number):
                return

    async with aclosing(iterate_in_thread(produce, "eager", size=4)) as items:
        await anext(items)
        await until(lambda: len(made) == 6)  # one taken, four waiting, one in hand
        for _ in range(50):
            await asyncio.sleep(0)
        assert len(made) == 6
    assert len(made) == 6


async def test_a_cancelled_consumer_leaves_no_producer_behind() -> None:
    began, release, ended = threading.Event(), threading.Event(), threading.Event()

    def produce(emit: Emit) -> None:
        began.set()
        release.wait()
        assert not emit("nobody listens")
        ended.set()

    async def consume() -> None:
        async with aclosing(iterate_in_thread(produce, "cancelled")) as items:
            await anext(items)

    async with asyncio.TaskGroup() as group:
        consumer = group.create_task(consume())
        await until(began.is_set)
        for _ in range(3):  # impatience does not change it
            consumer.cancel()
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        assert not consumer.done()
        release.set()
    assert ended.is_set()
    assert consumer.cancelled()


async def test_a_producer_that_does_not_listen_is_not_locked_up() -> None:
    answers: list[bool] = []

    def produce(emit: Emit) -> None:
        answers.extend(emit(number) for number in range(10))

    async with aclosing(iterate_in_thread(produce, "deaf", size=1)) as items:
        await anext(items)
    assert answers[-1] is False


async def test_an_error_after_the_consumer_has_gone_is_nobodys() -> None:
    release = threading.Event()

    def produce(emit: Emit) -> None:
        emit("first")
        release.wait()
        raise ArithmeticError("too late")

    async with aclosing(iterate_in_thread(produce, "late")) as items:
        await anext(items)
        release.set()
