"""The user's sound on its way into the ticks."""

from __future__ import annotations

import numpy as np

from coda_voice_plugin.kyutai.arrivals import BACKLOG, WATCHED, Arrivals
from coda_voice_plugin.kyutai.frames import FRAME


def ramp(first: int, count: int) -> np.ndarray:
    return np.arange(first, first + count, dtype=np.float32)


def test_sound_of_any_length_comes_out_in_frames_without_a_sample_lost_or_doubled() -> None:
    rng = np.random.default_rng(1)
    arrivals, taken, pushed = Arrivals(), [], 0
    while pushed < 50 * FRAME:
        count = int(rng.integers(0, 2 * FRAME))
        arrivals.push(ramp(pushed, count))
        pushed += count
        while (frame := arrivals.take()) is not None:
            assert frame.shape == (FRAME,)
            taken.append(frame)
    assert np.array_equal(np.concatenate(taken), ramp(0, len(taken) * FRAME))
    assert arrivals.dropped == 0


def test_a_frame_that_has_not_arrived_is_none_and_nothing_is_made_up() -> None:
    arrivals = Arrivals()
    arrivals.push(ramp(0, FRAME - 1))
    assert arrivals.take() is None
    arrivals.push(ramp(FRAME - 1, 1))
    frame = arrivals.take()
    assert frame is not None
    assert np.array_equal(frame, ramp(0, FRAME))


def test_of_a_burst_only_the_latest_frames_are_kept() -> None:
    arrivals = Arrivals()
    arrivals.push(ramp(0, 10 * FRAME))
    assert (arrivals.frames, arrivals.dropped) == (BACKLOG, 10 - BACKLOG)
    frame = arrivals.take()
    assert frame is not None
    assert frame[0] == (10 - BACKLOG) * FRAME


def test_a_delay_that_is_not_needed_for_five_seconds_is_given_up() -> None:
    arrivals = Arrivals()
    arrivals.push(ramp(0, FRAME))  # one frame in hand from now on
    for index in range(1, WATCHED):
        arrivals.push(ramp(index * FRAME, FRAME))
        assert arrivals.take() is not None
        assert arrivals.dropped == 0
    arrivals.push(ramp(WATCHED * FRAME, FRAME))
    assert arrivals.take() is not None
    assert (arrivals.dropped, arrivals.frames) == (1, 0)


def test_a_delay_that_is_needed_now_and_then_is_kept() -> None:
    arrivals = Arrivals()
    arrivals.push(ramp(0, FRAME))
    for index in range(3 * WATCHED):
        if index % 20:  # on time, but for each twentieth, which comes with the next
            arrivals.push(ramp(0, FRAME if index % 20 != 1 else 2 * FRAME))
        assert arrivals.take() is not None
    assert arrivals.dropped == 0
