"""Speech in the user's turn, kept back until it is known whose turn it is."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from coda_voice_plugin.kyutai.frames import FRAME
from coda_voice_plugin.kyutai.line import Spoken
from coda_voice_plugin.strategies.moshi.holdback import MOST, Holdback
from coda_voice_plugin.strategies.moshi.spurts import Piece


def piece(index: int, *, speech: bool = True) -> Piece:
    spoken = Spoken(index * FRAME, np.zeros(FRAME, np.float32))
    return Piece(spoken, speech=speech, quiet=False)


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


def test_what_is_being_heard_is_heard_to_its_end_whoever_takes_the_turn() -> None:
    holdback = Holdback()
    assert indices(holdback.push(piece(0), is_open=True)) == [0]
    assert holdback.passing
    holdback.user_speaks()
    assert indices(holdback.push(piece(1), is_open=False)) == [1]
    assert indices(holdback.push(piece(2, speech=False), is_open=False)) == [2]
    assert not holdback.passing
    assert holdback.push(piece(3), is_open=False) == []


def test_what_is_kept_or_given_up_is_not_being_heard() -> None:
    holdback = Holdback()
    holdback.push(piece(0), is_open=False)
    assert not holdback.passing
    holdback.user_speaks()
    holdback.push(piece(1), is_open=True)
    assert not holdback.passing


STORY = st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=200)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(STORY)
def test_each_spurt_is_heard_whole_or_not_at_all_and_in_order(story: list) -> None:
    holdback, heard, spurts = Holdback(), [], [[]]
    for index, (speech, is_open, user) in enumerate(story):
        if user:
            holdback.user_speaks()
        heard += indices(holdback.push(piece(index, speech=speech), is_open=is_open))
        if speech:
            spurts[-1].append(index)
        elif spurts[-1]:
            spurts.append([])
    assert heard == sorted(set(heard))
    for spurt in spurts[:-1]:
        assert [index for index in spurt if index in heard] in (spurt, [])
    for index, (speech, _, _) in enumerate(story):
        assert speech or index in heard  # silence passes
