"""A hushed Moshi is silent until the user has spoken."""

from __future__ import annotations

import numpy as np

from coda_voice_plugin.kyutai.frames import FRAME
from coda_voice_plugin.kyutai.hushed import HEARD, LOUD, Hush, is_loud


def test_it_ends_when_the_user_has_spoken_and_tells_so_once() -> None:
    hush = Hush()
    assert not hush.active
    assert not hush.hear(loud=True)
    hush.begin()
    assert hush.active
    assert not any(hush.hear(loud=False) for _ in range(100))
    assert [hush.hear(loud=True) for _ in range(HEARD + 1)] == [*[False] * (HEARD - 1), True, False]
    assert not hush.active


def test_each_hush_counts_anew() -> None:
    hush = Hush()
    hush.begin()
    for _ in range(HEARD - 1):
        hush.hear(loud=True)
    hush.begin()
    assert not hush.hear(loud=True)
    hush.end()
    assert not hush.active


def test_loud_is_what_is_above_the_noise_of_a_room() -> None:
    assert is_loud(np.full(FRAME, 1.01 * LOUD, np.float32))
    assert not is_loud(np.full(FRAME, 0.99 * LOUD, np.float32))
