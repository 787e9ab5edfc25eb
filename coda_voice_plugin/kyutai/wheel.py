"""Turns a batched model: each tick takes one input of every slot and hands out the results.

The wheel is a task of the event loop, the model runs on a thread of its own, and that
thread is the only one that touches it. What belongs to one occupant of a slot lives in
its *seat*; the wheel itself knows nothing about sound or words.

A seat that has nothing to give in a tick is masked out: it loses that tick, nobody else
does. Results go to the seat that gave the input, never to the slot's next occupant.

When a tick takes longer than its period the next begins at once. When the wheel is more
than :data:`SKIP_S` behind, the lost ticks are skipped, so that delay does not pile up;
and while more than a fifth of the last ticks overran, nobody new is let in.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Generic, ParamSpec, Protocol, Self, TypeVar

from ..errors import BusyError, EngineDownError, EngineError, EngineTimeoutError, VoiceError
from ..threads import ModelThread
from .frames import FRAME_S
from .ticks import TickStats

logger = logging.getLogger(__name__)

P = ParamSpec("P")
R = TypeVar("R")
In = TypeVar("In")
Out = TypeVar("Out")
In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)
Given_co = TypeVar("Given_co", covariant=True)
Taken_contra = TypeVar("Taken_contra", contravariant=True)

SKIP_S = 3 * FRAME_S
"""Delay from which ticks are skipped rather than caught up with."""
STUCK_S = 10.0
"""A step that takes longer ends the calls; the model is waited for and begun anew."""
RETRY_S = 2.0
"""Between two attempts to begin a broken model anew: who waits for it counts seconds."""
MOST_WAITING = 64
"""Seats that may wait for a slot; more are refused."""


class BatchModel(Protocol[In_contra, Out_co]):
    """A model over a fixed number of slots. Every method runs on the model's thread."""

    slots: int

    def open(self) -> None:
        """Allocate the state of all slots, and warm up."""

    def step(self, work: Mapping[int, In_contra], /) -> Mapping[int, Out_co]:
        """One step for the slots in ``work``; the state of the others stands still."""

    def restart(self) -> None:
        """Begin anew after a step has failed half-way; no slot keeps its state."""

    def close(self) -> None:
        """Free the state."""


class Seat(Protocol[Given_co, Taken_contra]):
    """One occupant of a slot. Called on the event loop; nothing here may wait."""

    def gather(self) -> Given_co | None:
        """The input for this tick; None sits it out. The first one says how to begin."""

    def give(self, out: Taken_contra, /) -> None:
        """Take the result of the latest input."""

    def fail(self, error: VoiceError, /) -> None:
        """The model broke: the seat is lost."""


