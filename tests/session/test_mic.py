from __future__ import annotations

import asyncio

from virtual import run_virtual

from coda_voice_plugin import AudioFrame
from coda_voice_plugin.session.clock import ArrivalClock
from coda_voice_plugin.session.mic import FrameQueue


def frame(n: int) -> AudioFrame:
    return AudioFrame(bytes(640), start=320 * n)


def test_a_full_queue_forgets_the_oldest_and_counts_it() -> None:
    async def scene() -> tuple[list[int], int]:
        queue = FrameQueue(3)
        frames = aiter(queue)
        for n in range(5):
            queue.put(frame(n))
        queue.close()
        return [each.start // 320 async for each in frames], queue.dropped

    assert run_virtual(scene()) == ([2, 3, 4], 2)


def test_nothing_is_counted_as_lost_while_nobody_reads() -> None:
    queue = FrameQueue(1)
    queue.put(frame(0))
    queue.put(frame(1))
    assert queue.dropped == 0


def test_a_reader_waits_for_the_next_frame() -> None:
    async def scene() -> list[int]:
        queue = FrameQueue(3)
        asyncio.get_running_loop().call_later(1, queue.put, frame(7))
        asyncio.get_running_loop().call_later(2, queue.close)
        return [each.start // 320 async for each in queue]

    assert run_virtual(scene()) == [7]


def test_a_position_is_dated_by_when_its_frame_arrived() -> None:
    clock = ArrivalClock()
    clock.arrived(320, 1.00)
    clock.arrived(640, 1.02)
    assert clock.when(640) == 1.02
    assert abs(clock.when(480) - 1.01) < 1e-9
    assert clock.when(10_000) == 1.02


def test_a_file_that_comes_in_at_once_is_not_dated_before_it_came() -> None:
    clock = ArrivalClock()
    clock.arrived(16_000, 5.0)
    clock.arrived(32_000, 5.001)
    assert clock.when(16_001) == 5.0
