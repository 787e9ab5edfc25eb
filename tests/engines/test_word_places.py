"""Where hibari's words sound: trimmed silence, and words placed in what is left."""

from __future__ import annotations

import numpy as np
import pytest

from coda_voice_plugin.engine import Floats
from coda_voice_plugin.engines.hibari import RATE, place_words, trim


def sound(*seconds: float) -> Floats:
    """Silence and tone in turn, beginning with silence."""
    parts = [
        (0.2 * np.sin(np.arange(int(s * RATE)) / 8) if index % 2 else np.zeros(int(s * RATE)))
        for index, s in enumerate(seconds)
    ]
    return np.concatenate(parts).astype(np.float32)


def test_the_silence_before_the_first_sound_is_cut() -> None:
    samples, [(start, end)] = trim(sound(0.3, 1.0, 0.5), "Hello there.")
    assert start == pytest.approx(0.03 * RATE, abs=RATE // 50)
    assert end - start == pytest.approx(RATE, abs=RATE // 50)
    assert len(samples) - end == pytest.approx(0.25 * RATE, abs=RATE // 50)


@pytest.mark.parametrize(
    ("text", "gap"), [("Hello.", 0.25), ('"Hello?"', 0.25), ("Hello,", 0.12), ("Hello", 0.06)]
)
def test_the_pause_after_it_depends_on_the_last_character(text: str, gap: float) -> None:
    samples, [(_, end)] = trim(sound(0.3, 1.0, 0.5), text)
    assert len(samples) - end == pytest.approx(gap * RATE, abs=2)


def test_what_the_model_leaves_is_never_made_longer() -> None:
    samples, _ = trim(sound(0.01, 1.0, 0.02), "Hello.")
    assert len(samples) == int(1.03 * RATE)


def test_silence_has_no_words() -> None:
    samples, stretches = trim(np.zeros(RATE, np.float32), "Hello.")
    assert (len(samples), stretches) == (0, [])
    assert place_words("Hello.", stretches) == ()


def test_words_share_the_sound_by_their_letters() -> None:
    one, three = place_words("a bcd", [(100, 500)])
    assert (one.text, one.start, one.end) == ("a", 100, 200)
    assert (three.text, three.start, three.end) == ("bcd", 200, 500)


def test_a_pause_that_is_heard_lies_after_the_nearest_mark() -> None:
    words = place_words("Well, this is it, my friend.", [(0, 5000), (9000, 12_000)])
    assert [word.end for word in words if word.text == "it,"] == [5000]
    assert [word.start for word in words if word.text == "my"] == [9000]
    edges = [edge for word in words for edge in (word.start, word.end)]
    assert edges == sorted(edges)


def test_a_pause_without_a_mark_moves_nothing() -> None:
    words = place_words("no mark here", [(0, 400), (600, 1000)])
    assert words[0].start == 0
    assert words[-1].end == 1000


def test_numbers_take_the_time_of_their_words() -> None:
    number, word = place_words("1250 people", [(0, 2200)])
    assert number.end - number.start > word.end - word.start
