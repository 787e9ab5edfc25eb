"""A recogniser's tokens, read as words."""

from __future__ import annotations

from test_ear_slot import Vocabulary

from coda_voice_plugin import MIC_RATE
from coda_voice_plugin.kyutai.ear_words import LONGEST, HeardWords

FRAME = MIC_RATE * 8 // 100
FAR = 10**9


def heard(*tokens: int, delay_s: float = 0.16) -> HeardWords:
    words = HeardWords(Vocabulary(), delay_s)
    for token in tokens:
        words.push(token)
    return words


def test_pieces_become_words_and_an_edge_ends_the_one_before() -> None:
    first, second = heard(3, 0, 11, 62, 3, 3, 0, 14, 3).upto(FAR)
    assert (first.text, second.text) == ("w1x2", "w4")
    assert (first.start, first.end) == (1 * FRAME, 6 * FRAME)
    assert (second.start, second.end) == (6 * FRAME, 7 * FRAME)


def test_two_words_without_an_edge_between_them_are_two() -> None:
    words = heard(11, 12, 63, 13)
    assert words.text == "w1 w2x3 w3"
    edges = [edge for word in words.upto(FAR) for edge in (word.start, word.end)]
    assert edges == sorted(edges)


def test_the_open_word_is_shown_and_more_pieces_belong_to_it() -> None:
    words = heard(0, 11)
    assert (words.text, words.spelling) == ("w1", True)
    words.push(65)
    assert (words.text, words.spelling) == ("w1x5", True)
    words.push(3)
    assert (words.text, words.spelling) == ("w1x5", False)


def test_an_edge_announces_a_word() -> None:
    assert heard(3, 0).spelling
    assert not heard(3, 3).spelling


def test_a_word_is_not_as_long_as_the_silence_behind_it() -> None:
    first, _ = heard(11, *[3] * 50, 0, 12).upto(FAR)
    assert first.end - first.start == LONGEST


def test_words_lie_within_the_sound() -> None:
    (word,) = heard(3, 3, 11, 62, 63, delay_s=0.0).upto(3 * FRAME)
    assert (word.start, word.end) == (3 * FRAME, 3 * FRAME)
    (early,) = heard(11, delay_s=2.5).upto(FAR)
    assert (early.start, early.end) == (0, 0)


def test_special_tokens_are_no_words() -> None:
    assert heard(1, 2, 3, 100, 5_000).text == ""


def test_a_copy_goes_on_by_itself() -> None:
    words = heard(11, 62)
    copy = words.fork()
    copy.push(63)
    words.push(3)
    words.push(12)
    assert (words.text, copy.text) == ("w1x2 w2", "w1x2x3")
