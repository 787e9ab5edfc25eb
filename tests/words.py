"""Word error rate, for tests and benchmarks."""

from __future__ import annotations

import re
from collections.abc import Sequence

NUMBERS = "zero one two three four five six seven eight nine ten"
SPELLINGS = {"mister": "mr"} | {str(n): word for n, word in enumerate(NUMBERS.split())}


def words(text: str) -> list[str]:
    """Lower-cased words without punctuation; hyphens part words, numbers up to ten are spelt."""
    plain = re.sub(r"[^a-z0-9' ]", " ", text.lower().replace("-", " "))
    return [SPELLINGS.get(word, word) for word in plain.split()]


def errors(said: Sequence[str], heard: Sequence[str]) -> int:
    """Fewest insertions, deletions and substitutions that make ``heard`` of ``said``."""
    row = list(range(len(heard) + 1))
    for index, word in enumerate(said, 1):
        above, row[0] = row[0], index
        for column, other in enumerate(heard, 1):
            best = min(row[column] + 1, row[column - 1] + 1, above + (word != other))
            above, row[column] = row[column], best
    return row[-1]


def word_error_rate(pairs: Sequence[tuple[str, str]]) -> float:
    """Errors per spoken word over all ``(said, heard)`` pairs."""
    split = [(words(said), words(heard)) for said, heard in pairs]
    return sum(errors(said, heard) for said, heard in split) / sum(len(said) for said, _ in split)
