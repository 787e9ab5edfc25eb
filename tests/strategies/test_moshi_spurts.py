"""Endless speech, cut into turns."""

from __future__ import annotations

import numpy as np

from coda_voice_plugin.kyutai.frames import FRAME
from coda_voice_plugin.kyutai.line import Spoken
from coda_voice_plugin.strategies.moshi.spurts import TAIL, Spurts


def frame(index: int = 0, level: float = 0.0, *, talking: bool = False) -> Spoken:
    return Spoken(index * FRAME, np.full(FRAME, level, np.float32), talking=talking)


def speech(*levels: float) -> list[bool]:
    spurts = Spurts()
    return [spurts.push(frame(i, level)).speech for i, level in enumerate(levels)]


def test_silence_is_no_speech_from_the_first_frame_on() -> None:
    assert speech(*[0.001] * 20) == [False] * 20


def test_a_spurt_lasts_until_its_tail_is_over() -> None:
    heard = speech(0.0, 0.1, 0.1, *[0.0] * 10)
    assert heard == [False, True, True] + [True] * (TAIL - 1) + [False] * (10 - TAIL + 1)


def test_a_pause_between_clauses_does_not_end_a_spurt() -> None:
    assert all(speech(0.1, *[0.0] * (TAIL - 1), 0.1, *[0.0] * (TAIL - 1)))


def test_words_are_speech_even_while_their_sound_is_faint() -> None:
    spurts = Spurts()
    assert spurts.push(frame(0, 0.001, talking=True)).speech


def test_only_silence_inside_a_spurt_may_be_left_out() -> None:
    spurts = Spurts()
    pieces = [spurts.push(frame(i, level)) for i, level in enumerate((0.1, 0.0, 0.1))]
    assert [piece.quiet for piece in pieces] == [False, True, False]
