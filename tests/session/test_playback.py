from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from coda_voice_plugin import Word
from coda_voice_plugin.session.playback import Playback, spread_words, words_until


def test_without_reports_what_was_sent_is_heard_in_real_time() -> None:
    playback = Playback(1_000, reported=False)
    playback.send(500, now=10.0)
    assert playback.position(10.0) == 0
    assert playback.position(10.2) == 200
    assert playback.position(11.0) == 500


def test_a_listener_waits_where_we_were_late() -> None:
    playback = Playback(1_000, reported=False)
    playback.send(100, now=0.0)
    playback.send(100, now=5.0)  # the first was over long ago
    assert playback.position(5.05) == 150


def test_reports_are_believed_and_never_go_back_or_beyond_what_was_sent() -> None:
    playback = Playback(1_000, reported=True)
    playback.send(500, now=0.0)
    playback.report(300)
    playback.report(200)
    assert playback.position(99.0) == 300
    playback.report(9_000)
    assert playback.position(99.0) == 500


def test_after_a_stop_nothing_more_is_heard() -> None:
    playback = Playback(1_000, reported=False)
    playback.send(500, now=0.0)
    playback.stop(0.1)
    assert playback.position(60.0) == 100


def test_a_held_listener_stands_still_and_goes_on_from_there() -> None:
    playback = Playback(1_000, reported=False)
    playback.send(500, now=0.0)
    playback.hold(0.1)
    assert [playback.position(now) for now in (0.1, 0.4, 9.0)] == [100, 100, 100]
    assert playback.ahead(9.0) == 0.4
    playback.go_on(9.0)
    assert playback.position(9.2) == 300
    assert playback.until == 9.4


def test_a_stop_while_it_is_held_stops_it_where_it_stands() -> None:
    playback = Playback(1_000, reported=False)
    playback.send(500, now=0.0)
    playback.hold(0.1)
    playback.stop(5.0)
    assert playback.position(60.0) == 100


def test_a_word_counts_when_its_last_sample_was_played() -> None:
    words = (Word("one", 0, 100), Word("two", 100, 200))
    assert words_until(words, 199) == "one"
    assert words_until(words, 200) == "one two"


@given(st.lists(st.text("abc", min_size=1, max_size=9), max_size=20), st.integers(0, 10**6))
def test_spread_words_cover_their_clause_without_gap_or_overlap(
    tokens: list[str], samples: int
) -> None:
    words = spread_words(" ".join(tokens), 7, samples)
    assert [word.text for word in words] == tokens
    edges = [7, *(word.end for word in words)]
    assert [word.start for word in words] == edges[:-1]
    if words:
        assert edges[-1] == 7 + samples
