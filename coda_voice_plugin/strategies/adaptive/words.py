"""What was said, as words that rules can be written for."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .lexicon import word_set

MOST = 600
"""Characters that are read; of a longer text its beginning and its end."""
WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+|(?<=\d)[.,:]\d+)*|[.?!,;%€$£]")
MARKS = frozenset(".?!,;")
SIGNS = {"%": "percent", "€": "euros", "$": "dollars", "£": "pounds"}
ENDINGS = {"'m": "am", "'re": "are", "'ve": "have", "'ll": "will", "'d": "would"}
HAS_IS = word_set("what who where when how why that it he she there here")
BARE = {
    "whats": "what is", "whos": "who is", "wheres": "where is", "hows": "how is",
    "thats": "that is", "im": "i am", "ive": "i have", "dont": "do not", "doesnt": "does not",
    "didnt": "did not", "cant": "can not", "cannot": "can not", "can't": "can not",
    "won't": "will not", "isnt": "is not", "arent": "are not", "wasnt": "was not",
    "lets": "let us", "let's": "let us", "youre": "you are", "gonna": "going to",
    "wanna": "want to", "gotta": "got to", "gimme": "give me", "ya": "you",
}  # fmt: skip
LEAD_INS = (
    "so", "well", "okay", "ok", "hey", "hi", "hello", "um", "uh", "er", "hm", "and", "but", "oh",
    "ah", "please", "now", "then", "anyway", "quick", "actually", "just", "also", "thanks", "there",
    "alright", "yeah", "yes", "no", "moshi", "honestly", "because", "ugh", "wow", "great", "right",
    "thank you", "by the way", "real quick", "quick question", "good morning", "good evening",
    "you know", "do you know", "do you think", "i think", "what do you think", "i wonder",
    "i was wondering", "i wondered", "i have always wondered", "i want to know", "i need to know",
    "i would like to know", "is it true that", "can you tell me", "could you tell me",
    "speaking of",
)  # fmt: skip
ASKS = (
    "can you", "could you", "would you", "will you", "i want you to", "i need you to",
    "i would like you to", "can we", "could we", "go ahead and", "help me", "i would like to",
)  # fmt: skip

ASKS_ANEW = word_set("what who where when which why how")
TURNED = word_set("is are was were do does did can should could will would")
"""Behind one of ASKS_ANEW inside a sentence: a question that no mark parts from the rest."""


def split(text: str) -> list[tuple[str, str]]:
    """Return ``(word, as written)``: in lower case, short forms written out, marks as words."""
    if len(text) > MOST:
        text = f"{text[: MOST // 2]} . {text[-MOST // 2 :]}"
    found: list[tuple[str, str]] = []
    for written in WORD.findall(text):
        word = written.lower().replace("’", "'")
        parts = BARE.get(word)
        if parts is None:
            parts = _written_out(word) if "'" in word else SIGNS.get(word, word)
        found += [(part, written) for part in parts.split()]
    return found


def phrase(text: str) -> tuple[str, ...]:
    """The words of a phrase, as they are looked for."""
    return tuple(word for word, _ in split(text) if word not in MARKS)


def _written_out(word: str) -> str:
    stem, mark, ending = word.rpartition("'")
    if ending == "s":
        return f"{stem} is" if stem in HAS_IS else stem
    if ending == "t" and stem.endswith("n"):
        return f"{stem[:-1]} not"
    other = ENDINGS.get(mark + ending)
    return f"{stem} {other}" if other else word


_NONE: list[tuple[tuple[str, ...], bool, str]] = []


class Phrases:
    """Phrases that are found by their first words: two look-ups for each word of a text."""

    def __init__(self, named: dict[str, tuple[str, ...]]) -> None:
        self._by_first: dict[tuple[str, ...], list[tuple[tuple[str, ...], bool, str]]] = {}
        for name, texts in named.items():
            for text in texts:
                words = phrase(text.removeprefix("^"))
                if words:
                    entry = (words, text.startswith("^"), name)
                    self._by_first.setdefault(words[:2], []).append(entry)
        for entries in self._by_first.values():
            entries.sort(key=lambda entry: -len(entry[0]))

    def at(self, words: tuple[str, ...], start: int, *, head: bool) -> list[tuple[str, int]]:
        """``(name, length)`` of those that begin at ``start``, the longest first.

        ``head``: a clause begins there; phrases marked ``^`` are found nowhere else.
        """
        entries = self._by_first.get(words[start : start + 1], _NONE)
        if start + 1 < len(words):
            entries = self._by_first.get(words[start : start + 2], _NONE) + entries
        if not entries:
            return []
        return [
            (name, len(found))
            for found, only_head, name in entries
            if (head or not only_head) and words[start : start + len(found)] == found
        ]


_LEADS = Phrases({"lead": LEAD_INS, "ask": ASKS})


@dataclass(frozen=True, slots=True)
class Clause:
    """A stretch between two marks: ``words[head:end]``, without what merely leads in."""

    head: int
    end: int
    asked: bool
    """It began with "can you", "help me" or the like."""
    bare: int
    """Where it begins with its lead-in."""


@dataclass(frozen=True, slots=True)
class Said:
    """A transcript that was read: words without marks, and the clauses they form."""

    words: tuple[str, ...]
    written: tuple[str, ...]
    clauses: tuple[Clause, ...]
    first_of_sentence: frozenset[int]
    """Where a capital letter says nothing."""
    question_mark: bool
    exclamation: bool


def read(text: str) -> Said:
    """Take a transcript apart; it may break off anywhere. Linear in the text."""
    words: list[str] = []
    written: list[str] = []
    begins, sentences = [0], {0}
    marks = set()
    for word, original in split(text):
        if word not in MARKS:
            before = len(words) - 1
            if word in TURNED and before > begins[-1] + 2 and words[before] in ASKS_ANEW:
                begins.append(before)
            words.append(word)
            written.append(original)
            continue
        marks.add(word)
        if begins[-1] != len(words):
            begins.append(len(words))
        if word in ".?!":
            sentences.add(len(words))
    fixed = tuple(words)
    ends = [*begins[1:], len(fixed)]
    clauses = tuple(
        _clause(fixed, begin, end) for begin, end in zip(begins, ends, strict=True) if begin < end
    )
    return Said(fixed, tuple(written), clauses, frozenset(sentences), "?" in marks, "!" in marks)


def _clause(words: tuple[str, ...], begin: int, end: int) -> Clause:
    head, asked = begin, False
    while head < end:
        found = _LEADS.at(words, head, head=True)
        if not found or head + found[0][1] >= end:
            break
        name, length = found[0]
        asked = asked or name == "ask"
        head += length
    return Clause(head, end, asked, begin)
