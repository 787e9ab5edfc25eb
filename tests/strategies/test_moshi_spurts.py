"""Endless speech, cut into turns; speech in the user's turn, kept back."""

from __future__ import annotations

import numpy as np

from coda_voice_plugin.kyutai.frames import FRAME
from coda_voice_plugin.kyutai.line import Spoken
from coda_voice_plugin.strategies.moshi.holdback import MOST, Holdback
from coda_voice_plugin.strategies.moshi.spurts import TAIL, Piece, Spurts


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


def piece(index: int, *, speech: bool = True) -> Piece:
    return Piece(frame(index), speech=speech, quiet=False)


def indices(pieces: list[Piece]) -> list[int]:
    return [each.spoken.start // FRAME for each in pieces]


def test_what_was_begun_too_early_is_heard_from_its_beginning_when_the_turn_ends() -> None:
    holdback = Holdback()
    assert holdback.push(piece(0), is_open=False) == []
    assert holdback.push(piece(1), is_open=False) == []
    assert indices(holdback.push(piece(2), is_open=True)) == [0, 1, 2]
    assert indices(holdback.push(piece(3), is_open=True)) == [3]


def test_what_was_begun_in_a_pause_is_never_heard_when_the_user_goes_on() -> None:
    holdback = Holdback()
    holdback.push(piece(0), is_open=False)
    holdback.user_speaks()
    assert holdback.push(piece(1), is_open=True) == []  # the rest of the same spurt
    assert indices(holdback.push(piece(2, speech=False), is_open=True)) == [2]
    assert indices(holdback.push(piece(3), is_open=True)) == [3]


def test_a_back_channel_in_the_users_turn_is_not_heard_later() -> None:
    holdback = Holdback()
    holdback.push(piece(0), is_open=False)
    holdback.push(piece(1, speech=False), is_open=False)
    assert indices(holdback.push(piece(2), is_open=True)) == [2]


def test_a_spurt_that_lasts_through_a_long_turn_is_given_up() -> None:
    holdback = Holdback()
    for index in range(MOST + 1):
        assert holdback.push(piece(index), is_open=False) == []
    assert holdback.push(piece(MOST + 1), is_open=True) == []


def test_the_user_speaking_while_nothing_is_kept_spoils_nothing() -> None:
    holdback = Holdback()
    holdback.user_speaks()
    assert indices(holdback.push(piece(0), is_open=True)) == [0]
