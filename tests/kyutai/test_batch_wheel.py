"""The wheel's own rules, on a virtual clock: the model here is a clock and a list of faults."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from coda_voice_plugin import (
    BusyError,
    EngineDownError,
    EngineError,
    EngineTimeoutError,
    ModelThread,
    VoiceError,
)
from coda_voice_plugin.kyutai.frames import FRAME_S
from coda_voice_plugin.kyutai.ticks import LOOKED_AT
from coda_voice_plugin.kyutai.wheel import RETRY_S, Wheel
from coda_voice_plugin.testing import run_virtual


class Clockwork:
    """Answers each slot with what it was given, after ``cost`` virtual seconds."""

    def __init__(self, slots: int = 3) -> None:
        self.slots = slots
        self.cost = 0.01
        self.faults: list[Exception] = []
        self.broken = 0
        self.log: list[dict[int, Any]] = []
        self.states = 0

    def open(self) -> None:
        self.states = 1

    def step(self, work: Mapping[int, Any]) -> dict[int, Any]:
        if self.faults:
            raise self.faults.pop(0)
        self.log.append(dict(work))
        return dict(work)

    def restart(self) -> None:
        if self.broken:
            self.broken -= 1
            raise RuntimeError("still broken")
        self.states += 1

    def close(self) -> None:
        self.states = 0


class VirtualThread(ModelThread):
    """Runs a job in place; a step takes the model's ``cost`` of virtual time."""

    def __init__(self, name: str, model: Clockwork) -> None:
        super().__init__(name)
        self.model = model
        self.dead = False

    async def run(self, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        if self.dead:
            raise asyncio.CancelledError
        if work.__name__ == "step":
            await asyncio.sleep(self.model.cost)
        return work(*args, **kwargs)


class Caller:
    """Gives its name and a counter each tick; ``late`` ticks are sat out."""

    def __init__(self, name: str = "a", late: set[int] | None = None) -> None:
        self.name = name
        self.late = late or set()
        self.asked = 0
        self.given: list[Any] = []
        self.taken: list[tuple[float, Any]] = []
        self.error: VoiceError | None = None

    def gather(self) -> Any:
        self.asked += 1
        if self.asked - 1 in self.late:
            return None
        self.given.append((self.name, self.asked - 1))
        return self.given[-1]

    def give(self, out: Any) -> None:
        self.taken.append((asyncio.get_running_loop().time(), out))

    def fail(self, error: VoiceError) -> None:
        self.error = error

    @property
    def results(self) -> list[Any]:
        return [out for _, out in self.taken]


@asynccontextmanager
async def turning(model: Clockwork, **options: Any) -> AsyncIterator[Wheel[Any, Any]]:
    wheel: Wheel[Any, Any] = Wheel(
        "clockwork", model, thread=lambda name: VirtualThread(name, model), **options
    )
    async with wheel.open():
        yield wheel


def test_every_caller_is_served_once_in_each_tick() -> None:
    async def main() -> None:
        model = Clockwork()
        async with turning(model) as wheel:
            callers = [Caller(name) for name in "abc"]
            slots = [wheel.join(each) for each in callers]
            assert sorted(slots) == [0, 1, 2]
            await asyncio.sleep(10 * FRAME_S - 0.001)
            assert [len(each.taken) for each in callers] == [10, 10, 10]
            times = [at for at, _ in callers[0].taken]
            gaps = {round(after - before, 6) for before, after in pairwise(times)}
            assert gaps == {FRAME_S}
        assert model.states == 0

    run_virtual(main())


def test_a_late_frame_costs_its_own_caller_a_tick_and_nobody_else() -> None:
    async def main() -> None:
        model = Clockwork()
        async with turning(model) as wheel:
            late, punctual = Caller("late", {3, 4}), Caller("punctual")
            wheel.join(late)
            wheel.join(punctual)
            await asyncio.sleep(10 * FRAME_S - 0.001)
            assert len(late.taken) == 8
            assert len(punctual.taken) == 10
            assert late.results == late.given

    run_virtual(main())


def test_a_result_never_reaches_the_next_caller_of_the_slot() -> None:
    async def main() -> None:
        model = Clockwork(slots=1)
        async with turning(model) as wheel:
            first, second = Caller("first"), Caller("second")
            wheel.join(first)
            await asyncio.sleep(2 * FRAME_S + 0.005)  # in the middle of a step
            wheel.leave(first)
            assert wheel.join(second) == 0
            await asyncio.sleep(3 * FRAME_S)
            assert len(first.given) == len(first.taken) + 1
            assert {name for name, _ in second.results} == {"second"}

    run_virtual(main())


def test_a_full_house_is_told_at_once() -> None:
    async def main() -> None:
        async with turning(Clockwork(slots=2)) as wheel:
            wheel.join(Caller())
            wheel.join(Caller())
            before = asyncio.get_running_loop().time()
            with pytest.raises(BusyError, match="all 2 places"):
                wheel.join(Caller())
            assert asyncio.get_running_loop().time() == before

    run_virtual(main())


def test_the_first_tick_of_an_idle_wheel_comes_at_once() -> None:
    async def main() -> None:
        async with turning(Clockwork()) as wheel:
            await asyncio.sleep(123.4567)
            caller = Caller()
            wheel.join(caller)
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(0.02)
            assert caller.taken[0][0] - began == pytest.approx(0.01)
            assert wheel.ticks.count == 1

    run_virtual(main())


def test_after_a_slow_tick_the_next_begins_at_once_and_the_beat_is_kept() -> None:
    async def main() -> None:
        model = Clockwork()
        async with turning(model) as wheel:
            caller = Caller()
            wheel.join(caller)
            began = asyncio.get_running_loop().time()
            await asyncio.sleep(FRAME_S + 0.001)
            model.cost = 0.1
            await asyncio.sleep(FRAME_S)
            model.cost = 0.01
            await asyncio.sleep(5 * FRAME_S)
            assert wheel.ticks.overruns == 1
            assert wheel.ticks.skipped == 0
            beats = [(at - began - 0.01) / FRAME_S for at, _ in caller.taken]
            assert beats[-1] == pytest.approx(round(beats[-1]))
            assert len(caller.taken) == round(beats[-1]) + 1

    run_virtual(main())


def test_ticks_are_skipped_when_the_wheel_is_far_behind() -> None:
    async def main() -> None:
        model = Clockwork()
        async with turning(model) as wheel:
            caller = Caller()
            wheel.join(caller)
            await asyncio.sleep(FRAME_S + 0.001)
            model.cost = 1.0
            await asyncio.sleep(FRAME_S)
            model.cost = 0.01
            await asyncio.sleep(2.0)
            assert wheel.ticks.skipped == 12  # those due from 0.16 s to 1.04 s
            now = asyncio.get_running_loop().time()
            assert now - caller.taken[-1][0] < FRAME_S  # no delay has piled up

    run_virtual(main())


def test_nobody_new_is_let_in_while_the_ticks_overrun() -> None:
    async def main() -> None:
        model = Clockwork()
        async with turning(model) as wheel:
            wheel.join(Caller())
            model.cost = 0.09
            await asyncio.sleep(LOOKED_AT * 0.1)
            assert wheel.ticks.overloaded
            with pytest.raises(BusyError, match="does not keep up with more than 1 call"):
                wheel.join(Caller())
            model.cost = 0.01
            await asyncio.sleep(LOOKED_AT * FRAME_S + 1)
            wheel.join(Caller())

    run_virtual(main())


def test_a_failed_step_ends_the_calls_with_a_typed_error_and_the_next_call_works() -> None:
    async def main() -> None:
        model = Clockwork()
        async with turning(model) as wheel:
            callers = [Caller("a"), Caller("b")]
            for each in callers:
                wheel.join(each)
            await asyncio.sleep(2 * FRAME_S)
            model.faults.append(RuntimeError("CUDA error: out of luck\nlong story"))
            await asyncio.sleep(2 * FRAME_S)
            for each in callers:
                assert isinstance(each.error, EngineError)
                assert "CUDA error: out of luck" in str(each.error)
                assert "long story" not in str(each.error)
            assert (model.states, wheel.ticks.restarts, wheel.taken) == (2, 1, 0)
            after = Caller("after")
            wheel.join(after)
            await asyncio.sleep(2 * FRAME_S)
            assert after.error is None
            assert after.taken

    run_virtual(main())


def test_one_callers_own_fault_ends_its_call_only() -> None:
    class Clumsy(Caller):
        def give(self, out: Any) -> None:
            raise ZeroDivisionError("clumsy")

    class Mute(Caller):
        def gather(self) -> Any:
            raise EngineError("mute", "has lost its voice.")

    async def main() -> None:
        async with turning(Clockwork()) as wheel:
            clumsy, mute, fine = Clumsy(), Mute(), Caller()
            for each in (clumsy, mute, fine):
                wheel.join(each)
            await asyncio.sleep(3 * FRAME_S)
            assert "ZeroDivisionError: clumsy" in str(clumsy.error)
            assert str(mute.error) == "mute: has lost its voice."
            assert fine.error is None
            assert len(fine.taken) >= 3
            assert wheel.taken == 1

    run_virtual(main())


def test_a_stuck_step_ends_the_calls_and_nobody_joins_until_it_returns() -> None:
    async def main() -> None:
        model = Clockwork()
        async with turning(model, stuck_s=2.0) as wheel:
            caller = Caller()
            wheel.join(caller)
            await asyncio.sleep(FRAME_S + 0.001)
            model.cost = 30.0
            await asyncio.sleep(5.0)
            assert isinstance(caller.error, EngineTimeoutError)
            with pytest.raises(EngineTimeoutError):
                wheel.join(Caller())
            model.cost = 0.01
            await asyncio.sleep(30.0)
            assert model.states == 2
            after = Caller()
            wheel.join(after)
            await asyncio.sleep(1.0)
            assert after.taken

    run_virtual(main())


def test_a_thread_that_died_is_replaced() -> None:
    async def main() -> None:
        model = Clockwork()
        async with turning(model) as wheel:
            caller = Caller()
            wheel.join(caller)
            await asyncio.sleep(FRAME_S)
            thread: Any = wheel._thread
            thread.dead = True
            await asyncio.sleep(FRAME_S)
            assert "thread has ended" in str(caller.error)
            after = Caller()
            wheel.join(after)
            await asyncio.sleep(FRAME_S)
            assert after.taken
            assert wheel._thread is not thread

    run_virtual(main())


def test_a_model_that_cannot_begin_anew_is_tried_again_and_says_so_meanwhile() -> None:
    async def main() -> None:
        model = Clockwork()
        async with turning(model) as wheel:
            wheel.join(Caller())
            await asyncio.sleep(FRAME_S)
            model.faults.append(RuntimeError("boom"))
            model.broken = 3  # two attempts at once, and one after a rest
            await asyncio.sleep(2 * FRAME_S)
            with pytest.raises(EngineDownError, match="still broken"):
                wheel.join(Caller())
            await asyncio.sleep(RETRY_S + 1)
            assert wheel.down is None
            wheel.join(Caller())

    run_virtual(main())


def test_without_a_period_a_step_comes_when_somebody_has_something_to_give() -> None:
    class Queue(Caller):
        def __init__(self) -> None:
            super().__init__()
            self.waiting: list[int] = []

        def gather(self) -> Any:
            return self.waiting.pop(0) if self.waiting else None

    async def main() -> None:
        model = Clockwork()
        async with turning(model, period=None) as wheel:
            queue = Queue()
            wheel.join(queue)
            await asyncio.sleep(5.0)
            assert wheel.ticks.count == 0
            queue.waiting += [1, 2, 3]
            wheel.wake()
            await asyncio.sleep(0.031)
            assert queue.results == [1, 2, 3]

    run_virtual(main())


def test_what_breaks_inside_the_block_comes_out_as_it_is() -> None:
    async def main() -> None:
        async with turning(Clockwork()):
            raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="mine"):
        run_virtual(main())


def test_closing_ends_the_calls_and_frees_the_model() -> None:
    async def main() -> None:
        model = Clockwork()
        caller = Caller()
        async with turning(model) as wheel:
            wheel.join(caller)
            await asyncio.sleep(FRAME_S)
        assert isinstance(caller.error, EngineDownError)
        assert model.states == 0
        with pytest.raises(EngineDownError):
            wheel.join(Caller())

    run_virtual(main())
