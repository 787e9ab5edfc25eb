from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coda_voice_plugin.speakable import ClauseSplitter


def split(*pieces: str) -> list[str]:
    splitter = ClauseSplitter()
    return [clause for piece in pieces for clause in splitter.push(piece)] + splitter.finish()


def test_the_first_clause_may_end_at_a_comma_and_later_ones_are_sentences() -> None:
    text = "Paris is the capital, of course. It is large, and old, and loud. Go there!"
    assert split(text) == [
        "Paris is the capital,",
        "of course.",
        "It is large, and old, and loud.",
        "Go there!",
    ]


def test_a_short_opening_is_not_torn_off() -> None:
    assert split("Yes, it is. Really.") == ["Yes, it is.", "Really."]


def test_the_first_sentence_is_given_at_its_mark_and_later_ones_at_the_next_word() -> None:
    splitter = ClauseSplitter()
    assert splitter.push("It rains.") == ["It rains."]
    assert splitter.push(" But it is warm.") == []
    assert splitter.push(" S") == ["But it is warm."]
    assert splitter.finish() == ["S"]


@pytest.mark.parametrize("start", ["It costs 3.", "Ask Dr.", "The U.S.", "Pi is 3.1"])
def test_a_mark_that_may_go_on_is_waited_for(start: str) -> None:
    assert ClauseSplitter().push(start) == []


@pytest.mark.parametrize(
    "text",
    ["Dr. Smith knows it.", "It costs 3.50 dollars.", "Use e.g. a spoon.", "1. Go home now."],
)
def test_a_point_that_ends_no_sentence_does_not_split(text: str) -> None:
    assert split(text) == [text]


def test_an_endless_sentence_is_cut_at_a_comma() -> None:
    text = "Well then. " + "word " * 20 + "and so on, " + "word " * 20 + "and more."
    assert len(split(text)) == 3


def test_line_breaks_end_a_clause() -> None:
    assert split("one line\nanother line\n") == ["one line", "another line"]


@given(st.text(alphabet="ab ,.!?;:\n-", max_size=200), st.data())
def test_any_split_of_the_text_loses_no_letter(text: str, data: st.DataObject) -> None:
    cut = data.draw(st.integers(0, len(text)))
    spoken = split(text[:cut], text[cut:])
    assert "".join("".join(spoken).split()) == "".join(text.split())
