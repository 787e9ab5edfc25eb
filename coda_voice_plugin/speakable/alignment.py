"""From the times of spoken words to the times of written tokens."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from difflib import SequenceMatcher
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from ..events import Word

if TYPE_CHECKING:
    from .tokens import Sayable

_MOST_COMPARED = 400
"""Words; longer texts are shared by letters, for comparing takes time squared."""


def align(tokens: Sequence[Sayable], words: Sequence[Word]) -> tuple[Word, ...]:
    """Where each written token sounds, in the unit of ``words``.

    ``words`` are an engine's, for the text :func:`spoken_text` made of ``tokens``. An
    engine that cuts words in another way is followed by its letters: where its words
    are those of the text they are anchors, and between anchors letters are worth equal
    time. Every token has a place, in order, without overlap; without ``words`` there are
    no times, and nothing is returned.
    """
    if not tokens or not words:
        return ()
    spoken = [word for token in tokens for word in token.spoken.split() or [""]]
    edges = _edges(spoken, [word.text for word in words], _ordered(words))
    placed: list[Word] = []
    first, floor = 0, edges[0][0]
    for token in tokens:
        last = first + max(1, len(token.spoken.split())) - 1
        start = max(floor, edges[first][0])
        end = max(start, edges[last][1])
        placed.append(Word(token.written, start, end))
        first, floor = last + 1, end
    return tuple(placed)


def _ordered(words: Sequence[Word]) -> list[tuple[int, int]]:
    """The times of ``words`` with overlaps and steps back taken out."""
    times: list[tuple[int, int]] = []
    floor = min(word.start for word in words)
    for word in words:
        start = max(floor, word.start)
        floor = max(start, word.end)
        times.append((start, floor))
    return times


def _edges(
    spoken: list[str], heard: list[str], times: list[tuple[int, int]]
) -> list[tuple[int, int]]:
    """Start and end of each of the words ``spoken``."""
    if len(spoken) == len(heard):
        return times
    mine, theirs = [_letters(word) for word in spoken], [_letters(word) for word in heard]
    edges: list[tuple[int, int]] = []
    a = b = 0
    for i, j, size in _matches(mine, theirs):
        edges += _share(mine[a:i], theirs[b:j], times[b:j], times[b - 1][1] if b else times[0][0])
        edges += times[j : j + size]
        a, b = i + size, j + size
    return edges


def _matches(mine: list[str], theirs: list[str]) -> list[tuple[int, int, int]]:
    if max(len(mine), len(theirs)) > _MOST_COMPARED:
        return [(len(mine), len(theirs), 0)]
    blocks = SequenceMatcher(None, mine, theirs, autojunk=False).get_matching_blocks()
    return [(block.a, block.b, block.size) for block in blocks]


def _share(
    mine: list[str], theirs: list[str], times: list[tuple[int, int]], floor: int
) -> list[tuple[int, int]]:
    """Give ``mine`` the time of ``theirs``, letter by letter; both may be empty."""
    if not mine or not theirs:
        return [(floor, floor)] * len(mine)
    own, other = _offsets(mine), _offsets(theirs)
    whole, length = own[-1], other[-1]
    borders = [offset * whole for offset in other]  # whole numbers: borders meet exactly

    def when(place: int, index: int) -> int:
        start, end = times[index]
        passed = place * length - borders[index]
        return start + round((end - start) * passed / (borders[index + 1] - borders[index]))

    return [
        (
            when(begin, bisect_right(borders, begin * length) - 1),
            when(end, bisect_left(borders, end * length) - 1),
        )
        for begin, end in pairwise(own)
    ]


def _offsets(words: list[str]) -> list[int]:
    return list(accumulate(map(_weight, words), initial=0))


def _weight(word: str) -> int:
    return max(1, len(word))


def _letters(word: str) -> str:
    return "".join(filter(str.isalnum, word)).casefold()
