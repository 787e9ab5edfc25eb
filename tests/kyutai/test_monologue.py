"""Moshi's text stream, read as words; how streams are written is told in ``letters``."""

from __future__ import annotations

import pytest
from letters import PAD, Letters, byte_tokens, tokens

from coda_voice_plugin import Word
from coda_voice_plugin.kyutai.frames import FRAME
from coda_voice_plugin.kyutai.monologue import LINGERS, Monologue


def read(stream: list[int]) -> list[tuple[int, Word]]:
    """Return the words, and the frame that each came with."""
    monologue = Monologue(Letters())
    return [(at, word) for at, token in enumerate(stream) for word in monologue.push(token)]


def texts(stream: list[int]) -> list[str]:
    return [word.text for _, word in read(stream)]


def test_a_word_begins_with_its_first_piece_and_ends_before_the_next_padding() -> None:
    assert read(tokens("_^Hi__")) == [(4, Word("hi", 2 * FRAME, 4 * FRAME))]


def test_a_word_also_ends_where_the_next_one_begins() -> None:
    assert read(tokens("HiYou^")) == [
        (2, Word("hi", 0, 2 * FRAME)),
        (5, Word("you", 2 * FRAME, 5 * FRAME)),
    ]


@pytest.mark.parametrize("padding", ["_", "^"])
def test_padding_of_either_kind_ends_a_word(padding: str) -> None:
    assert texts(tokens(f"Hi{padding}You{padding}")) == ["hi", "you"]


@pytest.mark.parametrize("token", [-1, 1, 2, 356, 32_000])
def test_tokens_that_are_no_piece_are_no_text(token: int) -> None:
    # the initial token, for one, lies beyond the vocabulary
    assert texts([token, *tokens("Hi"), token]) == ["hi"]


def test_signs_may_be_spread_over_pieces() -> None:
    assert texts([*tokens("|"), *byte_tokens("世界"), *tokens("_")]) == ["世界"]
    assert texts([*tokens("Na"), *byte_tokens("ï"), *tokens("ve_")]) == ["naïve"]


def test_half_a_sign_is_shown_as_such_and_spoils_nothing() -> None:
    half = byte_tokens("世")[:2]
    assert texts([*tokens("|"), *half, *tokens("_Hi_")]) == ["\N{REPLACEMENT CHARACTER}", "hi"]


def test_a_space_alone_is_no_word() -> None:
    assert texts(tokens("|_||^_")) == []


def test_the_word_that_is_open_at_the_end_can_be_asked_for() -> None:
    monologue = Monologue(Letters())
    for token in tokens("_Hi"):
        assert monologue.push(token) == ()
    assert monologue.finish() == (Word("hi", FRAME, 3 * FRAME),)
    assert monologue.finish() == ()


def test_it_talks_from_the_first_piece_to_half_a_second_after_the_last() -> None:
    monologue = Monologue(Letters())
    seen = [monologue.talking]
    for token in tokens("_^Hi" + "_" * (LINGERS + 3)):
        monologue.push(token)
        seen.append(monologue.talking)
    assert seen == [False, False, False, True, True] + [True] * LINGERS + [False] * 3


def test_it_does_not_talk_in_a_long_silence() -> None:
    monologue = Monologue(Letters())
    for _ in range(100):
        monologue.push(PAD)
        assert not monologue.talking
