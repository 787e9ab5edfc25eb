"""Written words and what a voice says for them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from .english import say_english
from .markup import clean
from .other_languages import say_other

_DASHES = frozenset(("-", "–", "—", "--", "―", "|", "/", "·", ":"))


@dataclass(frozen=True, slots=True)
class Sayable:
    """One token of a caption and its sound."""

    written: str
    """As captions show it, markdown removed: "$25.50,"."""
    spoken: str
    """What the voice says: "twenty-five dollars and fifty cents,". Never empty."""


def speakable(text: str, language: str = "en") -> tuple[Sayable, ...]:
    """The sayable tokens of ``text``, a clause or a few sentences of a language model.

    Markdown, HTML, emoji and long code are gone, links are their text. In English
    (``language`` "en", "en-GB", ...) numbers, units, dates, addresses, abbreviations and
    symbols become words; in other languages only plain numbers do, where they can. Never
    raises. Every token has something to say: a letter, outside English at least a digit.
    """
    tag = language.strip().replace("-", "_")
    base = tag.partition("_")[0].lower()
    words, starts = _words(clean(text))
    english = base == "en"
    spoken = say_english(words, starts) if english else [say_other(word, tag) for word in words]
    tokens: list[Sayable] = []
    dropped = False
    for word, said in zip(words, spoken, strict=True):
        said = " ".join(said.split())
        if any(map(str.isalpha, said)) or (not english and any(map(str.isalnum, said))):
            tokens.append(Sayable(word, said))
            dropped = False
        elif tokens and _pauses(word):
            tokens[-1] = _paused(tokens[-1], word, shown=not dropped and word != "|")
            dropped = dropped or word == "|"
        else:
            dropped = True
    return tuple(tokens)


def spoken_text(tokens: Sequence[Sayable]) -> str:
    """What is handed to the voice for ``tokens``."""
    return " ".join(token.spoken for token in tokens)


def _words(text: str) -> tuple[list[str], frozenset[int]]:
    """The words of ``text`` and which of them begin a line."""
    words: list[str] = []
    starts: set[int] = set()
    for line in re.split("[\n\v\f\x1c-\x1e\x85\u2028\u2029]", text):
        starts.add(len(words))
        words += line.split()
    return words, frozenset(starts)


def _pauses(word: str) -> bool:
    return word in _DASHES or all(sign in ".,;:!?…-–—" for sign in word)


def _paused(token: Sayable, mark: str, *, shown: bool) -> Sayable:
    """``token`` with a lone mark after it: a dash is heard as a comma."""
    pause = "," if mark in _DASHES else mark
    written = f"{token.written} {mark}" if shown else token.written
    heard = "" if token.spoken[-1] in ".,;:!?…—" else pause
    return Sayable(written, token.spoken + heard)
