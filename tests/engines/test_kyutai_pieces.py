"""How sound and words that come separately are put together."""

from __future__ import annotations

import numpy as np

from coda_voice_plugin import SpokenAudio
from coda_voice_plugin.engines.kyutai.pieces import HOLD, Pieces
from coda_voice_plugin.wire.kyutai import FRAME


def frames(pieces: Pieces, count: int) -> list[SpokenAudio]:
    made = (pieces.sound(np.full(FRAME, 0.1, np.float32)) for _ in range(count))
    return [piece for piece in made if piece is not None]


def test_a_word_lies_in_one_piece_when_it_is_short_enough() -> None:
    pieces = Pieces()
    pieces.word("one", 0.16, 0.4)
    pieces.word("two", 0.4, 0.56)
    made = frames(pieces, 10)
    told = [piece for piece in made if piece.words]
    assert [piece.words[0].text for piece in told] == ["one", "two"]
    assert [len(piece.samples) for piece in told] == [3 * FRAME, 2 * FRAME]
    assert all(piece.words[0].start == 0 for piece in told)


def test_a_long_word_is_not_waited_for_and_its_end_is_true() -> None:
    pieces = Pieces()
    pieces.word("looong", 0.08, 1.6)
    made = frames(pieces, 25)
    lengths = [sum(len(piece.samples) for piece in made[: n + 1]) for n in range(len(made))]
    at = next(n for n, piece in enumerate(made) if piece.words)
    before = lengths[at] - len(made[at].samples)
    assert before + made[at].words[0].end == 20 * FRAME
    assert made[at].words[0].end <= HOLD + FRAME


def test_words_after_the_sound_end_with_it() -> None:
    pieces = Pieces()
    frames(pieces, 3)
    pieces.word("one", 0.0, 0.1)
    pieces.word("late", 0.1, 99.0)
    rest = pieces.rest()
    assert [word.text for word in rest.words] == ["one", "late"]
    edges = [edge for word in rest.words for edge in (word.start, word.end)]
    assert edges == sorted(edges)
    assert edges[-1] == len(rest.samples)
    assert pieces.rest() is None
