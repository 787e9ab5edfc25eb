"""What one slot's text stream may be, step by step: given words, silence, or the model's own.

Moshi writes a word as ``EPAD`` (a word begins with the next step), its pieces one a step, then
``PAD`` until the next word; speech follows the text. Putting given words into that stream by the
same rules makes Moshi say them (the state machine of Kyutai's TTS, moshi/models/tts.py,
does so). The model keeps the timing where it may: when it samples anything but PAD, it wants
a word.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from ..errors import EngineError
from .frames import OWN, TextRule
from .line import Manner

EPAD = 0
"""A word begins with the next step. It is also the tokenizer's "unknown"."""
PAD = 3
SPECIAL = frozenset({0, 1, 2, 3})
LEAST_PADS = 1
"""Between two words, so that they do not run into each other."""
MOST_PADS = 5
"""Then a word begins whether the model wants one or not: with its own steps a word takes at most
some 600 ms, so speech does not fall under 1.7 words a second; people speak 2 to 3."""
CLAUSE_PADS = {",": 3, ";": 3, ":": 3, ".": 5, "!": 5, "?": 5, "—": 3}
"""Least pads after a word that ends so: 240 ms for a comma, 400 ms for a full stop."""
PATIENCE = 25
"""Pads after which a soft word is forced: two seconds, or it might never be said."""
IN_WORD = 4
"""Steps that the model gets to finish a word of its own when it is held or given words."""
MOST_WORDS = 2_000
"""Words that may wait: some ten minutes of speech."""
_REST = TextRule(on_word=PAD)


@dataclass(slots=True, eq=False)
class Given:
    """A word to be said. Steps count from the beginning of the slot."""

    text: str
    tokens: tuple[int, ...]
    manner: Manner
    first: int | None = None
    """Step of its first token; None while it waits."""
    last: int | None = None
    """Step of its last token; None until it is whole."""


class Script:
    """One slot's rules: :meth:`rule` before each step, :meth:`took` after it.

    Words may be given and dropped at any time, also while a step is under way.
    """

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._waiting: deque[Given] = deque()
        self._current: Given | None = None
        self._pieces: deque[int] = deque()
        self._step = 0
        self._under_way = False
        self._pads = MOST_PADS
        self._least = LEAST_PADS
        self._since_word = IN_WORD
        self._hushed = False
        self._held = False
        self.said: deque[Given] = deque(maxlen=MOST_WORDS)
        """Given words that were written to their end, the latest last. Who knows where they
        sound takes them out."""
        self.cut: deque[Given] = deque(maxlen=MOST_WORDS)
        """Given words that a :meth:`hush` dropped; one with a ``first`` step had been begun."""

    @property
    def step(self) -> int:
        """Which step is next, or under way."""
        return self._step

    @property
    def waiting(self) -> tuple[str, ...]:
        """Given words that have not been written to their end."""
        begun = (self._current,) if self._current is not None else ()
        return tuple(word.text for word in (*begun, *self._waiting))

    @property
    def hushed(self) -> bool:
        return self._hushed

    def say(self, text: str, manner: Manner = "forced") -> None:
        """Have these words said after those given before; ends a :meth:`hush`.

        Characters that the tokenizer does not know are left out, and so is a word of
        nothing else; where no word is left, nothing changes. Raises EngineError when more
        than :data:`MOST_WORDS` would wait.
        """
        readable = text.encode(errors="ignore").decode()  # a stray surrogate is no character
        words = [Given(word, pieces_of(word, self._tokenizer), manner) for word in readable.split()]
        words = [word for word in words if word.tokens]
        if not words:
            return
        if len(self._waiting) + len(words) > MOST_WORDS:
            raise EngineError(
                "moshi",
                f"{len(self._waiting) + len(words)} words are too many to wait for their turn; "
                f"give at most {MOST_WORDS} at once.",
            )
        self._hushed = False
        self._waiting.extend(words)

    def hush(self) -> None:
        """Drop what was given, now, in the middle of a word if need be, and be silent."""
        # the step that is under way cannot be taken back: it may make a word whole
        completes = self._under_way and len(self._pieces) == 1
        if self._current is not None and not completes:
            self.cut.append(self._current)
            self._pieces.clear()
            self._current = None
        self.cut.extend(self._waiting)
        self._waiting.clear()
        self._hushed = True

    def free(self) -> None:
        """The model may speak by itself again."""
        self._hushed = False

    def hold(self, held: bool) -> None:
        """While held the model begins no word of its own; one that it is in, it may finish."""
        self._held = held

    def rule(self) -> TextRule:
        """For the coming step."""
        self._under_way = True
        if self._hushed:
            return _REST
        if self._pieces:
            return TextRule(on_pad=self._pieces[0], on_word=self._pieces[0])
        if self._waiting:
            return self._begin(self._waiting[0])
        if self._held and self._since_word >= IN_WORD:
            return _REST
        return OWN

    def took(self, token: int) -> None:
        """``token`` was written in this step."""
        self._under_way = False
        self._pads = self._pads + 1 if token == PAD else 0
        if self._follow(token) or token in (PAD, EPAD):
            self._since_word = IN_WORD
        else:
            self._since_word = 0 if self._since_word >= IN_WORD else self._since_word + 1
            self._least = LEAST_PADS  # its own words stand between the given ones
        self._step += 1

    def _begin(self, word: Given) -> TextRule:
        if self._since_word < IN_WORD:
            return OWN  # it is in a word of its own
        if self._pads < self._least:
            return _REST
        if word.manner == "soft" and self._pads < PATIENCE:
            return TextRule(only=(PAD, EPAD, word.tokens[0]))
        if self._pads < max(MOST_PADS, self._least):
            return TextRule(on_word=EPAD)
        return TextRule(on_pad=EPAD, on_word=EPAD)

    def _follow(self, token: int) -> bool:
        """Take note of what was given; return whether ``token`` belongs to it."""
        if self._pieces:
            self._piece()
            return True
        if not self._waiting or token not in (EPAD, self._waiting[0].tokens[0]):
            return False
        self._current = self._waiting.popleft()
        self._pieces.extend(self._current.tokens)
        if token != EPAD:  # a soft word that began without announcing itself
            self._piece()
        return True

    def _piece(self) -> None:
        word = self._current
        assert word is not None
        if word.first is None:
            word.first = self._step
        self._pieces.popleft()
        if not self._pieces:
            word.last = self._step
            self.said.append(word)
            self._current = None
            self._least = CLAUSE_PADS.get(word.text[-1], LEAST_PADS)


def pieces_of(word: str, tokenizer: Any) -> tuple[int, ...]:
    """The tokens of ``word``, without the characters that ``tokenizer`` does not know."""
    tokens = tokenizer.encode(word)
    if EPAD in tokens:
        known = "".join(each for each in word if EPAD not in tokenizer.encode(each))
        tokens = tokenizer.encode(known) if known else []
    # signs that are known apart may be unknown where the tokenizer joins them
    return tuple(token for token in tokens if token not in SPECIAL)