class Wheel(Generic[In, Out]):
    """Slots, ticks, and what happens when the model breaks.

    ``period`` is the seconds from tick to tick, for models that live in real time; None
    steps whenever a seat has something to give (see :meth:`wake`).
    """

    def __init__(
        self,
        name: str,
        model: BatchModel[In, Out],
        *,
        period: float | None = FRAME_S,
        stuck_s: float = STUCK_S,
        thread: Callable[[str], ModelThread] = ModelThread,
    ) -> None:
        self.name = name
        self.model = model
        self.ticks = TickStats(model.slots, period)
        self._period = period
        self._stuck_s = stuck_s
        self._make_thread = thread
        self._thread = thread(name)
        self._seats: list[Seat[In, Out] | None] = [None] * model.slots
        self._waiting: deque[Seat[In, Out]] = deque()
        self._hasty: set[int] = set()  # slots whose seats live faster than real time
        self._wake = asyncio.Event()
        self._down: VoiceError | None = EngineDownError(name, "is not open.")

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Self]:
        """Open the model and turn until the block ends."""
        broke: BaseException | None = None
        try:
            await self._thread.run(self.model.open)
            self._down = None
            async with asyncio.TaskGroup() as group:
                task = group.create_task(self._run(), name=f"{self.name} wheel")
                try:
                    yield self
                except BaseException as error:  # noqa: BLE001 - raised below, out of the group
                    broke = error
                finally:
                    self._down = EngineDownError(self.name, "is closing.")
                    self._fail_all(self._down)
                    task.cancel()
            if broke is not None:
                raise broke
        finally:
            try:
                await self._thread.run(self.model.close)
            finally:
                self._thread.close()

    @property
    def capacity(self) -> int:
        return len(self._seats)

    @property
    def taken(self) -> int:
        return sum(seat is not None for seat in self._seats)

    @property
    def down(self) -> VoiceError | None:
        """Why nobody can join now, if the model is broken."""
        return self._down

    def join(self, seat: Seat[In, Out], *, hasty: bool = False) -> int:
        """Give ``seat`` a slot from the next tick on; return which.

        While every seat is ``hasty``, ticks follow each other without a period. Raises
        BusyError at once when none is free or the machine does not keep up, EngineError
        while the model is broken.
        """
        if self._down is not None:
            raise self._down
        if None not in self._seats:
            raise BusyError(self.capacity)
        if self.taken and self.ticks.overloaded:
            raise BusyError(
                self.taken,
                f"{self.name} does not keep up with more than {self.taken} calls on this "
                "machine; try again when one has ended.",
            )
        slot = self._seats.index(None)
        self._seats[slot] = seat
        if hasty:
            self._hasty.add(slot)
        self._wake.set()
        return slot

    def wait(self, seat: Seat[In, Out]) -> None:
        """Give ``seat`` a slot as soon as one is free, first come, first served.

        For seats that can wait; how long is theirs to decide. Raises BusyError when too
        many wait already, EngineError while the model is broken.
        """
        if self._down is not None:
            raise self._down
        if len(self._waiting) >= MOST_WAITING:
            raise BusyError(self.capacity)
        self._waiting.append(seat)
        self._admit()

    def leave(self, seat: Seat[In, Out]) -> None:
        """Free the slot of ``seat``, or its place among those who wait; does nothing when it
        has none (any more)."""
        if seat in self._seats:
            slot = self._seats.index(seat)
            self._seats[slot] = None
            self._hasty.discard(slot)
            self._admit()
        elif seat in self._waiting:
            self._waiting.remove(seat)

    def _admit(self) -> None:
        while self._waiting and None in self._seats:
            self._seats[self._seats.index(None)] = self._waiting.popleft()
            self._wake.set()

    def slot_of(self, seat: Seat[In, Out]) -> int | None:
        return self._seats.index(seat) if seat in self._seats else None

    def wake(self) -> None:
        """A seat has something to give: step now, where there is no period."""
        self._wake.set()

    async def job(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``work`` on the model's thread between two ticks. It delays the next one."""
        return await self._thread.run(work, *args, **kwargs)

    # The loop.

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            self._wake.clear()
            began = loop.time()
            seats, work = self._gather()
            if not work:
                due = await self._rest(due)
                continue
            results = await self._step(work)
            if results is not None:
                self._hand_out(seats, results)
            ended = loop.time()
            self.ticks.note(len(work), began, ended, due)
            all_hasty = bool(self._hasty) and self.taken == len(self._hasty)
            due = ended if all_hasty else self._next(due, ended)
            # a turn of the loop is due to everybody else, however late the wheel is
            await asyncio.sleep(max(0.0, due - loop.time()))

    async def _rest(self, due: float) -> float:
        """Nobody gives anything: wait for somebody, or for the next tick."""
        loop = asyncio.get_running_loop()
        if self._period is not None and self.taken:
            due = self._next(due, loop.time())
            await asyncio.sleep(due - loop.time())
            return due
        await self._wake.wait()
        return loop.time()

    def _next(self, due: float, now: float) -> float:
        """When the next tick is due."""
        if self._period is None:
            return now
        due += self._period
        if now - due > SKIP_S:
            lost = int((now - due) / self._period) + 1
            self.ticks.skipped += lost
            due += lost * self._period
        return due

    def _gather(self) -> tuple[dict[int, Seat[In, Out]], dict[int, In]]:
        seats: dict[int, Seat[In, Out]] = {}
        work: dict[int, In] = {}
        for slot, seat in enumerate(self._seats):
            if seat is None:
                continue
            try:
                given = seat.gather()
            except Exception as error:  # noqa: BLE001 - one seat's fault must not stop the wheel
                self._lose(seat, error)
                continue
            if given is not None:
                seats[slot] = seat
                work[slot] = given
        return seats, work

    def _hand_out(self, seats: Mapping[int, Seat[In, Out]], results: Mapping[int, Out]) -> None:
        for slot, result in results.items():
            seat = seats[slot]
            if self._seats[slot] is not seat:
                continue  # left while the model was busy; the slot may be somebody else's
            try:
                seat.give(result)
            except Exception as error:  # noqa: BLE001 - as above
                self._lose(seat, error)

    def _lose(self, seat: Seat[In, Out], error: Exception) -> None:
        logger.error("%s: a call failed and is ended", self.name, exc_info=error)
        self.leave(seat)
        told = EngineError(self.name, f"a call failed: {_named(error)}")
        seat.fail(error if isinstance(error, VoiceError) else told)

    async def _step(self, work: Mapping[int, In]) -> Mapping[int, Out] | None:
        """Step the model; None when it broke and was begun anew."""
        async with asyncio.TaskGroup() as group:
            step = group.create_task(self._try(self.model.step, work))
            done, _ = await asyncio.wait({step}, timeout=self._stuck_s)
            if not done:
                message = f"has not answered for {self._stuck_s:g} seconds; call again later."
                self._down = EngineTimeoutError(self.name, message)
                logger.error("%s: a step is stuck", self.name)
                self._fail_all(self._down)
        outcome = step.result()
        if self._down is None and not isinstance(outcome, Exception):
            return outcome
        if isinstance(outcome, Exception):
            logger.error("%s: a step failed", self.name, exc_info=outcome)
            self._fail_all(
                EngineError(self.name, f"the model failed: {_named(outcome)}; call again.")
            )
        await self._recover()
        return None

    async def _recover(self) -> None:
        """Begin the model anew, on a new thread if the old one has ended; until it works."""
        while True:
            outcome = await self._try(self.model.restart)
            if isinstance(outcome, Exception):
                self._thread.close()
                self._thread = self._make_thread(self.name)
                outcome = await self._try(self.model.restart)
            if not isinstance(outcome, Exception):
                break
            logger.error("%s: cannot be begun anew", self.name, exc_info=outcome)
            self._down = EngineDownError(
                self.name, f"is broken ({_named(outcome)}); restart the server if it stays so."
            )
            await asyncio.sleep(RETRY_S)
        self._down = None
        self.ticks.restarts += 1
        logger.warning("%s: begun anew", self.name)

    async def _try(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R | Exception:
        """Run it on the model's thread; what it raises comes as a value."""
        try:
            return await self._thread.run(work, *args, **kwargs)
        except asyncio.CancelledError:
            # ours is passed on; a thread that ended cancels what waits for it
            task = asyncio.current_task()
            if task is None or task.cancelling():
                raise
            return EngineDownError(self.name, "the model's thread has ended.")
        except Exception as error:  # noqa: BLE001 - told to the calls by the caller
            return error

    def _fail_all(self, error: VoiceError) -> None:
        seats = [*(seat for seat in self._seats if seat is not None), *self._waiting]
        self._seats = [None] * len(self._seats)
        self._waiting.clear()
        self._hasty.clear()
        for seat in seats:
            seat.fail(error)


def _named(error: Exception) -> str:
    first = (str(error).splitlines() or [""])[0]
    return f"{type(error).__name__}: {first}"[:200]
